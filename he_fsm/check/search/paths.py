"""The run to a state: the rounds from a beginning on, reconstructed from the keys on the way."""

from __future__ import annotations

from typing import NamedTuple, Optional

from he_fsm.check.beginning import Beginning
from he_fsm.check.expand import Expander, key_of
from he_fsm.check.layout import State
from he_fsm.check.properties import Action, Breach
from he_fsm.check.rounds import Round, Successor
from he_fsm.check.search.explored import Explored


class Run(NamedTuple):
    """A run: its beginning, its actions round by round, and the circle in which it ends, if any."""

    beginning: Beginning
    rounds: tuple[tuple[Action, ...], ...]
    circle: tuple[tuple[Action, ...], ...]


class Paths:
    """Reconstructs runs by playing only the rounds on their way."""

    def __init__(self, explored: Explored) -> None:
        """Take the result of an exploration."""
        self._explored = explored
        self._expander = Expander(explored.bounds)

    def run_to(self, breach: Breach) -> Run:
        """Return the run that ends with a breach."""
        _, beginning, rounds = self._walk(breach.after)
        return Run(beginning, (*rounds, breach.actions), ())

    def run_round(self, visited: int, circle: tuple[int, ...]) -> Run:
        """Return a run into a circle of quiet rounds, which is given as keys of plain states."""
        state, beginning, rounds = self._walk(visited)
        expander = self._expander
        turns = []
        for key in (*circle[1:], circle[0]):
            played = expander.rounds.play(state)
            found = _first(played.quiet, lambda each, key=key: key_of(expander.plain(each)) == key)
            if found is None:
                break
            turns.append(_actions(played, found))
            state = found.state
        return Run(beginning, rounds, tuple(turns))

    def _walk(self, visited: int) -> tuple[State, Beginning, tuple[tuple[Action, ...], ...]]:
        keys = [visited]
        while parent := self._explored.parents[keys[-1]]:
            keys.append(parent)
        keys.reverse()
        beginnings = self._expander.beginnings()
        state = next(state for state in beginnings if key_of(state) == keys[0])
        beginning = beginnings[state]
        rounds = []
        for key in keys[1:]:
            played = self._expander.rounds.play(state)
            found = _first(
                [*played.quiet, *played.other], lambda each, key=key: key_of(each) == key
            )
            if found is None:
                msg = "the decisions are others than while exploring"
                raise ValueError(msg)
            rounds.append(_actions(played, found))
            state = found.state
        return state, beginning, tuple(rounds)


def _first(successors: list[Successor], is_it: object) -> Optional[Successor]:
    assert callable(is_it)  # noqa: S101 - a function of this module
    return next((each for each in successors if is_it(each.state)), None)


def _actions(played: Round, successor: Successor) -> tuple[Action, ...]:
    return (*played.actions_to(successor.last), successor.action)
