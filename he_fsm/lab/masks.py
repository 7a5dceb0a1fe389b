"""Damage that lasts: readers are shown a slot otherwise, whatever its host writes meanwhile."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from he_fsm.metadata.layout import SLOT_BYTES

# What a host writes can be read for about as long before it is hidden.
_LOOK_S = 0.001


class Mask:
    """
    Shows *block* in place of a slot until a time on the monotonic clock.

    `written` is what it hides: the last block that was written to the slot. It is shown when the
    time is up.
    """

    def __init__(self, path: Path, slot: int, block: bytes, until: float) -> None:
        """Begin at once, in a thread of its own."""
        self._block = block.ljust(SLOT_BYTES, b"\0")
        self._at = slot * SLOT_BYTES
        self._until = until
        self._ends = threading.Event()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.written = os.pread(self._descriptor, SLOT_BYTES, self._at)
        os.pwrite(self._descriptor, self._block, self._at)
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether readers see again what was written."""
        return not self._thread.is_alive()

    def close(self) -> None:
        """Show what was written from now on."""
        self._ends.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._ends.wait(_LOOK_S) and time.monotonic() < self._until:
            if self._is_overwritten():
                os.pwrite(self._descriptor, self._block, self._at)
        self._is_overwritten()
        os.pwrite(self._descriptor, self.written, self._at)
        os.close(self._descriptor)

    def _is_overwritten(self) -> bool:
        seen = os.pread(self._descriptor, SLOT_BYTES, self._at)
        if seen == self._block:
            return False
        self.written = seen
        return True
