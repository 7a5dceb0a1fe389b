"""
Ends a VM whose sanlock daemon has ended or hangs: nobody renews its lease, nor ends it in time.

A watchdog would reset the machine; where there is none, this is what keeps a second VM from being
started beside the first. It is also what lets a host join again after its daemon came back, which
it may not do while a VM of the old generation runs.

What proves the end of a daemon is the end of a connection to it. A daemon that can't be reached may
be well: its folder may be another one, or its socket refuses for a moment. Then the lease of the
host id on the storage tells for how long nobody has renewed it, as with a daemon that hangs.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Final, Optional

from he_fsm.errors import HypervisorError, LockspaceError, SanlockDownError
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.daemon.command import DaemonStatus, Leader, SanlockDaemon
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.sanlock.watching.daemon_watch import (
    DaemonWatch,
    holds_lease,
    watchdog_warning,
)
from he_fsm.runtime.leases.sanlock.watching.renewals import Renewals
from he_fsm.runtime.ports import LeaseUse, VmAccess, VmIdentity
from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.service.supervised import SupervisedThread

_log = logging.getLogger(__name__)

# How often it is looked whether a daemon that is not there has come (seconds).
_AGAIN_S: Final = 0.5
# The daemon is asked so often in the watchdog's time, and at least every so many seconds.
_LOOKS: Final = 60
_PERIOD_MAX_S: Final = 5.0
# While renewals are seen on the storage, nothing is urgent: a look in so many periods is enough.
_QUIET: Final = 2.5
# At this share of the watchdog's time a VM is ended that its daemon should have ended before: the
# daemon kills it at 2/3, and at the end of that time it may be started elsewhere.
_LAST_MOMENT: Final = 5 / 6
# Where the guard itself stands still, the VM is ended after this share of the watchdog's time.
_STANDSTILL: Final = 1 / 2
# In I/O timeouts: while its renewals are seen on the storage, the daemon is asked so seldom.
_AGAIN_AFTER: Final = 6
# How long the end waits for a question to a daemon that does not answer (seconds).
_CLOSED_S: Final = 1.0


class LeaseGuard:
    """
    Watches the daemon behind the VM of one host, in a thread of its own.

    *access* says which process the VM is, and ends it; *rules* are sanlock's times as this
    process's clock counts them.
    """

    def __init__(
        self, settings: SanlockSettings, host_id: int, access: VmAccess, rules: Rules
    ) -> None:
        """Begin at once."""
        self._settings = settings
        self._host_id = host_id
        self._access = access
        self._daemon = SanlockDaemon(settings)
        self._period_s = min(_PERIOD_MAX_S, rules.watchdog_s / _LOOKS)
        self._pause_s = self._period_s
        self._renewals = Renewals(settings, host_id, rules, _QUIET * self._period_s)
        self._again_s = _AGAIN_AFTER * rules.io_timeout_s
        # The daemon's own word is asked for at this time, even if renewals are seen.
        self._ask_at = -math.inf
        self._overdue_s = rules.lost_s + rules.watchdog_s * _LAST_MOMENT
        # When this host's id was last renewed; None: it is not held. Nothing better is known now.
        self._renewed_at: Optional[float] = time.monotonic()
        # The lease of the host id as it was last read where no daemon could be asked.
        self._lease: Optional[Leader] = None
        self._looked_at = -math.inf
        # The daemon that gave the VM its lease is known to have ended, and none has come since.
        self._has_ended = False
        self._repeats = Repeats(_log)
        self._has_warned = False
        self._is_checked = False
        self._checking: Optional[threading.Thread] = None
        self._ends = threading.Event()
        self._stirred = threading.Event()
        # When the thread was last seen to go on, and since when it has been late (`check`).
        self._standstill_s = rules.watchdog_s * _STANDSTILL
        self._beat_at = time.monotonic()
        self._late_since: Optional[float] = None
        self._thread = SupervisedThread("lease-guard", self._run)
        self._thread.start()

    def close(self) -> None:
        """Watch no more; the VM runs on."""
        self._ends.set()
        self._stirred.set()
        self._thread.close()
        self._thread.join(_CLOSED_S)

    def check(self) -> None:
        """
        End the VM where nobody guards it: the thread has stood still for too long.

        Called by another thread, every few seconds. A process that was stopped as a whole and goes
        on gives the guard the time to look first.
        """
        now = time.monotonic()
        if now - self._beat_at <= self._standstill_s:
            self._late_since = None
            return
        if self._late_since is None:
            self._late_since = now
        elif now - self._late_since > self._period_s:
            self._end_vm(f"its guard has stood still for {now - self._beat_at:.0f} s")

    def _run(self) -> None:
        while not self._ends.is_set():
            self._beat_at = time.monotonic()
            try:
                self._watch_one()
            except LockspaceError as error:
                self._repeats.complain("daemon", "%s", error)
                if self._has_ended and isinstance(error, SanlockDownError):
                    # Its end may have come between two looks at the VM.
                    self._end_vm(str(error))
                self._look_at_storage()
                self._ends.wait(_AGAIN_S)

    def _watch_one(self) -> None:
        """Watch the daemon that runs now, to its end."""
        watch = DaemonWatch(self._settings, self._stirred.set)
        try:
            self._repeats.end("daemon", "sanlock is there again")
            self._has_ended = self._is_checked = False
            while not self._stirred.wait(self._pause_s):
                self._beat_at = time.monotonic()
                if self._look():
                    self._warn()
                    self._begin_check()
            self._stirred.clear()
            if watch.is_gone:
                self._has_ended = True
                self._end_vm("the sanlock daemon has ended")
        finally:
            watch.close()

    def _begin_check(self) -> None:
        """Ask the daemon once whether it knows the VM; in a thread, for it may never answer."""
        if self._is_checked or (self._checking is not None and self._checking.is_alive()):
            return
        self._checking = threading.Thread(target=self._check, name="lease-check", daemon=True)
        self._checking.start()

    def _look_at_storage(self) -> None:
        """End a VM whose host id nobody renews, while no daemon can be asked."""
        now = time.monotonic()
        if now < self._looked_at + self._period_s:
            return
        self._looked_at = now
        try:
            lease = self._daemon.host_id_lease(self._host_id)
        except LockspaceError as error:
            self._repeats.complain("lease", "%s", error)
        else:
            self._repeats.end("lease", "the lease of this host's id can be read again")
            self._note_renewal(lease, now)
        self._end_if_overdue()

    def _note_renewal(self, lease: Leader, now: float) -> None:
        before, self._lease = self._lease, lease
        if before is not None and before.timestamp != lease.timestamp:
            self._renewed_at = now
        elif before is None and self._settings.clock_rate == 1.0:
            # The daemons of one boot count with one clock: the time on the storage is exact.
            age_s = now - lease.timestamp
            if self._renewed_at is not None and lease.timestamp and age_s >= 0:
                self._renewed_at = now - age_s

    def _look(self) -> bool:
        """End a VM that a daemon that hangs has not ended; say whether the daemon answers."""
        now = time.monotonic()
        renewed_at = self._renewals.last(now)
        if renewed_at is not None and now < self._ask_at:
            self._renewed_at = renewed_at
            self._pause_s = _QUIET * self._period_s
            return True
        self._pause_s = self._period_s
        daemon = self._status()
        if daemon is not None:
            self._ask_at = now + self._again_s
            renewed = [s.renewed_at for s in daemon.spaces if s.name == self._settings.lockspace]
            self._renewed_at = None
            if renewed and renewed[0]:
                age_s = (daemon.now - renewed[0]) / self._settings.clock_rate
                self._renewed_at = now - age_s
            self._lease = None
        self._end_if_overdue()
        return daemon is not None

    def _end_if_overdue(self) -> None:
        if self._renewed_at is not None and time.monotonic() - self._renewed_at > self._overdue_s:
            self._end_vm(f"the host id was not renewed for {self._overdue_s:g} s")

    def _status(self) -> Optional[DaemonStatus]:
        try:
            status = self._daemon.status()
        except LockspaceError as error:
            self._repeats.complain("silent", "%s", error)
            return None
        self._repeats.end("silent", "sanlock answers again")
        return status

    def _warn(self) -> None:
        if not self._has_warned:
            warning = watchdog_warning(self._settings)
            if warning is not None:
                _log.warning("%s", warning)
            self._has_warned = True

    def _check(self) -> None:
        """End a VM of which the daemon, which may be a new one, knows nothing."""
        vm = self._vm()
        # The lease of a VM that moves is unowned for a moment: the migration sees to that.
        if vm is None or vm.lease is LeaseUse.MOVES:
            self._is_checked = True
            return
        try:
            is_held = holds_lease(self._settings, vm.pid)
        except LockspaceError as error:
            # The next look asks again.
            self._repeats.complain("check", "%s", error)
            return
        self._is_checked = True
        self._repeats.end("check", "sanlock was asked for the VM's lease")
        if not is_held and self._vm() == vm:
            self._end_vm("the sanlock daemon knows nothing of its lease")

    def _end_vm(self, why: str) -> None:
        vm = self._vm()
        if vm is not None:
            _log.critical("the VM here runs without its lease, it is ended: %s", why)
            # safety: in 8 x io_timeout + 60 s another host may start it, and at once where this
            # host joins again.
            self._access.kill_now(vm)

    def _vm(self) -> Optional[VmIdentity]:
        """Return the VM here, if it has, or may have, the lease."""
        try:
            vm = self._access.identity()
        except HypervisorError as error:
            self._repeats.complain("record", "%s", error)
            return None
        # A VM that still waits for the lease notices by itself that the lease can't be had.
        return None if vm is None or vm.lease is LeaseUse.WAITS else vm
