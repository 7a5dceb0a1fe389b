"""QEMU's rounds over a VM's memory, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# A VM that is paused for its switch-over, and is not through after this time because the guest has
# written meanwhile, runs on until the next round, and may be paused for twice as long then (s).
_PAUSED_MAX_S: Final = 0.5


class Rounds:
    """
    The rounds of one migration: in each QEMU sends what was written during the last one.

    `rest_s`: how long the rest takes at the speed of this round, infinite where it is not known, or
    is not to be tried. `paused_max_s`: how long the VM may be paused now.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.rest_s = float("inf")
        self.paused_max_s = _PAUSED_MAX_S
        self._number = -1
        self._began_at = 0.0
        self._began_with = 0
        self._not_before = 0

    def take(self, ram: Mapping[str, Any], now: float) -> float:
        """Take QEMU's numbers (bytes); give the part of the memory that is sent."""
        remaining, total = int(ram["remaining"]), int(ram["total"])
        number = int(ram.get("dirty-sync-count", 0))
        if number != self._number:
            self._number, self._began_at, self._began_with = number, now, remaining
        sent = self._began_with - remaining
        if number < self._not_before or sent <= 0:
            self.rest_s = float("inf")
        else:
            self.rest_s = remaining * (now - self._began_at) / sent
        return min(1.0 - remaining / total, 0.99) if total else 0.0

    def wait_for_next(self) -> None:
        """Pause in a later round, for longer."""
        self._not_before = self._number + 1
        self.paused_max_s *= 2
