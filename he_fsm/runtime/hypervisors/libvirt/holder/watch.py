"""
Ends a domain whose holder has ended, whatever libvirt does meanwhile.

The holder is two processes, and each ends the domain when the other one dies. Where both are killed
at one time nobody is left to do so but the agent. QEMU has a copy of the lease's descriptor, so the
lease is not free before QEMU has ended.
"""

from __future__ import annotations

import logging
import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress

from he_fsm.runtime.hypervisors.vm_file import VmRecord
from he_fsm.runtime.hypervisors.vm_process import OtherProcess, has_ended, kill_process
from he_fsm.runtime.service.supervised import SupervisedThread

_log = logging.getLogger(__name__)


class HolderWatch:
    """
    Watches the holder that a record names, in a thread of its own.

    When it has ended, the domain's process is killed, if it lives, and *on_end* is called.
    """

    def __init__(self, record: VmRecord, on_end: Callable[[], None]) -> None:
        """Begin; *record* names the holder."""
        self.pid, self._ticks = record.holder_pid or 0, record.holder_ticks or 0
        self._record = record
        self._on_end = on_end
        self._closing, self._close = os.pipe()
        self._thread = SupervisedThread("libvirt-holder", self._watch)
        self._thread.start()

    def close(self) -> None:
        """Watch no more."""
        os.close(self._close)
        self._thread.close()
        self._thread.join()
        os.close(self._closing)

    def _watch(self) -> None:
        if not self._is_closed_first():
            # Whose child it may be: its status has to be asked for.
            has_ended(self.pid)
            record = self._record
            if record.process_state is not None:
                _log.critical("the domain is ended: its holder, process %d, has ended", self.pid)
                # safety: asks no daemon. What it raises is logged, and it is tried again.
                kill_process(record.pid, record.started_ticks, signal.SIGKILL)
            self._on_end()

    def _is_closed_first(self) -> bool:
        with suppress(ProcessLookupError):
            holder = OtherProcess(self.pid, self._ticks)
            try:
                waiting = select.poll()
                waiting.register(holder, select.POLLIN)
                waiting.register(self._closing, 0)
                ready = {descriptor for descriptor, _ in waiting.poll()}
                return self._closing in ready
            finally:
                holder.close()
        return False
