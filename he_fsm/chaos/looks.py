"""How late the loops of an agent are, by what it reports to its broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import attrs


@attrs.frozen(kw_only=True)
class Lateness:
    """
    What was seen of an agent's loops.

    A look is due a loop after the look before. `unseen` is the number of looks that took place and
    were not seen: a delay that is measured across one of them is longer than it was.
    """

    loop_s: float
    looks: int
    # Late by more than half a loop.
    late: int
    latest_s: float
    unseen: int = 0

    @property
    def is_small(self) -> bool:
        """Whether looks were seen, and none of them was late by more than a loop."""
        return self.looks > 0 and self.latest_s <= self.loop_s

    def __str__(self) -> str:
        """Return it for people."""
        return (
            f"agent: {self.looks} looks, {self.late} late by more than half a loop, the latest by "
            f"{self.latest_s * 1000:.0f} ms of {self.loop_s * 1000:.0f} ms; {self.unseen} not seen"
        )


class Looks:
    """
    Sees each look of an agent whose reports are read more often than it looks.

    The agent reports how long it had been in its state when the look began. As long as it stays in
    that state, this is a clock of its looks, however long the report is on its way.
    """

    def __init__(self, loop_s: float) -> None:
        """Begin with the first report."""
        self._loop_s = loop_s
        self._delays_s: list[float] = []
        self._state: Optional[str] = None
        self._state_for_s = 0.0

    def take(self, report: Mapping[str, Any]) -> None:
        """Take the agent's last report, which may be the same as the one before."""
        state, for_s = report.get("state"), report.get("state_for_s", 0.0)
        if state is not None and state == self._state and for_s > self._state_for_s:
            self._delays_s.append(for_s - self._state_for_s - self._loop_s)
        self._state, self._state_for_s = state, for_s

    def lateness(self, slot_writes: int) -> Lateness:
        """
        Sum up what was seen.

        Args:
            slot_writes: how often the agent wrote its slot meanwhile, which each look does once.
        """
        delays_s = self._delays_s
        return Lateness(
            loop_s=self._loop_s,
            looks=len(delays_s),
            late=sum(delay_s > self._loop_s / 2 for delay_s in delays_s),
            # The report rounds to ms, so the difference of two times may be off by one.
            latest_s=max(0.0, round(max(delays_s, default=0.0), 3)),
            unseen=max(0, slot_writes - len(delays_s)),
        )
