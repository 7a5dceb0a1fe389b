"""One look of a host: what it remembered, what it found, and what it decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import attrs

from he_fsm.effects import Effect
from he_fsm.liveness import Liveness
from he_fsm.memory import Memory
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.placement import Placement
from he_fsm.policy import Policy
from he_fsm.score import Score
from he_fsm.step import Step
from he_fsm.tick import Facts, Identity

# An effect or an alarm as a plain object: its class's name as `is`, then its fields.
Deed = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Session:
    """
    What stays the same over many looks: who decided, by which numbers, and with which clock.

    `program`: the version of the package. `boot`: names the boot of the machine, in which its
    monotonic clock runs; looks of one host with the same one can be compared by it.
    """

    identity: Identity
    policy: Policy
    program: str
    boot: str


@attrs.frozen(kw_only=True)
class Seen:
    """
    What one decision was made from: the arguments of `he_fsm.tick.decide`.

    `score`: what the host rated itself, and `score_why` from what, in words; a host that can't
    publish has a score as well.
    """

    before: Memory
    facts: Facts
    own: Optional[HostRecord]
    whiteboard: Optional[Whiteboard]
    score: int
    score_why: str

    @property
    def wall_at(self) -> float:
        """What the host's wall clock showed (seconds since 1970)."""
        return self.facts.now + self.facts.wall_offset_s


@attrs.frozen(kw_only=True)
class Decided:
    """
    A decision as it is kept: `he_fsm.step.Step`, with the row's name alone.

    A row that this release does not have can be read as well.
    """

    memory: Memory
    edge: Optional[str]
    reason: str
    effects: tuple[Deed, ...]
    alarms: tuple[Deed, ...]
    wake_at: float
    idle_until: float
    liveness: Liveness
    placement: Placement

    @classmethod
    def of(cls, step: Step) -> Decided:
        """Return a step as it is kept."""
        return cls(
            memory=step.memory,
            edge=None if step.edge is None else step.edge.name,
            reason=step.reason,
            effects=tuple(map(_deed, step.effects)),
            alarms=tuple(map(_deed, step.alarms)),
            wake_at=step.wake_at,
            idle_until=step.idle_until,
            liveness=step.liveness,
            placement=step.placement,
        )


@attrs.frozen(kw_only=True)
class Look:
    """
    What was seen and what was decided.

    `done_at`: when it was decided, on the host's monotonic clock: all was seen before that.
    """

    seen: Seen
    decided: Decided
    done_at: float

    @classmethod
    def of(  # noqa: PLR0913 - all that a pass of the loop knows
        cls,
        before: Memory,
        facts: Facts,
        own: Optional[HostRecord],
        whiteboard: Optional[Whiteboard],
        score: Score,
        step: Step,
        done_at: float,
    ) -> Look:
        """Return one pass of a loop."""
        seen = Seen(
            before=before,
            facts=facts,
            own=own,
            whiteboard=whiteboard,
            score=score.total,
            score_why=score.why,
        )
        return cls(seen=seen, decided=Decided.of(step), done_at=done_at)


def _deed(effect: Effect) -> Deed:
    return {"is": type(effect).__name__, **attrs.asdict(effect)}


def keep_nothing(_: Look) -> None:
    """Take a look where none is kept."""
