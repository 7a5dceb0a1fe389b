"""
What is known of the domain's process and its holder: written down, and watched.

The record (`vm_file`) outlives the agent, and others read it: the guard of the lease, and the
holder itself, which has to know whether its domain has moved.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.runtime.hypervisors.libvirt.holder.watch import HolderWatch
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord
from he_fsm.runtime.ports import VmIdentity

_log = logging.getLogger(__name__)

_LOOK_S: Final = 0.005


class KnownDomain:
    """
    The record of one host's domain.

    Changes are made under *guard*, which others hold while they decide by it. *on_end* is called
    when a holder has ended, in a thread that holds nothing.
    """

    def __init__(self, path: Path, guard: threading.RLock, on_end: Callable[[], None]) -> None:
        """Know nothing yet."""
        self._file = VmFile(path)
        self._guard = guard
        self._on_end = on_end
        self._record: Optional[VmRecord] = None
        # Why the record could not be written last; empty: it is as it should be.
        self.unwritten = ""
        self._holder_watch: Optional[HolderWatch] = None

    @property
    def record(self) -> Optional[VmRecord]:
        """What is written of the domain's process; None: nothing, or it has ended."""
        return self._record

    def read(self) -> Optional[VmRecord]:
        """Return what the last agent has left, if its process lives."""
        try:
            record = self._file.read()
        except (OSError, ValueError) as error:
            _log.warning("what the last agent knew of the domain is lost: %s", error)
            return None
        with self._guard:
            self._record = record if record is not None and record.is_here else None
            self._watch_holder()
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

    def settle_move(self, *, has_moved: bool) -> None:
        """
        Write how the move has ended of a domain whose process is gone, for its holder to know.

        safety: without a word the holder takes it for one that has not moved.
        """
        with self._guard:
            record = self._record
            if record is None or not record.is_leaving or record.process_state is not None:
                return
            if has_moved:
                self._keep(attrs.evolve(record, phase=Phase.MIGRATED))
            else:
                self._keep(attrs.evolve(record, leaving_to=None))

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
        self._watch_holder()

    def forget(self) -> None:
        """Remove the record: no process of the domain is here."""
        with self._guard:
            record, self._record = self._record, None
            if record is not None:
                try:
                    self._file.clear(record)
                except (OSError, ValueError) as error:
                    # It names a process that has ended, and the next one's replaces it.
                    _log.warning("the record of the domain that has ended stays: %s", error)
            self._watch_holder()

    # Its holder.

    @property
    def has_holder(self) -> bool:
        """Whether a holder has the lease for the domain here, or had it."""
        record = self._record
        return record is not None and record.has_holder

    def has_let_lease_go(self, within_s: float) -> bool:
        """Whether nobody here has the lease of the domain that has ended; waits for a moment."""
        ends_at = time.monotonic() + within_s
        record = self._record
        while record is not None and record.holder_lives:
            if time.monotonic() > ends_at:
                return False
            time.sleep(_LOOK_S)
        return True

    def watch_no_holder(self) -> None:
        """Watch the holder no more; it goes on."""
        with self._guard:
            watch, self._holder_watch = self._holder_watch, None
        if watch is not None:
            watch.close()

    def _watch_holder(self) -> None:
        """Watch the holder that the record names, and no other one."""
        record, watch = self._record, self._holder_watch
        if watch is not None and (record is None or record.holder_pid != watch.pid):
            self.watch_no_holder()
        if record is not None and record.has_holder and self._holder_watch is None:
            self._holder_watch = HolderWatch(record, self._on_end)
