"""
The judge of a run: it compares what was observed with the scenario's expectations.

The executor of a scenario reports each change of the signals that the judge wants (see
`matching.py`), and each event that totals count. The judge returns the entries of the timeline
whose `since` has come true, and, at the end, the expectations that failed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final, Optional, Union

import attrs

from he_fsm.document.nodes import Place
from he_fsm.document.units import TOLERANCE, format_seconds
from he_fsm.scenario.judging.counting import COUNTED
from he_fsm.scenario.judging.history import DOWNTIME, LONGEST_OUTAGE, Signals
from he_fsm.scenario.judging.matching import Condition, Moment, Seen, SignalKey
from he_fsm.scenario.judging.totals import totals_of_run, violation
from he_fsm.scenario.model import Expectation, Kind, Scenario

# The names that an executor needs; `Seen` is the value of the signals that are records.
__all__ = ["COUNTED", "HEALTHY", "Failure", "Judge", "Seen", "Verdict"]

HEALTHY: Final[SignalKey] = ("healthy",)
# The signals that are computed from the health page.
_OUTAGE_KEYS: Final = (DOWNTIME, LONGEST_OUTAGE)


@attrs.frozen(kw_only=True)
class Failure:
    """
    An expectation that did not hold.

    `place`: the place of the entry, file:line as a string. `expected`: the entry, on one line.
    `seen`: what was seen instead, in words. `at`: when, in seconds; None: no single moment.
    """

    place: Place
    expected: str
    seen: str
    at: Optional[float]

    @property
    def line(self) -> int:
        """The line of the entry."""
        return self.place.line


@attrs.frozen(kw_only=True)
class Verdict:
    """The expectations that failed, in the order of the file, and all totals of the run."""

    failures: tuple[Failure, ...]
    totals: dict[str, Union[int, float]]


@attrs.frozen
class _Shortfall:
    """Why an expectation fails: what was seen, and when."""

    seen: str
    at: Optional[float]


class _Pending:
    """
    A `since` of the timeline that has not come true.

    `watched`: the signal of a failing condition; until it changes, the `since` can't come true.
    `wakes`: when a growing age may make that condition hold without a change.
    """

    def __init__(self, conditions: tuple[Condition, ...]) -> None:
        """Begin before any observation."""
        self.conditions = conditions
        self.watched: Optional[SignalKey] = None
        self.wakes = -math.inf


class Judge:
    """Watches one run of a scenario. All times are seconds of the run, and never go back."""

    def __init__(self, scenario: Scenario) -> None:
        """Find the signals that must be observed."""
        self.scenario = scenario
        conditions = list(_conditions_of(scenario))
        asked = {condition.key for condition in conditions if condition.key[0] != "total"}
        self.wanted: frozenset[SignalKey] = frozenset({HEALTHY, *asked})
        self.watches_age = any(condition.asks_age for condition in conditions)
        self._signals = Signals()
        self._pending = {
            index: _Pending(entry.since)
            for index, entry in enumerate(scenario.timeline)
            if entry.since
        }
        self._watchers: dict[SignalKey, set[int]] = {}
        self._due: set[int] = set(self._pending)
        self._wakes = math.inf

    def observe(self, time: float, key: SignalKey, value: Any) -> None:
        """Record a signal's value from a time on; signals that are not `wanted` are ignored."""
        if key not in self.wanted:
            return
        if not self._signals.observe(time, key, value):
            return
        self._due |= self._watchers.get(key, set())
        if key == HEALTHY:
            self._signals.outages.observe(time, is_healthy=bool(value))
            for outage_key in _OUTAGE_KEYS:
                self._due |= self._watchers.get(outage_key, set())

    def count(self, time: float, kind: str, host: str | None) -> None:
        """
        Record an event that totals count.

        Args:
            time: when it happened.
            kind: one of `COUNTED`.
            host: name of the host that caused it, or None.
        """
        if kind not in COUNTED:
            msg = f"{kind!r} is not counted; known: {', '.join(COUNTED)}"
            raise ValueError(msg)
        for counted_for in {None, host}:
            self._signals.occurrences(kind, counted_for).times.append(time)
            self._due |= self._watchers.get(("total", kind, counted_for), set())

    def settle(self, time: float) -> tuple[int, ...]:
        """
        Return the entries whose `since` has come true, once all of a moment has been observed.

        Returns:
            Indices of entries of the timeline; each is returned once in a run.
        """
        if not self._due and time < self._wakes:
            return ()
        due = self._due | {index for index, p in self._pending.items() if p.wakes <= time}
        self._due = set()
        came = tuple(index for index in sorted(due) if self._has_come(index, time))
        self._wakes = min((p.wakes for p in self._pending.values()), default=math.inf)
        return came

    def _has_come(self, index: int, time: float) -> bool:
        pending = self._pending[index]
        # A growing number that equals its limit now is above it just after: check that moment too.
        result = self._signals.search(
            pending.conditions, Moment(time), Moment(time, is_just_after=True)
        )
        if pending.watched is not None:
            self._watchers[pending.watched].discard(index)
        if result.failing is None:
            del self._pending[index]
            return True
        pending.watched = result.failing.key
        pending.wakes = result.turn.time if result.turn is not None else math.inf
        self._watchers.setdefault(pending.watched, set()).add(index)
        return False

    def next_check(self, time: float) -> float | None:
        """Return the earliest later time at which a growing age may make a `since` come true."""
        if not self._pending:
            return None
        later = (p.wakes for p in self._pending.values() if p.wakes > time)
        found = min(later, default=math.inf)
        return found if math.isfinite(found) else None

    def finish(self, until: float) -> Verdict:
        """Judge the run, which ended at *until*."""
        run = _Run(self._signals, until)
        failures = []
        for expectation in self.scenario.expect:
            shortfall = run.judge(expectation)
            if shortfall is not None:
                failures.append(
                    Failure(
                        place=expectation.place,
                        expected=expectation.text,
                        seen=shortfall.seen,
                        at=shortfall.at,
                    )
                )
        return Verdict(failures=tuple(failures), totals=totals_of_run(self._signals, until))


