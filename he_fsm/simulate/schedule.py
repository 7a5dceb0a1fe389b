"""When simulated agents look: once a loop, each a little longer by the seed; and in which order."""

from __future__ import annotations

import random
from itertools import accumulate, islice

from he_fsm.simulate.clock import HostClock

# Draws before the jitter repeats; a prime, so that hosts do not fall into step.
PERIOD = 509
# A time, and a turn: the place among the looks of that time. They come in rounds, the hosts in the
# order of the file in each; a host that has looked, and is to look again, does so in a later round.
Moment = tuple[float, int]
# Turns before any, and after all.
FIRST = -1
LAST = 1 << 62


class LoopTimes:
    """
    The times of an agent's loops, computable far ahead without walking there.

    Loop k begins at `start + k x loop + jitter x (sum of k draws)`; the draws, 0 to 1, repeat after
    `PERIOD` loops. Times are in seconds on the clock that the loop is measured by.
    """

    __slots__ = ("_jitter", "_loop", "_period_s", "_start", "_sums", "index", "next")

    def __init__(self, start: float, loop: float, jitter: float, seed: str) -> None:
        """Draw the jitter by *seed*."""
        draws = random.Random(seed)  # noqa: S311 - a simulation wants the same draws again
        # All in C: an agent that starts draws hundreds of numbers, and most soon end.
        numbers = islice(iter(draws.random, None), PERIOD)
        self._sums = (0.0, *accumulate(numbers))
        self._start = start
        self._loop = loop
        self._jitter = jitter
        # The number of the next loop, and when it begins.
        self.index = 0
        self.next = start
        self._period_s = PERIOD * loop + jitter * self._sums[PERIOD]

    def at(self, index: int) -> float:
        """Return when a loop begins, by its number."""
        rounds, rest = divmod(index, PERIOD)
        begins = rest * self._loop + self._jitter * self._sums[rest]
        return self._start + rounds * self._period_s + begins

    def advance(self) -> None:
        """Go on to the loop after the next."""
        self.index += 1
        self.next = self.at(self.index)

    def first_at(self, time: float, clock: HostClock) -> int:
        """Return the number of the first loop at true *time* or later, the next one at least."""
        if clock.true_time(self.next) >= time:
            return self.index
        # A guess by the mean loop, and then to where it is: the jitter wanders but little.
        rounds = (clock.monotonic(time) - self._start) / self._period_s
        index = max(self.index, int(rounds * PERIOD))
        while index > self.index and clock.true_time(self.at(index - 1)) >= time:
            index -= 1
        while clock.true_time(self.at(index)) < time:
            index += 1
        return index

    def go_to(self, index: int) -> None:
        """Go on to a later loop."""
        if index > self.index:
            self.index = index
            self.next = self.at(index)
