"""The observed signals of a run by time, and the search for moments at which conditions hold."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import Any, Final, Optional, Protocol

import attrs

from he_fsm.document.units import TOLERANCE
from he_fsm.scenario.judging.matching import Condition, Growing, Moment, SignalKey

DOWNTIME: Final[SignalKey] = ("total", "downtime", None)
LONGEST_OUTAGE: Final[SignalKey] = ("total", "longest_outage", None)
# Digits of a time in seconds: far finer than `TOLERANCE`.
_DIGITS: Final = 9


class Signal(Protocol):
    """A value over time."""

    def at(self, time: float) -> Any:
        """Return the value at a time."""

    def next_change(self, time: float) -> float | None:
        """Return the earliest later time at which a value was observed."""


def _first_after(times: list[float], time: float) -> float | None:
    index = bisect_right(times, time)
    return times[index] if index < len(times) else None


@attrs.define
class History:
    """The observed values of a signal; before the first one the value is None."""

    times: list[float] = attrs.field(factory=list)
    values: list[Any] = attrs.field(factory=list)

    def observe(self, time: float, value: Any) -> bool:
        """Record a value from *time* on; return whether it changed. Times never go back."""
        if self.values and self.values[-1] == value:
            return False
        if self.times and self.times[-1] == time:
            self.values[-1] = value
        else:
            self.times.append(time)
            self.values.append(value)
        return True

    def at(self, time: float) -> Any:
        """Return the last value observed at or before a time."""
        index = bisect_right(self.times, time)
        return self.values[index - 1] if index else None

    def next_change(self, time: float) -> float | None:
        """Return the time of the next observation."""
        return _first_after(self.times, time)


@attrs.define
class Occurrences:
    """The times of events of one kind; as a signal, how many there have been."""

    times: list[float] = attrs.field(factory=list)

    def at(self, time: float) -> int:
        """Return how many events there were at or before a time."""
        return bisect_right(self.times, time)

    def next_change(self, time: float) -> float | None:
        """Return the time of the next event."""
        return _first_after(self.times, time)

    def between(self, start: float, end: float) -> int:
        """Count the events from *start* to *end*, both included."""
        return bisect_right(self.times, end) - bisect_left(self.times, start)


@attrs.define
class Outages:
    """The times in which the health page was not good; before the first observation it is good."""

    starts: list[float] = attrs.field(factory=list)
    ends: list[float] = attrs.field(factory=list)
    # For each outage: the seconds of all earlier ones, and the longest of them.
    sums: list[float] = attrs.field(factory=list)
    longest: list[float] = attrs.field(factory=list)

    def observe(self, time: float, *, is_healthy: bool) -> None:
        """Record the health from *time* on; times never go back."""
        is_open = len(self.starts) > len(self.ends)
        if is_open and is_healthy:
            if self.starts[-1] < time:
                self.ends.append(time)
            else:
                self._forget_last()
        elif not is_open and not is_healthy:
            if self.ends and self.ends[-1] == time:
                self.ends.pop()
            else:
                self._open(time)

    def _open(self, time: float) -> None:
        last = self.ends[-1] - self.starts[-1] if self.ends else 0.0
        self.sums.append(self.sums[-1] + last if self.sums else 0.0)
        self.longest.append(max(self.longest[-1], last) if self.longest else 0.0)
        self.starts.append(time)

    def _forget_last(self) -> None:
        for numbers in (self.starts, self.sums, self.longest):
            numbers.pop()

    def end(self, index: int) -> float:
        """Return the end of an outage, infinity while it lasts."""
        return self.ends[index] if index < len(self.ends) else math.inf

    def borders(self) -> list[float]:
        """Return all times at which an outage begins or ends."""
        return sorted([*self.starts, *self.ends])

    def clipped(self, start: float, end: float) -> list[float]:
        """Return the lengths of the outages within two times."""
        first = bisect_right(self.ends, start)
        last = bisect_left(self.starts, end)
        return [
            min(self.end(index), end) - max(self.starts[index], start)
            for index in range(first, last)
        ]

    def next_change(self, time: float) -> float | None:
        """Return the next time at which an outage begins or ends."""
        found = [_first_after(self.starts, time), _first_after(self.ends, time)]
        return min((time for time in found if time is not None), default=None)

    def sum_up_to(self, time: float) -> Growing:
        """Return the seconds of outage up to a time."""
        index = bisect_right(self.starts, time) - 1
        if index < 0:
            return Growing(0.0)
        start, end = self.starts[index], self.end(index)
        if time < end:
            return Growing(self.sums[index], start)
        return Growing(self.sums[index] + end - start)

    def longest_up_to(self, time: float) -> Growing:
        """Return the longest outage up to a time; an outage that still lasts counts so far."""
        index = bisect_right(self.starts, time) - 1
        if index < 0:
            return Growing(0.0)
        start, end = self.starts[index], self.end(index)
        if time < end:
            return Growing(self.longest[index], start + self.longest[index])
        return Growing(max(self.longest[index], end - start))


@attrs.frozen
class Downtime:
    """The seconds of outage so far, as a signal."""

    outages: Outages

    def at(self, time: float) -> Growing:
        """Return the seconds, growing during an outage."""
        return self.outages.sum_up_to(time)

    def next_change(self, time: float) -> float | None:
        """Return the next border of an outage."""
        return self.outages.next_change(time)


@attrs.frozen
class LongestOutage:
    """The longest outage so far, as a signal."""

    outages: Outages

    def at(self, time: float) -> Growing:
        """Return the seconds, growing while the longest outage lasts."""
        return self.outages.longest_up_to(time)

    def next_change(self, time: float) -> float | None:
        """Return the next border of an outage."""
        return self.outages.next_change(time)


@attrs.define
class Signals:
    """All that was observed and counted."""

    histories: dict[SignalKey, History] = attrs.field(factory=dict)
    counted: dict[SignalKey, Occurrences] = attrs.field(factory=dict)
    outages: Outages = attrs.field(factory=Outages)

    def observe(self, time: float, key: SignalKey, value: Any) -> bool:
        """Record a value; return whether it changed."""
        return self._history(key).observe(time, value)

    def _history(self, key: SignalKey) -> History:
        found = self.histories.get(key)
        if found is None:
            found = self.histories[key] = History()
        return found

    def occurrences(self, name: str, host: str | None) -> Occurrences:
        """Return the events of one kind, of one host or of all hosts."""
        key = ("total", name, host)
        found = self.counted.get(key)
        if found is None:
            found = self.counted[key] = Occurrences()
        return found

    def signal(self, key: SignalKey) -> Signal:
        """Return the signal of a key."""
        if key == DOWNTIME:
            return Downtime(self.outages)
        if key == LONGEST_OUTAGE:
            return LongestOutage(self.outages)
        if key[0] == "total":
            return self.occurrences(key[1], key[2])
        return self._history(key)

    def holds(self, condition: Condition, moment: Moment) -> bool:
        """Return whether a condition holds at a moment."""
        return condition.test.holds(self.signal(condition.key).at(moment.time), moment)

    def words(self, condition: Condition, moment: Moment) -> str:
        """Return, in words, what a condition's signal was at a moment."""
        value = self.signal(condition.key).at(moment.time)
        return f"{condition.label} was {condition.test.words(value, moment)}"

    def next_turn(self, condition: Condition, moment: Moment) -> Moment | None:
        """Return the earliest later moment at which a condition may change its answer."""
        signal = self.signal(condition.key)
        change = signal.next_change(moment.time)
        candidates = [] if change is None else [Moment(change)]
        for time in condition.test.turns(signal.at(moment.time)):
            # An age equals a number at one moment, and is above it at the moment just after.
            if time > moment.time + TOLERANCE:
                # Rounded, so that 0.8 s + 0.4 s is not later than the end of a search at 1.2 s.
                candidates.append(Moment(round(time, _DIGITS)))
            elif abs(time - moment.time) <= TOLERANCE and not moment.is_just_after:
                candidates.append(Moment(moment.time, is_just_after=True))
        return min(candidates, default=None)

    def search(self, conditions: tuple[Condition, ...], start: Moment, end: Moment) -> Search:
        """
        Find the first moment from *start* to *end* at which all conditions hold together.

        Each step goes to the next moment at which a failing condition can change its answer. So
        the work depends on the number of such changes, not on the length of the run.
        """
        moment = start
        while True:
            failing = next((c for c in conditions if not self.holds(c, moment)), None)
            if failing is None:
                return Search(moment)
            turn = self.next_turn(failing, moment)
            if turn is None or turn > end:
                return Search(None, failing, turn)
            moment = turn

    def first_break(self, condition: Condition, start: Moment, end: Moment) -> Moment | None:
        """Find the first moment from *start* to *end* at which a condition does not hold."""
        moment: Optional[Moment] = start
        while moment is not None and moment <= end:
            if not self.holds(condition, moment):
                return moment
            moment = self.next_turn(condition, moment)
        return None


@attrs.frozen
class Search:
    """
    The result of a search.

    `found`: the moment, or None. If None, `failing` is a condition that fails up to the end of the
    search, and `turn` is the later moment at which that may change, if known.
    """

    found: Optional[Moment]
    failing: Optional[Condition] = None
    turn: Optional[Moment] = None
