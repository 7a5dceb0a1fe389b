"""The looks of a simulated agent, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

from he_fsm.memory import Sighting
from he_fsm.metadata.record import HostRecord, ProblemWord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.snapshot import LeaseView
from he_fsm.tick import Facts


class Look(NamedTuple):
    """One look of an agent: true time, its host's monotonic clock, whether it made a record."""

    time: float
    now: float
    wrote: bool


class Fading(NamedTuple):
    """The last that is seen of a host, and at which look (true time)."""

    time: float
    sighting: Sighting


class Judged(NamedTuple):
    """What an agent's problems with slots came from."""

    sightings: Mapping[int, Sighting]
    leases: Optional[LeaseView]
    alive: frozenset[int]
    pending: frozenset[int]
    problem: Optional[ProblemWord]


class Answered(NamedTuple):
    """What an answer was made from, and until when it holds on the host's own clock."""

    facts: Facts
    own: Optional[HostRecord]
    whiteboard: Optional[Whiteboard]
    until: float

    def holds(
        self, facts: Facts, own: Optional[HostRecord], whiteboard: Optional[Whiteboard]
    ) -> bool:
        """Whether the same is asked again, before time alone changes the answer."""
        before = self.facts
        return (
            whiteboard is self.whiteboard
            and own is self.own
            and facts.now < self.until
            and facts.vm is before.vm
            and facts.leases is before.leases
            and facts.readings is before.readings
            and facts.local_maintenance == before.local_maintenance
            and not facts.results
        )
