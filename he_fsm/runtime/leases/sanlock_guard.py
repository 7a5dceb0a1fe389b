"""
Ends a VM whose sanlock daemon has ended: nobody renews its lease any more, nor ends it in time.

A watchdog would reset the machine; where there is none, this is what keeps a second VM from being
started beside the first. It is also what lets a host join again after its daemon came back, which
it may not do while a VM of the old generation runs.
"""

from __future__ import annotations

import logging
import signal
import threading
from typing import Final, Optional

from he_fsm.errors import LockspaceError, SanlockDownError
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord
from he_fsm.runtime.hypervisors.vm_process import read_report, send_signal
from he_fsm.runtime.leases.sanlock_settings import SanlockSettings
from he_fsm.runtime.leases.sanlock_watch import DaemonWatch, holds_lease, watchdog_warning
from he_fsm.runtime.log import Repeats

_log = logging.getLogger(__name__)

# How often it is looked whether a daemon that is not there has come (seconds).
_AGAIN_S: Final = 0.5
# How long the end waits for a question to a daemon that does not answer (seconds).
_CLOSED_S: Final = 1.0


class LeaseGuard:
    """
    Watches the daemon behind the VM of one host, in a thread of its own.

    *file* is where the hypervisor notes the VM's process.
    """

    def __init__(self, settings: SanlockSettings, file: VmFile) -> None:
        """Begin at once."""
        self._settings = settings
        self._file = file
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
            self._warn()
            self._check()
            self._stirred.wait()
            self._stirred.clear()
            if watch.is_gone:
                self._end_vm("the sanlock daemon has ended")
        finally:
            watch.close()

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
        if not holds_lease(self._settings, record.pid) and self._vm() == record:
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