def _conditions_of(scenario: Scenario) -> Iterator[Condition]:
    for entry in scenario.timeline:
        yield from entry.since
    yield from _conditions_of_all(scenario.expect)


def _conditions_of_all(expectations: Iterable[Expectation]) -> Iterator[Condition]:
    for expectation in expectations:
        yield from expectation.since
        yield from expectation.conditions
        for together in expectation.alternatives:
            yield from _conditions_of_all(together)


@attrs.frozen
class _Run:
    """A run that has ended, with its signals."""

    signals: Signals
    until: float

    def judge(self, expectation: Expectation) -> _Shortfall | None:
        """Return why an expectation fails; None: it holds."""
        if expectation.kind is Kind.ANY:
            return self._any(expectation)
        origin = 0.0
        if expectation.since:
            last = Moment(self.until)
            result = self.signals.search(expectation.since, Moment(0.0), last)
            if result.found is None:
                seen = self._failing_words(expectation.since, last)
                return _Shortfall(f"since never came: in the end {seen}", self.until)
            origin = result.found.time
        start = origin + expectation.start
        if start > self.until + TOLERANCE:
            return _Shortfall(f"the run ended before {format_seconds(start)}", self.until)
        start = min(start, self.until)
        end = self.until if expectation.end is None else origin + expectation.end
        return self._within(expectation, Moment(start), Moment(min(end, self.until)))

    def _any(self, expectation: Expectation) -> _Shortfall | None:
        reasons: list[_Shortfall] = []
        for together in expectation.alternatives:
            shortfalls = (self.judge(entry) for entry in together)
            first = next((found for found in shortfalls if found is not None), None)
            if first is None:
                return None
            reasons.append(first)
        times = {reason.at for reason in reasons}
        at = times.pop() if len(times) == 1 else None
        return _Shortfall("; ".join(_with_time(reason) for reason in reasons), at)

    def _within(self, expectation: Expectation, start: Moment, end: Moment) -> _Shortfall | None:
        conditions = expectation.conditions
        if expectation.kind in (Kind.AT, Kind.BY):
            if self.signals.search(conditions, start, end).found is not None:
                return None
            return _Shortfall(self._failing_words(conditions, end), end.time)
        if expectation.never:
            found = self.signals.search(conditions, start, end).found
            if found is None:
                return None
            words = (self.signals.words(condition, found) for condition in conditions)
            return _Shortfall(" and ".join(words), found.time)
        return self._throughout(conditions, start, end) or self._totals(expectation, start, end)

    def _throughout(
        self, conditions: tuple[Condition, ...], start: Moment, end: Moment
    ) -> _Shortfall | None:
        breaks = [
            (moment, condition)
            for condition in conditions
            for moment in [self.signals.first_break(condition, start, end)]
            if moment is not None
        ]
        if not breaks:
            return None
        moment, condition = min(breaks, key=lambda found: found[0])
        return _Shortfall(self.signals.words(condition, moment), moment.time)

    def _totals(self, expectation: Expectation, start: Moment, end: Moment) -> _Shortfall | None:
        found = [
            (total, violation(self.signals, total, start.time, end.time, expectation.window))
            for total in expectation.totals
        ]
        wrong = [(total, where) for total, where in found if where is not None]
        if not wrong:
            return None
        words = " and ".join(where.words(total) for total, where in wrong)
        return _Shortfall(words, wrong[0][1].end)

    def _failing_words(self, conditions: tuple[Condition, ...], moment: Moment) -> str:
        """Return, in words, the signals of the conditions that fail at a moment."""
        failing = [c for c in conditions if not self.signals.holds(c, moment)]
        return " and ".join(self.signals.words(condition, moment) for condition in failing)


def _with_time(shortfall: _Shortfall) -> str:
    at = "" if shortfall.at is None else f" at {format_seconds(shortfall.at)}"
    return f"{shortfall.seen}{at}"
