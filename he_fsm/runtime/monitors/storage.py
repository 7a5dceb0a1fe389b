"""How long ago the shared storage was last read."""

from __future__ import annotations

import time
from typing import Callable, Optional

import attrs

_DEADLINE_S = 5.0


@attrs.frozen
class StorageAge:
    """
    Seconds since the last good read of the shared storage.

    *last_read* gives the moment of it on *clock*; None: there was none. It must not wait: the
    broker knows, without touching the storage.
    """

    last_read: Callable[[], Optional[float]]
    clock: Callable[[], float] = time.monotonic
    deadline_s: float = _DEADLINE_S

    def measure(self) -> Optional[float]:
        """Return the age; None: the storage was never read."""
        last_read = self.last_read()
        return None if last_read is None else max(0.0, self.clock() - last_read)
