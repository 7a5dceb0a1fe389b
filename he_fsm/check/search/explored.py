"""What exploring has found so far, and where it begins."""

from __future__ import annotations

import attrs

from he_fsm.check.expand import Bounds, Expander, Expansion, Node, key_of
from he_fsm.check.layout import State
from he_fsm.check.numbers import Numbered
from he_fsm.check.properties import Breach, Property

_NO_PARENT = 0


@attrs.define
class Progress:
    """How far exploring has come: what a progress bar shows."""

    states: int = 0
    transitions: int = 0
    whole: int = 0
    depth: int = 0
    waiting: int = 0
    seconds: float = 0.0


@attrs.define(eq=False)
class Explored:
    """
    All that exploring has found so far.

    `parents`: of each state at the end of a round its key, and the key of the one before it.
    `states` counts these and the states within rounds. `level`: what is to be expanded at this
    depth; `later`: at the next one.
    """

    bounds: Bounds
    parents: dict[int, int] = attrs.field(factory=dict)
    level: list[State] = attrs.field(factory=list)
    later: list[State] = attrs.field(factory=list)
    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    edges: set[tuple[str, str]] = attrs.field(factory=set)
    breaches: dict[Property, Breach] = attrs.field(factory=dict)
    nodes: dict[int, Node] = attrs.field(factory=dict)
    known: list[Numbered] = attrs.field(factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing left to expand."""
        return not self.level and not self.later

    def add(self, expansion: Expansion) -> None:
        """Take in what came of some states."""
        self.states += expansion.states
        self.transitions += expansion.transitions
        self.edges |= expansion.edges
        self.known += expansion.news
        parents = self.parents
        for key, parent, state in expansion.found:
            if key not in parents:
                parents[key] = parent
                self.later.append(state)
        for breach in expansion.breaches:
            self.breaches.setdefault(breach.prop, breach)
        for node in expansion.nodes:
            self.nodes.setdefault(node.key, node)

    def progress(self, seconds: float) -> Progress:
        """Say how far it is."""
        return Progress(
            self.states,
            self.transitions,
            len(self.parents),
            self.depth,
            len(self.level) + len(self.later),
            self.seconds + seconds,
        )


def begun(bounds: Bounds) -> Explored:
    """Return the beginning of an exploration."""
    explored = Explored(bounds)
    expander = Expander(bounds)
    for state in expander.beginnings():
        explored.parents[key_of(state)] = _NO_PARENT
        explored.level.append(state)
    explored.known += expander.steps.numbers.news
    return explored
