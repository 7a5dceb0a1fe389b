"""How late the looks of a rehearsal were: a machine that was too busy proves nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, Optional

from he_fsm.report.outcome import Outcome

# A quiet machine's looks are this late at most, in real time (seconds).
_USUAL_S: Final = 0.2
# By so much of a loop agents may be late before an expectation can break for it.
_LOOPS: Final = 0.2


class Lateness:
    """Measures by how much each look comes later than it should."""

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin; looks are due *every_s* (real time) after each other."""
        self._every_s = every_s
        self._clock = clock
        self._looked_at: Optional[float] = None
        self.worst_s = 0.0

    def look(self) -> None:
        """Note a look."""
        now = self._clock()
        if self._looked_at is not None:
            self.worst_s = max(self.worst_s, now - self._looked_at - self._every_s)
        self._looked_at = now


def busy_text(outcome: Outcome, speed: float) -> str:
    """
    Return what to say beside a failure on a machine that was too busy; empty: it was not.

    Times are the scenario's, as in its expectations.
    """
    late_s = outcome.late_s
    if late_s <= max(_USUAL_S * speed, _LOOPS * outcome.scenario.world.loop_s):
        return ""
    slower = max(1.0, math.floor(speed * _LOOPS * outcome.scenario.world.loop_s / late_s))
    remedy = f"try --speed {slower:g}" if slower < speed else "try again when less runs here"
    return f"this machine was too busy: looks up to {late_s:.0f} s late; {remedy}"
