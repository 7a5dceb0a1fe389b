"""One row of the table: one declared transition."""

from __future__ import annotations

from typing import Callable, Optional

import attrs

from he_fsm.effects import Effect
from he_fsm.memory import Memory
from he_fsm.states.names import State
from he_fsm.states.view import View

Guard = Callable[[View], bool]
Deeds = Callable[[View], tuple[Effect, ...]]
Reason = Callable[[View], str]
Change = Callable[[View, Memory], Memory]


def no_deeds(_: View) -> tuple[Effect, ...]:
    """Return no effects."""
    return ()


def deeds(*effects: Effect) -> Deeds:
    """Return a function that returns these effects whatever the view."""
    return lambda _: effects


@attrs.frozen
class Transition:
    """
    One declared transition. A state's rows are tried in order; the first that holds is taken.

    `name` is unique within the source state, and is the trigger of the `transitions` machine.
    `when` is the guard, and `says` is the same condition in words, for people who read the table.
    `because` returns the reason, with numbers, when the row is taken; without it `says` is used.
    `then` changes the memory; the state and the time of its change are set without it.
    """

    source: State
    name: str
    when: Guard = attrs.field(repr=False)
    to: State
    says: str
    effects: Deeds = attrs.field(default=no_deeds, repr=False)
    because: Optional[Reason] = attrs.field(default=None, repr=False, kw_only=True)
    then: Optional[Change] = attrs.field(default=None, repr=False, kw_only=True)
    # The effects in words, for table and diagram.
    does: str = attrs.field(default="", kw_only=True)
    counts_failed_start: bool = attrs.field(default=False, kw_only=True)
    # People are notified: of a start, a stop, a move, maintenance, a failure.
    notifies: bool = attrs.field(default=False, kw_only=True)
    # Every host takes this edge at the same time; only one of them notifies people.
    by_one: bool = attrs.field(default=False, kw_only=True)
    # A series of bad endings takes this edge again and again. People are notified of the first
    # ones; once the host is blocked, an alarm takes over (he_fsm.alarms).
    in_series: bool = attrs.field(default=False, kw_only=True)

    @property
    def label(self) -> str:
        """Source, name and destination, for logs and errors."""
        return f"{self.source.value} --{self.name}--> {self.to.value}"
