"""What the broker does, whatever it is asked over: storage, monitors, flags, events, status."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from he_fsm.errors import HeFsmError, LockspaceError, StorageError
from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime.broker import protocol
from he_fsm.runtime.broker.lease_watch import LeaseWatch
from he_fsm.runtime.broker.shared import SharedReading
from he_fsm.runtime.broker.status import status_of
from he_fsm.runtime.ports import Event, LeaseStatus, Monitors, Notifier, Storage
from he_fsm.runtime.service.clocks import Clocks
from he_fsm.runtime.service.local_flag import LocalFlag, read_flag, write_flag
from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.service.supervised import troubles
from he_fsm.runtime.vm_orders.order import VmOrder, Wanted
from he_fsm.runtime.vm_orders.queue import OrderQueue

_log = logging.getLogger(__name__)
_DAMAGED_FLAG = (
    "%s. This host may have been in local maintenance: it stays out of service until "
    "`he-fsm maintenance none`, or `local`, sets the flag anew"
)
# How long messages that are queued may take when the broker stops, or gets other channels.
_TELLING_ENDS_WITHIN_S = 2.0
# Between lock and record the owner is unknown for a few ms.
_LEASE_READINGS_MAX = 4
_LEASE_AGAIN_S = 0.02


class BrokerService:
    """
    One host's broker; may be called from several threads.

    The agent of an embedded broker calls it directly, the others over the socket; both see the
    same methods and the same errors as `BrokerClient` has.
    """

    def __init__(  # noqa: PLR0913 - its parts
        self,
        *,
        host_id: int,
        storage: Storage,
        monitors: Monitors,
        notifier: Notifier,
        flags_path: Path,
        version: int,
        score_max: int,
        lease_look_s: float,
        clocks: Optional[Clocks] = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Begin to serve; the host id is the agent's to take.

        Args:
            lease_look_s: how often to look whether something about the leases has changed.
            clocks: those of the machine, unless others are given.
            wall_clock: by it alone a maintenance with an end ends.
        """
        self._clocks = clocks or Clocks()
        self._wall_clock = wall_clock
        self.host_id = host_id
        self._storage = storage
        self._monitors = monitors
        self._notifier = notifier
        self._flags_path = flags_path
        self._version = version
        self._score_max = score_max
        self._local = read_flag(flags_path)
        if self._local.problem:
            _log.error(_DAMAGED_FLAG, self._local.problem)
        self._repeats = Repeats(_log)
        # One change of the flags at a time, so that file and memory agree.
        self._guard = threading.Lock()
        self._changed = threading.Condition()
        # Begins elsewhere with every start: who knows an earlier broker's number sees a change.
        self._changes = time.monotonic_ns()
        # As above, and with every report of the agent: what people see is new.
        self._shown = self._changes
        self._guard_shown = threading.Lock()
        self._on_change: Optional[Callable[[], None]] = None
        self._orders = OrderQueue(self._clocks.boot)
        self._report: protocol.JSON = {}
        self._reported_at: Optional[float] = None
        self._whiteboard: Optional[Whiteboard] = None
        self._read_at: Optional[float] = None
        self.counts: dict[str, int] = {}
        # What people are shown is at most as old as the lease watch's last look.
        self._board_shown = SharedReading(self._read_board, lease_look_s, self._clocks.boot)
        self._leases_shown = SharedReading(self._leases_yielding, lease_look_s, self._clocks.boot)
        self._lease_watch = LeaseWatch(self._watched_leases, self._has_changed, lease_look_s)

    def start(self) -> None:
        """Start the monitors, and the watch on the leases."""
        self._monitors.start()
        self._lease_watch.start()

    # What the agent asks.

    def facts(self) -> protocol.BrokerFacts:
        """Return readings, leases and the local flag; storage in trouble makes the leases None."""
        health, age_s, why = self._monitors.engine_health()
        return protocol.BrokerFacts(
            readings=self._monitors.readings(),
            engine=protocol.EngineHealth(health=health, age_s=age_s, why=why),
            leases=self._leases(),
            local_maintenance=self._local_flag().is_set,
        )

    def _watched_leases(self) -> Optional[LeaseStatus]:
        leases = self._leases_yielding()
        self._leases_shown.put(leases)
        return leases

    def _leases_yielding(self) -> Optional[LeaseStatus]:
        return self._leases(yields=True)

    def _leases(self, *, yields: bool = False) -> Optional[LeaseStatus]:
        try:
            leases = self._lease_status(yields=yields)
        except (StorageError, LockspaceError) as error:
            self._repeats.complain("leases", "the leases can't be read: %s", error)
            return None
        self._repeats.end("leases", "the leases can be read again")
        return leases

    def _lease_status(self, *, yields: bool) -> LeaseStatus:
        """
        Read the leases; where one is being taken at this very moment, a moment later.

        A reading during which the host was suspended is hours old, whatever its age: it is dropped.
        """
        for _ in range(_LEASE_READINGS_MAX - 1):
            ahead = self._clocks.ahead()
            try:
                status = self._storage.status(yields=yields)
            except LockspaceError as error:
                if error.errno != errno.EAGAIN:
                    raise
                time.sleep(_LEASE_AGAIN_S)
            else:
                if not self._clocks.has_slept_since(ahead):
                    return status
        return self._storage.status(yields=yields)

    def join(self) -> None:
        """Take this host's id, and keep it until `leave`."""
        self._storage.join()
        self._leases_shown.forget()

    def whiteboard(self, *, fresh: bool = True) -> bytes:
        """
        Return the bytes of all slots.

        *fresh*: of a reading that ended after this was asked, and began after this broker's last
        write. One that is under way for people serves the agent as well, so that the agent waits
        for one reading and not for two. Else it is as old as what people are shown.
        """
        data, _ = self._board_shown.get(fresh=fresh)
        return data

    def _read_board(self) -> tuple[bytes, Whiteboard]:
        data = self._storage.read(yields=True)
        self._read_at = self._clocks.boot()
        board = Whiteboard.parse(data, version=self._version, score_max=self._score_max)
        self._whiteboard = board
        return data, board

    def write_slot(self, block: bytes) -> None:
        """Write this host's own slot; nobody else's can be."""
        try:
            self._storage.write_slot(self.host_id, block)
        finally:
            # After an error it is not known what stands there.
            self._board_shown.forget()
        self._count("slot_writes")

    def mend_global(self, maintenance: bool, until: Optional[int] = None) -> bool:
        """Write slot 0 again if it can't be believed; say whether it was written."""
        return self._has_written(self._storage.mend_global(maintenance, until))

    def end_global(self, until: int) -> bool:
        """End global maintenance if slot 0 says that it ends then; say whether it was written."""
        return self._has_written(self._storage.end_global(until))

    def _has_written(self, is_written: bool) -> bool:
        if is_written:
            self._board_shown.forget()
            self._has_changed()
        return is_written

    def report(self, report: protocol.JSON) -> tuple[VmOrder, ...]:
        """Keep what the agent thinks, for the status; return what people order of it."""
        self._report = report
        self._reported_at = self._clocks.boot()
        self._shows_more()
        return self._orders.take()

    def last_report(self) -> protocol.JSON:
        """Return what the agent thought last, and how many seconds ago; touches no storage."""
        reported_at = self._reported_at
        age_s = None if reported_at is None else round(self._clocks.boot() - reported_at, 3)
        return {**self._report, "age_s": age_s}

    def tell(self, event: Event) -> None:
        """Queue something that people may be told."""
        self._count("events")
        self._notifier.tell(event)

    @property
    def changes(self) -> int:
        """A number that grows whenever something changes that the agent wants to know at once."""
        return self._changes

    @property
    def shown(self) -> int:
        """A number that grows whenever `status` has something new to show, ages apart."""
        return self._shown

    def wake(self, after: int, timeout_s: float) -> int:
        """Wait until `changes` is not *after*, at most so long; give it."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != after, timeout_s)
            return self._changes

    def on_change(self, call: Optional[Callable[[], None]]) -> None:
        """Call *call* (from any thread) whenever `changes` or `shown` grows; None: no longer."""
        self._on_change = call

    def leave(self) -> None:
        """Release this host's id."""
        self._storage.leave()
        self._leases_shown.forget()

    # What people ask.

    def maintenance(
        self,
        *,
        local: Optional[bool] = None,
        everywhere: Optional[bool] = None,
        until: Optional[int] = None,
    ) -> protocol.Maintenance:
        """
        Set the flags that are given, each without touching the other; say what both are.

        *until*: when what is set now ends by itself (seconds since 1970); None: somebody ends it.
        """
        # The local flag first: it needs no storage.
        if local is not None:
            self._set_local(LocalFlag(local, until if local else None))
        if everywhere is not None:
            self._set_global(is_set=everywhere, until=until)
        found = GlobalBlock(None)
        try:
            _, board = self._board_shown.get(fresh=True)
            found = board.global_block
        except StorageError:
            _log.debug("slot 0 can't be read, only the local flag is known")
        flag = self._local_flag()
        return protocol.Maintenance(
            local=flag.is_set,
            everywhere=found.maintenance,
            local_until=flag.until,
            everywhere_until=found.until,
        )

    def _local_flag(self) -> LocalFlag:
        """Return the local flag; one whose time is over ends now."""
        flag = self._local
        if flag.until is not None and self._wall_clock() >= flag.until:
            _log.info("the time of local maintenance is over")
            try:
                self._set_local(LocalFlag(is_set=False), instead_of=flag)
            except HeFsmError as error:
                # The file says when it ends: whoever reads it next ends it again.
                self._repeats.complain("flag", "the local flag can't be written: %s", error)
                return LocalFlag(is_set=False)
        return self._local

    def _set_local(self, flag: LocalFlag, instead_of: Optional[LocalFlag] = None) -> None:
        with self._guard:
            if flag == self._local or (instead_of is not None and self._local != instead_of):
                return
            write_flag(self._flags_path, flag)
            was_set, self._local = self._local.is_set, flag
        if flag.is_set is not was_set:
            _log.info("local maintenance is %s", "set" if flag.is_set else "ended")
        self._has_changed()

    def _set_global(self, *, is_set: bool, until: Optional[int] = None) -> None:
        board = self._whiteboard
        was_set = None if board is None else board.global_block.maintenance
        try:
            self._storage.write_global(is_set, until)
        except StorageError as error:
            msg = f"global maintenance stays as it is: {error}"
            raise StorageError(msg) from error
        finally:
            self._board_shown.forget()
        if was_set is not is_set:
            _log.info("global maintenance is %s", "set" if is_set else "ended")
        self._has_changed()

    def order_vm(self, wanted: Wanted, by: int, to: Optional[int] = None) -> int:
        """Keep an order for the agent, which takes it with its next report; return its number."""
        number = self._orders.put(wanted, by, to)
        _log.info("user id %d orders of the VM: %s", by, wanted.value)
        self._has_changed()
        return number

    def status(self) -> protocol.JSON:
        """
        Return everything a person wants to know.

        The storage is read at most as often as the leases are watched, and less often where it is
        slow, whoever asks how often.
        """
        try:
            self._board_shown.get()
        except StorageError as error:
            storage = str(error)
        else:
            storage = "ok"
        now, boot_now = self._clocks.read()
        local = self._local_flag()
        return status_of(
            host_id=self.host_id,
            whiteboard=self._whiteboard,
            read_age_s=None if self._read_at is None else boot_now - self._read_at,
            storage=storage,
            leases=self._leases_shown.get(),
            now=now,
            report=self._report,
            report_age_s=None if self._reported_at is None else boot_now - self._reported_at,
            monitors=dict(self._monitors.health()),
            local_maintenance=local.is_set,
            local_problem=local.problem,
            local_until=local.until,
            counts=dict(self.counts),
            threads=troubles(),
        )

    def _has_changed(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()
        self._shows_more()

    def _shows_more(self) -> None:
        with self._guard_shown:
            self._shown += 1
        if self._on_change is not None:
            self._on_change()

    def _count(self, what: str) -> None:
        with self._guard:
            self.counts[what] = self.counts.get(what, 0) + 1

    def replace(self, *, monitors: Monitors, notifier: Notifier, score_max: int) -> None:
        """Go on with other monitors, another notifier and another policy, after a reload."""
        monitors_before, self._monitors = self._monitors, monitors
        notifier_before, self._notifier = self._notifier, notifier
        self._score_max = score_max
        monitors.start()
        monitors_before.close()
        notifier_before.close(_TELLING_ENDS_WITHIN_S)
        self._has_changed()

    def close(self) -> None:
        """End monitors, notifier and storage."""
        self._has_changed()
        self._lease_watch.close()
        self._monitors.close()
        self._notifier.close(_TELLING_ENDS_WITHIN_S)
        self._storage.close()
