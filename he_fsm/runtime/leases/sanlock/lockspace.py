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
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.errors import (
    JoinPendingError,
    LockspaceError,
    NotJoinedError,
    OldVmError,
    OtherIdError,
    SanlockDownError,
    StorageError,
)
from he_fsm.runtime.leases.joining import Joining
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.daemon.clock import DaemonClock
from he_fsm.runtime.leases.sanlock.daemon.command import DaemonStatus, Leader, SanlockDaemon, Space
from he_fsm.runtime.leases.sanlock.daemon.joins import Joins, OwnJoins
from he_fsm.runtime.leases.sanlock.quiet import Glance, Known, QuietTime
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.sanlock.view import JoinedView
from he_fsm.runtime.leases.sanlock.watching.daemon_watch import NO_WATCHDOG
from he_fsm.runtime.leases.sanlock.watching.doom import Doom, DoomWatch
from he_fsm.runtime.leases.sanlock.watching.id_watch import IdWatch, wait_for_other
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.snapshot import LeaseView, OwnerState

_log = logging.getLogger(__name__)

_POLL_S: Final = 0.02


class SanlockLeases:
    """
    The lease of one host id; implements `ports.Leases`, and can be used from several threads.

    The times of *rules* are sanlock's as this process's clock counts them.
    *vm_is_gone* says whether no engine VM runs here; it is asked before each joining. *joins* has
    the lockspace joined and left; None: this process orders it of sanlock.
    """

    def __init__(
        self,
        settings: SanlockSettings,
        host_id: int,
        rules: Rules,
        *,
        vm_is_gone: Callable[[], bool],
        joins: Optional[Joins] = None,
    ) -> None:
        self.settings = settings
        self.host_id = host_id
        self.rules = rules
        self._vm_is_gone = vm_is_gone
        self._joins: Joins = joins or OwnJoins(
            settings=settings, host_id=host_id, io_timeout_s=rules.io_timeout_s
        )
        self._wait_s = settings.wait_s
        self._daemon = SanlockDaemon(settings)
        self._clock = DaemonClock(settings.clock_rate)
        self._id_watch = IdWatch(self.rules)
        note = Path(settings.doom_note) if settings.doom_note else None
        self._doom = DoomWatch(self.rules, settings.clock_rate, note)
        self._quiet = QuietTime(settings, host_id, rules)
        self._joining: Optional[Joining] = None
        self._is_leaving = False
        self._has_warned = False
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
            LockspaceError: sanlock does not run or refuses, see `daemon.errors`.
        """
        with self._guard:
            daemon = self._daemon_status()
            # An earlier loss leaves no trace once the id is acquired again.
            self._look_for_doom(daemon)
            if self._own_space(daemon) is not None:
                self._joining = None
                self._warn(daemon)
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
                wait_for_other(
                    *(self._id_watch, self._look_at_id, daemon.name), self.host_id, self._wait_s
                )
                self._joining = Joining(self._joins.join)
            self._finish_joining(self._joining, daemon.name)
            self._warn(daemon)

    def _finish_joining(self, joining: Joining, own_name: str) -> None:
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
        if joining.error is not None:
            raise joining.error
        self._is_leaving = False

    def _warn(self, daemon: DaemonStatus) -> None:
        if not daemon.has_watchdog and not self._has_warned:
            _log.warning(NO_WATCHDOG)
            self._has_warned = True

    def leave(self) -> None:
        """
        Release this host's id, or stop joining; nothing happens if the id is not held.

        Raises:
            EngineHereError: the engine runs here (errno EBUSY); the id is still held.
            LockspaceError: sanlock does not run or refuses.
        """
        with self._guard:
            if self._space(self._daemon.status()) is None:
                return
            try:
                self._joins.leave()
            except NotJoinedError:
                return
            # The earlier request to join is void.
            self._joining = None
            # The daemon removes it asynchronously, and shows it as held until then.
            self._is_leaving = True
            ends_at = time.monotonic() + self._wait_s
            while self._space(self._daemon.status()) is not None and time.monotonic() < ends_at:
                time.sleep(_POLL_S)

    def close(self) -> None:
        """Disconnect; the daemon keeps the id and renews it."""

    @property
    def is_joined(self) -> bool:
        """Whether this host holds its id; no, where the daemon does not say so."""
        with self._guard:
            if self._known_by(self._glance()) is not None:
                return True
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
            glance = self._glance()
            known = self._known_by(glance)
            if known is not None:
                status = known.status()
                return attrs.evolve(status, view=self._with_times(status.view, known.daemon))
            return self._asked_status(glance)

    def _asked_status(self, glance: Optional[Glance]) -> LeaseStatus:
        """Read who holds what by sanlock's command; *glance* was taken just before."""
        daemon = self._daemon_status()
        began = self._clock.began(daemon.now, time.monotonic())
        doom = self._look_for_doom(daemon)
        space = self._own_space(daemon)
        lease = self._daemon.engine_lease()
        if space is None:
            status = self._seen_from_outside(daemon, lease)
        else:
            view = JoinedView(
                hosts=self._daemon.hosts(),
                space=space,
                then=daemon.now,
                now=began,
                rules=self.rules,
                clock_rate=self.settings.clock_rate,
            )
            status = view.status(lease)
            if glance is not None and doom is None:
                self._quiet.begin(glance, Known(view, lease, daemon))
        seen = self._with_times(status.view, daemon)
        if doom is not None:
            seen = seen._replace(doomed_until=doom.until, doom=doom.why)
        return attrs.evolve(status, view=seen)

    def _glance(self) -> Optional[Glance]:
        """Look without a command; None: that tells nothing, or this host joins or leaves."""
        if self._joining is not None or self._is_leaving:
            return None
        try:
            return self._quiet.glance()
        except (LockspaceError, StorageError):
            # The command says what is wrong.
            return None

    def _known_by(self, glance: Optional[Glance]) -> Optional[Known]:
        """Return what a glance shows; None: the command has to be asked."""
        known = None if glance is None else self._quiet.known(glance)
        if known is None:
            self._quiet.end()
        return known

    def _with_times(self, view: LeaseView, daemon: DaemonStatus) -> LeaseView:
        """Return the view with the times that the daemon goes by, on this process's clock."""
        rate, grace = self.settings.clock_rate, daemon.kill_grace
        return view._replace(
            watchdog_s=daemon.watchdog / rate, kill_grace_s=None if grace is None else grace / rate
        )

    def _daemon_status(self) -> DaemonStatus:
        """Ask the daemon how it is, and take note where there is none."""
        try:
            return self._daemon.status()
        except SanlockDownError:
            self._doom.is_gone(self._id_lease)
            raise

    def _look_for_doom(self, daemon: DaemonStatus) -> Optional[Doom]:
        space = self._space(daemon)
        return self._doom.look(daemon, space, self._id_lease, is_leaving=self._is_leaving)

    def _seen_from_outside(self, daemon: DaemonStatus, lease: Leader) -> LeaseStatus:
        """Return what the storage says by itself: whose id is this host's, who has the lease."""
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
            view=view._replace(owner=lease.owner, owner_state=OwnerState.LIVE),
            owner_generation=lease.generation,
        )

    def _id_lease(self) -> Leader:
        return self._daemon.host_id_lease(self.host_id)

    def _look_at_id(self) -> Leader:
        lease = self._id_lease()
        self._id_watch.look(lease, time.monotonic())
        return lease

    def _own_space(self, daemon: DaemonStatus) -> Optional[Space]:
        """Return this host's lockspace if it is joined, and neither lost nor being left."""
        space = self._space(daemon)
        if space is None:
            self._is_leaving = False
            return None
        is_current = daemon.now - space.renewed_at < self.rules.lost_s * self.settings.clock_rate
        is_held = space.is_kept and is_current and not space.is_lost and not self._is_leaving
        return space if is_held else None

    def _space(self, daemon: DaemonStatus) -> Optional[Space]:
        """
        Return this host's lockspace as the daemon has it.

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
