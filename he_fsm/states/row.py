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
    """Ask for nothing."""
    return ()


def deeds(*effects: Effect) -> Deeds:
    """Ask for always the same effects."""
    return lambda _: effects


@attrs.frozen
class Transition:
    """
    One declared transition. A state's rows are tried in order; the first that holds is taken.

    `name` is unique within the source state and is the trigger of the `transitions` machine.
    `says` is the condition in words, for people who read the table; `because` gives the reason at
    the moment when it is taken, with numbers. `then` changes the memory beyond state and time.
    """

    source: State
    name: str
    when: Guard = attrs.field(repr=False)
    to: State
    says: str
    effects: Deeds = attrs.field(default=no_deeds, repr=False)
    because: Optional[Reason] = attrs.field(default=None, repr=False, kw_only=True)
    then: Optional[Change] = attrs.field(default=None, repr=False, kw_only=True)
    # What the effects are, in words, for table and diagram.
    does: str = attrs.field(default="", kw_only=True)
    counts_failed_start: bool = attrs.field(default=False, kw_only=True)
    # People are told: a start, a stop, a move, maintenance, a failure.
    notifies: bool = attrs.field(default=False, kw_only=True)

    @property
    def label(self) -> str:
        """Source, name and destination, for logs and errors."""
        return f"{self.source.value} --{self.name}--> {self.to.value}"
