"""Totals between two times, or in each stretch of some length between them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Optional, Union

import attrs

from he_fsm.document.units import format_number, format_seconds
from he_fsm.scenario.judging.counting import COUNTED, TIMED
from he_fsm.scenario.judging.history import Signals
from he_fsm.scenario.model import Total


def value_between(signals: Signals, name: str, host: str | None, start: float, end: float) -> float:
    """Return a total from *start* to *end*, both included: a count, or seconds."""
    if name not in TIMED:
        return signals.occurrences(name, host).between(start, end)
    lengths = signals.outages.clipped(start, end)
    return math.fsum(lengths) if name == "downtime" else max(lengths, default=0.0)


def totals_of_run(signals: Signals, until: float) -> dict[str, Union[int, float]]:
    """Return every total of a run; seconds to the millisecond."""
    counts = {name: signals.occurrences(name, None).at(until) for name in COUNTED}
    times = {name: round(value_between(signals, name, None, 0.0, until), 3) for name in TIMED}
    return {**counts, **times}


@attrs.frozen
class Violation:
    """A stretch of the run in which a total was not as expected, and its value there."""

    start: float
    end: float
    value: float

    def words(self, total: Total) -> str:
        """Return the violation in words."""
        seen = format_seconds(self.value) if total.name in TIMED else format_number(self.value)
        span = f"from {format_seconds(self.start)} to {format_seconds(self.end)}"
        return f"{total.label} was {seen} {span}"


def violation(
    signals: Signals, total: Total, start: float, end: float, window: Optional[float]
) -> Violation | None:
    """
    Return a stretch in which a total is not as expected; None: there is none.

    Args:
        signals: the observed signals.
        total: the total, and what is expected of it.
        start: the beginning of the first stretch, in seconds.
        end: the end of the last stretch.
        window: the length of the stretches. If it is None, or longer than the time from *start* to
            *end*, that time is the only stretch.
    """
    if window is None or window >= end - start:
        value = value_between(signals, total.name, total.host, start, end)
        return None if total.comparison.holds(value) else Violation(start, end, value)
    stretches = _Stretches(signals, total, window)
    borders = stretches.borders(start, end - window)
    for begin, value in stretches.extremes(borders):
        if not total.comparison.holds(value):
            return Violation(begin, begin + window, value)
    return None


@attrs.frozen
class _Stretches:
    """A total as a function of where a stretch of fixed length begins."""

    signals: Signals
    total: Total
    length: float

    def value(self, begin: float) -> float:
        return value_between(
            self.signals, self.total.name, self.total.host, begin, begin + self.length
        )

    def borders(self, first: float, last: float) -> list[float]:
        """Return the beginnings at which the function may jump, or change its slope."""
        if self.total.name in TIMED:
            times = self.signals.outages.borders()
        else:
            times = self.signals.occurrences(self.total.name, self.total.host).times
        bends = {time for time in times if first <= time <= last}
        bends |= {time - self.length for time in times if first <= time - self.length <= last}
        return sorted({first, last, *bends})

    def extremes(self, borders: list[float]) -> Iterator[tuple[float, float]]:
        """Yield beginnings with their values: enough of them to find any broken comparison."""
        before: Optional[tuple[float, float]] = None
        for begin in borders:
            value = self.value(begin)
            if before is not None:
                yield from self._inside(before, (begin, value))
            yield begin, value
            before = begin, value

    def _inside(
        self, left: tuple[float, float], right: tuple[float, float]
    ) -> Iterator[tuple[float, float]]:
        """
        Yield the beginnings that matter between two neighbouring borders.

        A count is constant there. Seconds of outage are linear. The longest outage is the maximum
        of three: one that leaves the stretch (it shrinks by 1 s a second), one that enters it (it
        grows by 1 s a second), and one inside. Its minimum is where lines of these slopes through
        both ends meet. No slope is steeper than 1 s a second, which bounds where the expected
        number can be reached.
        """
        (begin, value), (end, end_value) = left, right
        middle = (begin + end) / 2
        yield middle, self.value(middle)
        if self.total.name not in TIMED:
            return
        number = self.total.comparison.number
        lowest = begin + (value - end_value + (end - begin)) / 2
        for time in (lowest, begin + abs(value - number), end - abs(end_value - number)):
            if begin < time < end:
                yield time, self.value(time)
