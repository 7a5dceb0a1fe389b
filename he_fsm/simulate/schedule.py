"""When a simulated agent looks: once a loop, each a little longer by the seed."""

from __future__ import annotations

import bisect
import random
from itertools import accumulate

# Draws before the jitter repeats; a prime, so that hosts do not fall into step.
PERIOD = 509


class LoopTimes:
    """
    The times of an agent's loops, computable far ahead without walking there.

    Loop k begins at `start + k x loop + jitter x (sum of k draws)`; the draws, 0 to 1, repeat after
    `PERIOD` loops. Times are in seconds on the clock that the loop is measured by.
    """

    __slots__ = ("_index", "_jitter", "_loop", "_period_s", "_start", "_sums")

    def __init__(self, start: float, loop: float, jitter: float, seed: str) -> None:
        """Draw the jitter by *seed*."""
        draws = random.Random(seed)  # noqa: S311 - a simulation wants the same draws again
        sums = [0.0, *accumulate(draws.random() for _ in range(PERIOD))]
        self._start = start
        self._loop = loop
        self._jitter = jitter
        self._index = 0
        self._sums = [index * loop + jitter * total for index, total in enumerate(sums)]
        self._period_s = self._sums.pop()

    def at(self, index: int) -> float:
        """Give when a loop begins, by its number."""
        rounds, rest = divmod(index, PERIOD)
        return self._start + rounds * self._period_s + self._sums[rest]

    @property
    def next(self) -> float:
        """When the next loop begins."""
        return self.at(self._index)

    def advance(self) -> None:
        """Go on to the loop after the next."""
        self._index += 1

    @property
    def index(self) -> int:
        """The number of the next loop."""
        return self._index

    def first_at(self, time: float) -> int:
        """Give the number of the first loop that begins at *time* or later, the next at least."""
        rounds, rest = divmod(time - self._start, self._period_s)
        index = int(rounds) * PERIOD + bisect.bisect_left(self._sums, rest)
        # Rounding may leave the estimate one loop to either side.
        while index > self._index and self.at(index - 1) >= time:
            index -= 1
        while self.at(index) < time:
            index += 1
        return max(self._index, index)

    def go_to(self, index: int) -> None:
        """Go on to a later loop."""
        self._index = max(self._index, index)
