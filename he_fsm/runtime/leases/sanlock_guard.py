"""
Ends a VM whose sanlock daemon has ended or hangs: nobody renews its lease, nor ends it in time.

A watchdog would reset the machine; where there is none, this is what keeps a second VM from being
started beside the first. It is also what lets a host join again after its daemon came back, which
it may not do while a VM of the old generation runs.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import Final, Optional

from he_fsm.errors import LockspaceError, SanlockDownError
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord
from he_fsm.runtime.hypervisors.vm_process import read_report, send_signal
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock_daemon import DaemonStatus, SanlockDaemon
from he_fsm.runtime.leases.sanlock_settings import SanlockSettings
from he_fsm.runtime.leases.sanlock_watch import DaemonWatch, holds_lease, watchdog_warning
from he_fsm.runtime.log import Repeats

_log = logging.getLogger(__name__)

# How often it is looked whether a daemon that is not there has come (seconds).
_AGAIN_S: Final = 0.5
# The daemon is asked so often in the watchdog's time, and at least every so many seconds.
_LOOKS: Final = 60
_PERIOD_MAX_S: Final = 5.0
# At this share of the watchdog's time a VM is ended that its daemon should have ended before: the
# daemon kills it at 2/3, and at the end of that time it may be started elsewhere.
_LAST_MOMENT: Final = 5 / 6
# How long the end waits for a question to a daemon that does not answer (seconds).
_CLOSED_S: Final = 1.0


class LeaseGuard:
    """
    Watches the daemon behind the VM of one host, in a thread of its own.

    *file* is where the hypervisor notes the VM's process; *rules* are sanlock's times as this
    process's clock counts them.
    """

    def __init__(self, settings: SanlockSettings, file: VmFile, rules: Rules) -> None:
        """Begin at once."""
        self._settings = settings
        self._file = file
        self._daemon = SanlockDaemon(settings)
        self._period_s = min(_PERIOD_MAX_S, rules.watchdog_s / _LOOKS)
        self._overdue_s = rules.lost_s + rules.watchdog_s * _LAST_MOMENT
        # When this host's id was last renewed; None: it is not held. Nothing better is known now.
        self._renewed_at: Optional[float] = time.monotonic()
        self._repeats = Repeats(_log)
        self._has_warned = False
        self._ends = threading.Event()
        self._stirred = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-guard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no more; the VM runs on."""
        self._ends.set()
        self._stirred.set()
        self._thread.join(_CLOSED_S)

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                self._watch_one()
            except SanlockDownError as error:
                self._repeats.complain("daemon", "%s", error)
                self._end_vm(str(error))
                self._ends.wait(_AGAIN_S)
            except LockspaceError as error:
                self._repeats.complain("daemon", "%s", error)
                self._ends.wait(_AGAIN_S)

    def _watch_one(self) -> None:
        """Watch the daemon that runs now, to its end."""
        watch = DaemonWatch(self._settings, self._stirred.set)
        try:
            self._repeats.end("daemon", "sanlock is there again")
            has_answered = False
            while not self._stirred.wait(self._period_s):
                if self._look() and not has_answered:
                    has_answered = True
                    self._warn()
                    # A daemon that is stopped just now would never answer.
                    threading.Thread(target=self._check, name="lease-check", daemon=True).start()
            self._stirred.clear()
            if watch.is_gone:
                self._end_vm("the sanlock daemon has ended")
        finally:
            watch.close()

    def _look(self) -> bool:
        """End a VM that a daemon that hangs has not ended; say whether the daemon answers."""
        now = time.monotonic()
        daemon = self._status()
        if daemon is not None:
            renewed = [s.renewed_at for s in daemon.spaces if s.name == self._settings.lockspace]
            self._renewed_at = None
            if renewed and renewed[0]:
                age_s = (daemon.now - renewed[0]) / self._settings.clock_rate
                self._renewed_at = now - age_s
        if self._renewed_at is not None and time.monotonic() - self._renewed_at > self._overdue_s:
            self._end_vm(f"the host id was not renewed for {self._overdue_s:g} s")
        return daemon is not None

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
        record = self._vm()
        # The lease of a VM that moves is in the air for a moment: that is the migration's matter.
        if record is None or record.is_leaving or record.phase is Phase.ARRIVING:
            return
        try:
            is_held = holds_lease(self._settings, record.pid)
        except LockspaceError as error:
            # The next daemon is asked.
            self._repeats.complain("check", "%s", error)
            return
        if not is_held and self._vm() == record:
            self._end_vm("the sanlock daemon knows nothing of its lease")

    def _end_vm(self, why: str) -> None:
        record = self._vm()
        if record is not None:
            _log.critical("the VM here runs without its lease, it is ended: %s", why)
            # safety: in 8 x io_timeout + 60 s another host may start it, and at once where this
            # host joins again.
            send_signal(record, signal.SIGKILL)

    def _vm(self) -> Optional[VmRecord]:
        """Give the VM here, if it has, or may have, the lease."""
        try:
            record = self._file.read()
        except (OSError, ValueError) as error:
            self._repeats.complain("record", "nobody knows whether a VM runs here: %s", error)
            return None
        if record is None or not record.is_here:
            return None
        # One that still waits for the lease finds by itself that it can't be had.
        waits = record.phase is Phase.STARTING and not _has_taken(self._file)
        return None if waits else record


def _has_taken(file: VmFile) -> bool:
    return bool(read_report(file.path.parent).get("lease") == "taken")
