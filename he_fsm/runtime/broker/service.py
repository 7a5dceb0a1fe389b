"""What the broker does, whatever it is asked over: storage, monitors, flags, events, status."""

from __future__ import annotations

import errno
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional, Protocol

from he_fsm.errors import LockspaceError, StorageError
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime.broker import protocol
from he_fsm.runtime.broker.lease_watch import LeaseWatch
from he_fsm.runtime.broker.status import status_of
from he_fsm.runtime.log import Repeats
from he_fsm.runtime.memory_file import write_json
from he_fsm.runtime.ports import Event, LeaseStatus
from he_fsm.snapshot import Health, Readings

_log = logging.getLogger(__name__)
# How long messages that are queued may take when the broker stops, or gets other channels.
_TELLING_ENDS_WITHIN_S = 2.0
# Between its lock and its record a lease that is being taken is nobody's, for a few ms.
_LEASE_READINGS_MAX = 4
_LEASE_AGAIN_S = 0.02


class Storage(Protocol):
    """The shared storage, each call with a deadline; raises `StorageError` or `LockspaceError`."""

    def read(self) -> bytes:
        """Read all slots."""

    def write_slot(self, slot: int, block: bytes) -> None:
        """Write this host's slot."""

    def write_global(self, maintenance: bool) -> None:
        """Write slot 0 under its guard."""

    def join(self) -> None:
        """Take this host's id."""

    def leave(self) -> None:
        """Give it back."""

    def status(self) -> LeaseStatus:
        """Read who holds what."""

    def close(self) -> None:
        """End what serves it."""


class Monitors(Protocol):
    """All monitors of this host; asking never waits."""

    def readings(self) -> Readings:
        """Give the last values with their ages."""

    def engine_health(self) -> tuple[Health, float, str]:
        """Give what the health page said, how long ago, and why."""

    def health(self) -> Mapping[str, object]:
        """Give what each monitor last found, for people."""

    def start(self) -> None:
        """Begin to measure."""

    def close(self) -> None:
        """End them."""


