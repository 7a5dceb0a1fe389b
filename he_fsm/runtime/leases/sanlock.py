"""
A host's part in a lockspace of real sanlock.

The daemon holds the host id and renews it by itself: this process may end and come back, and finds
what is held as it was. When the daemon has died, everything that was held runs out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Optional

import attrs

from he_fsm.errors import (
    HostIdBusyError,
    JoinPendingError,
    LockspaceError,
    OldVmError,
    OtherIdError,
)
from he_fsm.runtime.leases import sanlock_errors
from he_fsm.runtime.leases.id_watch import IdWatch
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock_daemon import DaemonStatus, Leader, SanlockDaemon, Space
from he_fsm.runtime.leases.sanlock_module import load
from he_fsm.runtime.leases.sanlock_settings import SanlockSettings
from he_fsm.runtime.leases.sanlock_view import JoinedView
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.snapshot import LeaseView, OwnerState

_log = logging.getLogger(__name__)

# How long `join` and `leave` wait before they say that it takes its time: within the deadline that
# storage has. sanlock takes 2 x io_timeout + 1 s to join at best.
WAIT_S: Final = 1.0
_POLL_S: Final = 0.02


class SanlockLeases:
    """
    The lease of one host id; implements `ports.Leases`, and can be used from several threads.

    The times of *rules* are sanlock's as this process's clock counts them.
    *vm_is_gone* says whether no engine VM runs here; it is asked before each joining.
    """

    def __init__(
        self,
        settings: SanlockSettings,
        host_id: int,
        rules: Rules,
        *,
        vm_is_gone: Callable[[], bool],
        wait_s: float = WAIT_S,
    ) -> None:
        self.settings = settings
        self.host_id = host_id
        self.rules = rules
        self._vm_is_gone = vm_is_gone
        self._wait_s = wait_s
        self._daemon = SanlockDaemon(settings)
        self._id_watch = IdWatch(self.rules)
        self._joining: Optional[_Joining] = None
        self._is_leaving = False
        self._guard = threading.RLock()

    def join(self) -> None:
        """
        Take this host's id; joining twice is joining once.

        It takes 2 x io_timeout + 1 s, and 8 x io_timeout + watchdog longer where a daemon of
        another name had the id and did not give it back.

        Raises:
            JoinPendingError: it is under way; ask again.
            HostIdBusyError: a living host of another name holds the id.
            OldVmError: an engine VM of an earlier time runs here.
            LockspaceError: sanlock does not run or refuses, see `sanlock_errors`.
        """
        with self._guard:
            daemon = self._daemon.status()
            if self._own_space(daemon) is not None:
                self._joining = None
                return
            # safety: a new generation of this host id frees the lease of the old one for others at
            # once, whether its VM still runs or not.
            if not self._vm_is_gone():
                msg = (
                    f"host id {self.host_id} is not taken: an engine VM that was started before"
                    " still runs here; it must end first, or a second one could be started"
                )
                raise OldVmError(msg)
            if self._joining is None:
                self._wait_for_other(daemon.name)
                self._joining = _Joining(self._add_lockspace)
            self._finish_joining(self._joining, daemon.name)

    def _wait_for_other(self, own_name: str) -> None:
        """
        Raise while a host of another name may live on this id.

        sanlock itself would watch that host for 8 x io_timeout + watchdog before it says so.
        """
        ends_at = time.monotonic() + self._wait_s
        while True:
            lease = self._look_at_id()
            if not self._id_watch.is_of_another(own_name):
                return
            if self._id_watch.has_grown:
                msg = (
                    f"host id {self.host_id} is held by {lease.name}, which lives; give one of the"
                    " two another id"
                )
                raise HostIdBusyError(msg, sanlock_errors.HOST_ID_BUSY)
            if self._id_watch.is_silent(time.monotonic()):
                return
            if time.monotonic() >= ends_at:
                msg = (
                    f"host id {self.host_id} was last {lease.name}'s, which did not give it back;"
                    f" whether that lives is seen within {self._id_watch.silent_s:g} s"
                )
                raise JoinPendingError(msg)
            time.sleep(_POLL_S)

    def _finish_joining(self, joining: _Joining, own_name: str) -> None:
        if not joining.is_done(self._wait_s):
            held = self._id_watch.lease
            wait_s = self.rules.renewal_s
            why = ""
            if held is not None and self._id_watch.is_of_another(own_name):
                wait_s += self.rules.expiry_s
                why = f", because {held.name} did not give it back"
            msg = f"host id {self.host_id} is being taken, which takes {wait_s:g} s{why}"
            raise JoinPendingError(msg)
        self._joining = None
        self._is_leaving = False
        if joining.error is not None:
            raise joining.error

    def _add_lockspace(self) -> None:
        at = self.settings
        self._call(
            "add_lockspace",
            f"join {at.lockspace} as host {self.host_id}",
            sanlock_errors.JOINING,
            *(at.lockspace.encode(), self.host_id, at.path, at.offset),
            iotimeout=at.daemon_io_timeout(self.rules.io_timeout_s),
        )

    def leave(self) -> None:
        """
        Give this host's id back; nothing happens where it is not held.

        Raises:
            EngineHereError: the engine runs here (errno EBUSY); the id is still held.
            LockspaceError: sanlock does not run or refuses.
        """
        with self._guard:
            if self._own_space(self._daemon.status()) is None:
                return
            at = self.settings
            self._call(
                "rem_lockspace",
                f"host {self.host_id} leaves {at.lockspace}",
                sanlock_errors.LEAVING,
                *(at.lockspace.encode(), self.host_id, at.path, at.offset),
                wait=False,
                unused=True,
            )
            # The daemon shows it as held until it gets round to it, and gives it back by itself.
            self._is_leaving = True
            ends_at = time.monotonic() + self._wait_s
            while self._space(self._daemon.status()) is not None and time.monotonic() < ends_at:
                time.sleep(_POLL_S)

    def close(self) -> None:
        """Let go; the daemon keeps the id and renews it."""

    @property
    def is_joined(self) -> bool:
        """Whether this host holds its id; no, where the daemon does not say so."""
        try:
            return self._own_space(self._daemon.status()) is not None
        except LockspaceError as error:
            _log.warning("the host id counts as lost: %s", error)
            return False

    def status(self) -> LeaseStatus:
        """
        Read who holds what.

        Raises:
            LockspaceError: sanlock does not run or does not answer, or the lease can't be read.
        """
        with self._guard:
            daemon = self._daemon.status()
            now = time.monotonic()
            space = self._own_space(daemon)
            lease = self._daemon.engine_lease()
            if space is None:
                return self._seen_from_outside(daemon, lease)
            return JoinedView(
                hosts=self._daemon.hosts(),
                space=space,
                then=daemon.now,
                now=now,
                rules=self.rules,
                clock_rate=self.settings.clock_rate,
            ).status(lease)

    def _seen_from_outside(self, daemon: DaemonStatus, lease: Leader) -> LeaseStatus:
        """Give what the storage says by itself: whose id is this host's, who has the lease."""
        self._look_at_id()
        now = time.monotonic()
        is_dead = self._id_watch.is_dead(now)
        view = LeaseView(
            dead_hosts=frozenset({self.host_id} if is_dead else ()),
            joined=False,
            held_by_other=self._id_watch.is_of_another(daemon.name) and not is_dead,
        )
        if lease.timestamp == 0:
            return LeaseStatus(view=view)
        # Whether its owner lives is not seen from here: it counts as living, so nobody starts.
        return LeaseStatus(
            view=attrs.evolve(view, owner=lease.owner, owner_state=OwnerState.LIVE),
            owner_generation=lease.generation,
        )

    def _look_at_id(self) -> Leader:
        lease = self._daemon.host_id_lease(self.host_id)
        self._id_watch.look(lease, time.monotonic())
        return lease

    def _own_space(self, daemon: DaemonStatus) -> Optional[Space]:
        """Give this host's lockspace if it is joined, and neither lost nor being left."""
        space = self._space(daemon)
        if space is None:
            self._is_leaving = False
            return None
        is_current = daemon.now - space.renewed_at < self.rules.lost_s * self.settings.clock_rate
        is_held = space.is_kept and is_current and not space.is_lost and not self._is_leaving
        return space if is_held else None

    def _space(self, daemon: DaemonStatus) -> Optional[Space]:
        """
        Give this host's lockspace as the daemon has it.

        Raises:
            OtherIdError: the daemon has it under another host id or at another place.
        """
        at = self.settings
        for space in daemon.spaces:
            if space.name != at.lockspace:
                continue
            if (space.host_id, space.path, space.offset) != (self.host_id, at.path, at.offset):
                msg = (
                    f"the sanlock daemon has {at.lockspace} in {space.path}:{space.offset} as host"
                    f" {space.host_id}, not in {at.path}:{at.offset} as host {self.host_id}"
                )
                raise OtherIdError(msg)
            return space
        return None

    def _call(self, verb: str, what: str, meanings: Any, *words: object, **options: object) -> None:
        module = load(self.settings.run_dir)
        try:
            getattr(module, verb)(*words, **options)
        except module.SanlockException as error:
            raise sanlock_errors.refusal(what, error.errno, meanings, str(error)) from error


class _Joining:
    """sanlock's own joining, in a thread: it can't be given up, and takes its time."""

    def __init__(self, join: Callable[[], None]) -> None:
        self.error: Optional[LockspaceError] = None
        self._is_done = threading.Event()
        self._join = join
        threading.Thread(target=self._run, name="joining", daemon=True).start()

    def is_done(self, within_s: float) -> bool:
        """Wait for its end, so many seconds at most; `error` says how it ended."""
        return self._is_done.wait(within_s)

    def _run(self) -> None:
        try:
            self._join()
        except LockspaceError as error:
            self.error = error
        finally:
            self._is_done.set()
