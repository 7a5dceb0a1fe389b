"""
The clocks of one host.

CLOCK_MONOTONIC stands still while the machine is suspended, and so does sanlock's clock: what was
known before is then older than it seems, and others may have taken the leases meanwhile.
CLOCK_BOOTTIME counts that time as well. A host that finds more boot time than monotonic time passed
was suspended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import attrs

# The two clocks are read one after the other. A process that had to wait for so long between the
# two reads them again, so that its own wait is not taken for a suspend (seconds).
_READ_S: Final = 0.05
_READINGS_MAX: Final = 20
# By how much the boot clock gains on the monotonic one only by a suspend (seconds).
SUSPENDED_S: Final = 1.0


def boot_time() -> float:
    """Return the seconds since the machine booted, time in which it was suspended included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@attrs.frozen(kw_only=True)
class Clocks:
    """The monotonic clock and the boot clock; tests pass others in."""

    monotonic: Callable[[], float] = time.monotonic
    boot: Callable[[], float] = boot_time

    def read(self) -> tuple[float, float]:
        """Return what both show at the same moment."""
        now, boot_now = self.monotonic(), self.boot()
        for _ in range(_READINGS_MAX):
            if self.monotonic() - now <= _READ_S:
                break
            now, boot_now = self.monotonic(), self.boot()
        return now, boot_now

    def ahead(self) -> float:
        """Return by how much the boot clock is ahead: the time in which the host was suspended."""
        now, boot_now = self.read()
        return boot_now - now

    def has_slept_since(self, ahead: float) -> bool:
        """Return whether the host was suspended since the boot clock was so much *ahead*."""
        return self.ahead() - ahead > SUSPENDED_S
