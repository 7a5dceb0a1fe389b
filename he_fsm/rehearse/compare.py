"""What the simulator predicted and what a rehearsal showed, side by side."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Optional

import attrs

from he_fsm.report.events import Event
from he_fsm.report.outcome import Outcome


@attrs.frozen
class Pair:
    """One event on either side, or on one alone; times in seconds of the scenario."""

    predicted: Optional[Event]
    seen: Optional[Event]

    @property
    def event(self) -> Event:
        """The event, as predicted where it was."""
        event = self.predicted or self.seen
        assert event is not None  # noqa: S101 - a pair has one side at least
        return event

    @property
    def is_same(self) -> bool:
        """Whether both sides have it."""
        return self.predicted is not None and self.seen is not None

    @property
    def late_s(self) -> Optional[float]:
        """How much later it was seen than predicted; None where one side has not got it."""
        if self.predicted is None or self.seen is None:
            return None
        return self.seen.t - self.predicted.t


def compare(predicted: Outcome, seen: Outcome) -> tuple[Pair, ...]:
    """
    Align the two sequences of events, host by host, and join them by time.

    Within one host the order is compared exactly. Between hosts it is not: two that look in the
    same loop are in no order that means anything.
    """
    pairs: list[Pair] = []
    for host in predicted.scenario.hosts:
        left, right = _told(predicted, host.name), _told(seen, host.name)
        matcher = difflib.SequenceMatcher(
            None, [_key(event) for event in left], [_key(event) for event in right], autojunk=False
        )
        for word, i1, i2, j1, j2 in matcher.get_opcodes():
            if word == "equal":
                pairs.extend(Pair(a, b) for a, b in zip(left[i1:i2], right[j1:j2]))
            else:
                pairs.extend(Pair(event, None) for event in left[i1:i2])
                pairs.extend(Pair(None, event) for event in right[j1:j2])
    return tuple(sorted(pairs, key=_time))


def differences(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Return the pairs that only one side has."""
    return tuple(pair for pair in pairs if not pair.is_same)


def _told(outcome: Outcome, host: str) -> list[Event]:
    return [event for event in outcome.events if event.host == host and event.kind == "state"]


def _key(event: Event) -> tuple[str, ...]:
    details = event.details
    return (str(details["from"]), str(details["edge"]), str(details["to"]))


def _time(pair: Pair) -> float:
    return pair.event.t
