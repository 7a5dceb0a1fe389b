"""Playing episodes: each is an ordinary scenario, from a quiet moment to the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

import attrs

from he_fsm.campaign.cycles.episodes import Cell, Drawn, draw
from he_fsm.campaign.cycles.shape import Shape
from he_fsm.campaign.draw import scenario_of
from he_fsm.campaign.model import Design
from he_fsm.campaign.play import result_of
from he_fsm.campaign.results import RunResult
from he_fsm.report.outcome import Outcome
from he_fsm.scenario.model import FailedStarts
from he_fsm.simulate import simulate


@attrs.frozen(kw_only=True)
class Episode:
    """
    What an episode showed.

    `number`: which one of its cell it is. `weight`: see `Drawn`. `lasts_s`: from its first fault
    to the quiet moment. `ends_at`: the class of the engine's host then; None: the engine was not
    well, so that the episode had not ended.
    """

    cell: Cell
    number: int
    weight: float
    lasts_s: float
    run: RunResult
    ends_at: Optional[int]


@attrs.frozen
class Draw:
    """Episodes to be played by one process: the numbers of a cell."""

    shape: Shape
    cell: Cell
    numbers: tuple[int, ...]
    seed: int

    def play(self) -> list[Episode]:
        """Play them, one after the other."""
        return [play_episode(self.shape, self.cell, number, self.seed) for number in self.numbers]

    def singly(self) -> Iterator[Draw]:
        """Return each episode as a batch of its own."""
        return (attrs.evolve(self, numbers=(number,)) for number in self.numbers)


def play_episode(shape: Shape, cell: Cell, number: int, seed: int) -> Episode:
    """Draw and play an episode; equal numbers of equal cells have the same faults."""
    drawn = draw(shape, cell, f"{seed}/{cell}/{number}")
    begins_s = drawn.strikes[0].start_s
    design = begun(shape.design, drawn)
    outcome = simulate(scenario_of(design, seed + number, drawn.strikes))
    return Episode(
        cell=cell,
        number=number,
        weight=drawn.weight,
        lasts_s=drawn.end_s - begins_s,
        run=result_of(outcome, design, drawn.strikes),
        ends_at=_ends_at(shape, outcome),
    )


def begun(design: Design, drawn: Drawn) -> Design:
    """Return a design that begins at a quiet moment and has the length of an episode."""
    scenario = design.scenario
    engine = attrs.evolve(
        scenario.engine, running_on=drawn.engine_on, health="good", paused=False, doing="running"
    )
    hosts = tuple(attrs.evolve(host, failed_starts=FailedStarts()) for host in scenario.hosts)
    world = attrs.evolve(scenario.world, cold=False)
    quiet = attrs.evolve(scenario, engine=engine, hosts=hosts, world=world, until=drawn.end_s)
    return attrs.evolve(design, scenario=quiet, horizon_s=drawn.end_s)


def _ends_at(shape: Shape, outcome: Outcome) -> Optional[int]:
    return shape.place_of(outcome.engine_on) if outcome.engine == "good" else None