class Notifier(Protocol):
    """Tells people; never waits but at its end."""

    def tell(self, event: Event) -> None:
        """Queue one event."""

    def close(self, wait_s: float) -> None:
        """Tell what is queued, for so long at most; then let go."""


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
    ) -> None:
        """
        Begin to serve; the host id is the agent's to take.

        *lease_look_s*: how often to look whether something about the leases has changed.
        """
        self.host_id = host_id
        self._storage = storage
        self._monitors = monitors
        self._notifier = notifier
        self._flags_path = flags_path
        self._version = version
        self._score_max = score_max
        self._local = _read_flag(flags_path)
        self._repeats = Repeats(_log)
        # One change of the flags at a time, so that file and memory agree.
        self._guard = threading.Lock()
        self._changed = threading.Condition()
        # Begins elsewhere with every start: who knows an earlier broker's number sees a change.
        self._changes = time.monotonic_ns()
        self._on_change: Optional[Callable[[], None]] = None
        self._report: protocol.JSON = {}
        self._reported_at: Optional[float] = None
        self._whiteboard: Optional[Whiteboard] = None
        self._read_at: Optional[float] = None
        self.counts: dict[str, int] = {}
        self._lease_watch = LeaseWatch(self._leases, self._has_changed, lease_look_s)

    def start(self) -> None:
        """Let the monitors measure, and watch the leases."""
        self._monitors.start()
        self._lease_watch.start()

    # What the agent asks.

    def facts(self) -> protocol.BrokerFacts:
        """Give readings, leases and the local flag; storage in trouble makes the leases None."""
        health, age_s, why = self._monitors.engine_health()
        return protocol.BrokerFacts(
            readings=self._monitors.readings(),
            engine=protocol.EngineHealth(health=health, age_s=age_s, why=why),
            leases=self._leases(),
            local_maintenance=self._local,
        )

    def _leases(self) -> Optional[LeaseStatus]:
        try:
            leases = self._lease_status()
        except (StorageError, LockspaceError) as error:
            self._repeats.complain("leases", "the leases can't be read: %s", error)
            return None
        self._repeats.end("leases", "the leases can be read again")
        return leases

    def _lease_status(self) -> LeaseStatus:
        """Read the leases; where one is being taken at this very moment, a moment later."""
        for _ in range(_LEASE_READINGS_MAX - 1):
            try:
                return self._storage.status()
            except LockspaceError as error:
                if error.errno != errno.EAGAIN:
                    raise
                time.sleep(_LEASE_AGAIN_S)
        return self._storage.status()

    def join(self) -> None:
        """Take this host's id, and keep it until `leave`."""
        self._storage.join()

    def whiteboard(self) -> bytes:
        """Read all slots."""
        data = self._storage.read()
        self._read_at = time.monotonic()
        self._whiteboard = Whiteboard.parse(data, version=self._version, score_max=self._score_max)
        return data

    def write_slot(self, block: bytes) -> None:
        """Write this host's own slot; nobody else's can be."""
        self._storage.write_slot(self.host_id, block)
        self._count("slot_writes")

    def report(self, report: protocol.JSON) -> None:
        """Keep what the agent thinks, for the status."""
        self._report = report
        self._reported_at = time.monotonic()

    def last_report(self) -> protocol.JSON:
        """Give what the agent thought last, and how many seconds ago; touches no storage."""
        reported_at = self._reported_at
        age_s = None if reported_at is None else round(time.monotonic() - reported_at, 3)
        return {**self._report, "age_s": age_s}

    def tell(self, event: Event) -> None:
        """Queue something that people may be told."""
        self._count("events")
        self._notifier.tell(event)

    @property
    def changes(self) -> int:
        """A number that grows whenever something changes that the agent wants to know at once."""
        return self._changes

    def wake(self, after: int, timeout_s: float) -> int:
        """Wait until `changes` is not *after*, at most so long; give it."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != after, timeout_s)
            return self._changes

    def on_change(self, call: Optional[Callable[[], None]]) -> None:
        """Call *call* (from any thread) with every change; None: no longer."""
        self._on_change = call

    def leave(self) -> None:
        """Give this host's id back."""
        self._storage.leave()

    # What people ask.

    def maintenance(
        self, *, local: Optional[bool] = None, everywhere: Optional[bool] = None
    ) -> protocol.Maintenance:
        """Set the flags that are given, each without touching the other; say what both are."""
        # The local flag first: it needs no storage.
        if local is not None:
            self._set_local(is_set=local)
        if everywhere is not None:
            self._set_global(is_set=everywhere)
        found: Optional[bool] = None
        try:
            self.whiteboard()
        except StorageError:
            _log.debug("slot 0 can't be read, only the local flag is known")
        else:
            if self._whiteboard is not None:
                found = self._whiteboard.global_block.maintenance
        return protocol.Maintenance(local=self._local, everywhere=found)

    def _set_local(self, *, is_set: bool) -> None:
        with self._guard:
            if is_set == self._local:
                return
            write_json(self._flags_path, {"local_maintenance": is_set})
            self._local = is_set
        _log.info("local maintenance is %s", "set" if is_set else "ended")
        self._has_changed()

    def _set_global(self, *, is_set: bool) -> None:
        try:
            self._storage.write_global(is_set)
        except StorageError as error:
            msg = f"global maintenance stays as it is: {error}"
            raise StorageError(msg) from error
        _log.info("global maintenance is %s", "set" if is_set else "ended")
        self._has_changed()

    def status(self) -> protocol.JSON:
        """Give everything a person wants to know."""
        try:
            self.whiteboard()
        except StorageError as error:
            storage = str(error)
        else:
            storage = "ok"
        now = time.monotonic()
        return status_of(
            host_id=self.host_id,
            whiteboard=self._whiteboard,
            read_age_s=None if self._read_at is None else now - self._read_at,
            storage=storage,
            leases=self._leases(),
            now=now,
            report=self._report,
            report_age_s=None if self._reported_at is None else now - self._reported_at,
            monitors=dict(self._monitors.health()),
            local_maintenance=self._local,
            counts=dict(self.counts),
        )

    def _has_changed(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()
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


def _read_flag(path: Path) -> bool:
    """Read the local flag: a damaged file is no maintenance, and one line in the log."""
    try:
        value = json.loads(path.read_bytes())["local_maintenance"]
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s can't be used, local maintenance is taken for not set: %s", path, error)
        return False
    if not isinstance(value, bool):
        _log.warning(
            "%s can't be used, local maintenance is taken for not set: %r is no flag", path, value
        )
        return False
    return value
