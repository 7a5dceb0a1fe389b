"""
What is known of the domain's process and its holder: written down, and watched.

Others read the record: the guard of the lease, and the holder itself, which has to know whether its
domain has moved.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.runtime.hypervisors.known_vm import KnownVm
from he_fsm.runtime.hypervisors.libvirt.holder.watch import HolderWatch
from he_fsm.runtime.hypervisors.vm_file import Phase

_LOOK_S: Final = 0.005


class KnownDomain(KnownVm):
    """
    The record of one host's domain.

    *on_end* is called when a holder has ended, in a thread that holds nothing.
    """

    def __init__(self, path: Path, guard: threading.RLock, on_end: Callable[[], None]) -> None:
        """Know nothing yet."""
        super().__init__(path, guard)
        self._on_end = on_end
        self._holder_watch: Optional[HolderWatch] = None

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

    def _changed(self) -> None:
        """Watch the holder that the record names, and no other one."""
        record, watch = self._record, self._holder_watch
        if watch is not None and (record is None or record.holder_pid != watch.pid):
            self.watch_no_holder()
        if record is not None and record.has_holder and self._holder_watch is None:
            self._holder_watch = HolderWatch(record, self._on_end)
