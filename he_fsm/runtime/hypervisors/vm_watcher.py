"""The thread that notices what happens to a VM's process by its record."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Final, Optional

from he_fsm.runtime.hypervisors.vm_file import VmFile, VmRecord
from he_fsm.runtime.hypervisors.vm_process import open_process
from he_fsm.runtime.service.supervised import SupervisedThread

# How often the folder is looked at; a process that ends is seen at once (seconds).
_LOOK_S: Final = 0.1


class Watcher:
    """
    A thread that calls *wake* when the VM's process ends, is paused, or writes its file.

    *more*: returns something else that is looked at, and that wakes when it changes.
    """

    def __init__(
        self, file: VmFile, wake: Callable[[], None], more: Callable[[], object] = bool
    ) -> None:
        self._file = file
        self._wake = wake
        self._more = more
        self._signature: Optional[tuple[int, int]] = None
        self._record: Optional[VmRecord] = None
        self._process: Optional[int] = None
        self._last = self._glance()
        self._closed_in, self._closed_out = os.pipe()
        self._thread = SupervisedThread("vm-watcher", self._run)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and wait for it."""
        os.close(self._closed_out)
        self._thread.close()
        self._thread.join()
        os.close(self._closed_in)

    def _run(self) -> None:
        try:
            while not self._is_closed_soon():
                glance = self._glance()
                if glance != self._last:
                    self._last = glance
                    self._wake()
        finally:
            self._let_go()

    def _is_closed_soon(self) -> bool:
        """Wait for a while, or for the end of the process or of this."""
        waiting = select.poll()
        waiting.register(self._closed_in, select.POLLIN)
        if self._process is not None:
            waiting.register(self._process, select.POLLIN)
        ready = waiting.poll(_LOOK_S * 1000)
        return any(descriptor == self._closed_in for descriptor, _ in ready)

    def _glance(self) -> tuple[object, ...]:
        """Return what differs when something has changed."""
        try:
            signature = self._file.signature
            if signature != self._signature:
                self._signature, self._record = signature, self._file.read()
                self._let_go()
                self._process = open_process(self._record)
        except (OSError, ValueError):
            # The agent finds it out when it asks.
            return ()
        record = self._record
        is_gone = record is None or record.process_state is None
        if is_gone:
            self._let_go()
        is_stopped = record is not None and not is_gone and record.is_stopped
        return signature, is_gone, is_stopped, self._more()

    def _let_go(self) -> None:
        if self._process is not None:
            os.close(self._process)
            self._process = None
