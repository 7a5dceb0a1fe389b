"""How long after each fault the engine was started, had moved, or was healthy again."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import Optional

import attrs

from he_fsm.report.events import Event
from he_fsm.report.outcome import Outcome

START, MOVE, HEALTHY = "start ordered", "moved", "healthy again"


@attrs.frozen
class Recovery:
    """
    An event that followed a fault, `after_s` seconds (scenario time) after it.

    `what`: `start ordered` (the lease is acquired and the VM's process begins), `moved` (a live
    migration is done) or `healthy again` (the health page is good again).
    """

    fault: Event
    what: str
    after_s: float
    host: Optional[str]


@attrs.frozen
class Compared:
    """A recovery as predicted and as seen; None: not predicted, or not seen."""

    predicted: Optional[Recovery]
    seen: Optional[Recovery]

    @property
    def recovery(self) -> Recovery:
        """The predicted recovery, or else the one that was seen."""
        found = self.predicted or self.seen
        assert found is not None  # noqa: S101 - one side at least has it
        return found


def recoveries(outcome: Outcome) -> tuple[Recovery, ...]:
    """
    Return the recoveries after each fault, in the order of time.

    A start and a healthy page belong to the last fault before the page became bad. A move belongs
    to the last fault before the move began.
    """
    faults = [event for event in outcome.events if event.kind == "fault"]
    times = [fault.t for fault in faults]
    found = [
        Recovery(faults[index], what, t - faults[index].t, host)
        for began, t, what, host in (*_outages(outcome), *_moves(outcome))
        if (index := bisect_right(times, began) - 1) >= 0
    ]
    return tuple(sorted(found, key=lambda each: each.fault.t + each.after_s))


def compared(predicted: tuple[Recovery, ...], seen: tuple[Recovery, ...]) -> tuple[Compared, ...]:
    """Pair predicted and seen recoveries: the n-th of its kind after the same fault is the same."""
    left, right = _numbered(predicted), _numbered(seen)
    both = {**left, **right}
    pairs = [Compared(left.get(key), right.get(key)) for key in both]
    return tuple(sorted(pairs, key=lambda pair: (pair.recovery.fault.t, pair.recovery.after_s)))


def _numbered(found: tuple[Recovery, ...]) -> dict[tuple[object, ...], Recovery]:
    counts: Counter[tuple[object, ...]] = Counter()
    numbered: dict[tuple[object, ...], Recovery] = {}
    for each in found:
        key = (each.fault.host, each.fault.text(), each.what)
        counts[key] += 1
        numbered[(*key, counts[key])] = each
    return numbered


_Found = tuple[float, float, str, Optional[str]]


def _outages(outcome: Outcome) -> Iterator[_Found]:
    """Return the recoveries of each outage, with the time at which the health page became bad."""
    health = [change for change in outcome.changes if change.kind == "health"]
    for bad, good in itertools.zip_longest(health, health[1:]):
        if bad.word == "bad":
            yield from _outage(outcome, bad.t, None if good is None else good.t)


def _outage(outcome: Outcome, bad_t: float, good_t: Optional[float]) -> Iterator[_Found]:
    ends_at = outcome.scenario.until if good_t is None else good_t
    within = [event for event in outcome.events if bad_t <= event.t <= ends_at]
    start = next((event for event in within if event.details.get("vm") == "starting"), None)
    if start is None and any(event.details.get("done") for event in within):
        # This is the short outage in which a migration switches over.
        return
    if start is not None:
        yield bad_t, start.t, START, start.host
    if good_t is not None:
        yield bad_t, good_t, HEALTHY, _engine_host(outcome, good_t)


def _moves(outcome: Outcome) -> Iterator[_Found]:
    began: dict[Optional[str], float] = {}
    for event in outcome.events:
        if event.kind == "state" and event.details["to"] == "EngineMigratingAway":
            began[event.host] = event.t
        elif event.kind == "migration" and event.details.get("done"):
            to = _engine_host(outcome, event.t)
            yield began.pop(event.host, event.t), event.t, MOVE, to


def _engine_host(outcome: Outcome, t: float) -> Optional[str]:
    """Return the host of the engine at a time; if the engine moves then, its new host."""
    found = [each for each in outcome.changes if each.kind == "engine" and each.t <= t]
    return found[-1].host if found else None
