"""The looks of a simulated agent, one by one, and what each of them wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Optional

from he_fsm.memory import Memory
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.simulate.page import Page
from he_fsm.tick import Facts
from he_fsm.value import Value


class Look:
    """
    One look of an agent that wrote its record.

    `time` is true time, `turn` its place among the looks of that time (`schedule.Moment`), `now`
    what the host's monotonic clock showed.
    """

    __slots__ = ("_record", "now", "page", "time", "turn")

    def __init__(self, time: float, turn: int, now: float, page: Page) -> None:
        """Take when it was, and what it wrote."""
        self.time = time
        self.turn = turn
        self.now = now
        self.page = page
        self._record: Optional[HostRecord] = None

    @property
    def record(self) -> HostRecord:
        """The record that it wrote."""
        if self._record is None:
            first, timestamp = self.page.record, int(self.now)
            self._record = first if first.timestamp == timestamp else first.at(timestamp)
        return self._record

    def is_shown(self, time: float, turn: int, latency_s: float) -> bool:
        """Whether another host's look at *time* and *turn* could read what this one wrote."""
        if self.time + latency_s > time:
            return False
        return self.time < time or self.turn < turn


def last_shown(looks: Sequence[Look], time: float, turn: int, latency_s: float) -> Optional[int]:
    """Return the place of the last of *looks* whose record another host's look could read."""
    place = len(looks) - 1
    while place >= 0 and not looks[place].is_shown(time, turn, latency_s):
        place -= 1
    return place if place >= 0 else None


def first_with_timestamp_of(looks: Sequence[Look], place: int) -> Look:
    """Return the look that was the first to write the timestamp of the one at *place*."""
    timestamp = int(looks[place].now)
    while place and int(looks[place - 1].now) == timestamp:
        place -= 1
    return looks[place]


class Asked(Value):
    """What an answer was made from."""

    __slots__ = ("facts", "memory", "own", "whiteboard")

    def __init__(
        self,
        memory: Memory,
        facts: Facts,
        own: Optional[HostRecord],
        whiteboard: Optional[Whiteboard],
    ) -> None:
        """Take the parts."""
        self.memory: Final = memory
        self.facts: Final = facts
        self.own: Final = own
        self.whiteboard: Final = whiteboard

    def is_same(
        self, facts: Facts, own: Optional[HostRecord], whiteboard: Optional[Whiteboard]
    ) -> bool:
        """Whether the same is asked again, at another time and with the memory that came of it."""
        before = self.facts
        return (
            whiteboard is self.whiteboard
            and own is self.own
            and facts.vm is before.vm
            and facts.leases is before.leases
            and facts.readings is before.readings
            and facts.local_maintenance == before.local_maintenance
            and facts.leaves_by == before.leaves_by
            and facts.wall_offset_s == before.wall_offset_s
            and not facts.results
        )
