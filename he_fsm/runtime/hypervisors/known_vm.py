"""What is known of the process of a daemon's VM: written down in its record (`vm_file`)."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any, Optional

import attrs

from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord
from he_fsm.runtime.ports import VmIdentity

_log = logging.getLogger(__name__)


class KnownVm:
    """
    The record of one host's VM, which outlives the agent; the guard of the lease reads it.

    Changes are made under *guard*, which others hold while they decide by it.
    """

    def __init__(self, path: Path, guard: threading.RLock) -> None:
        """Know nothing yet."""
        self._file = VmFile(path)
        self._guard = guard
        self._record: Optional[VmRecord] = None
        # Why the record could not be written last; empty: it is as it should be.
        self.unwritten = ""

    @property
    def record(self) -> Optional[VmRecord]:
        """What is written of the VM's process; None: nothing, or it has ended."""
        return self._record

    def read(self) -> Optional[VmRecord]:
        """Return what the last agent has left, if its process lives."""
        try:
            record = self._file.read()
        except (OSError, ValueError) as error:
            _log.warning("what the last agent knew of the VM is lost: %s", error)
            return None
        with self._guard:
            self._record = record if record is not None and record.is_here else None
            self._changed()
            return self._record

    def note(self, vm: VmIdentity, **changes: Any) -> VmRecord:
        """Write what has become known of the process *vm*."""
        with self._guard:
            before = self._record
            ticks = int(vm.incarnation)
            if before is None or (before.pid, before.started_ticks) != (vm.pid, ticks):
                before = VmRecord(
                    pid=vm.pid,
                    started_ticks=ticks,
                    phase=Phase.RUNNING,
                    port=0,
                    since=time.monotonic(),
                )
            if changes.get("phase", before.phase) is not before.phase:
                changes["since"] = time.monotonic()
            record = attrs.evolve(before, **changes)
            self._keep(record)
            return record

    def forget(self) -> None:
        """Remove the record: no process of the VM is here."""
        with self._guard:
            record, self._record = self._record, None
            if record is not None:
                try:
                    self._file.clear(record)
                except (OSError, ValueError) as error:
                    # It names a process that has ended, and the next one's replaces it.
                    _log.warning("the record of the VM that has ended stays: %s", error)
            self._changed()

    def _keep(self, record: VmRecord) -> None:
        if record == self._record:
            return
        try:
            self._file.write(record)
            self.unwritten = ""
        except OSError as error:
            self.unwritten = f"{self._file.path} can't be written: {error.strerror}"
            _log.warning("%s", self.unwritten)
        self._record = record
        self._changed()

    def _changed(self) -> None:
        """Do what follows from another record; the caller holds the guard."""
