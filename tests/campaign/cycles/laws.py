"""Episodes whose downtime follows from their faults alone, so that the truth has a closed form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from he_fsm.campaign.cycles.episodes import Cell, Drawn, draw
from he_fsm.campaign.cycles.play import Draw, Episode
from he_fsm.campaign.cycles.shape import Shape, shape_of
from he_fsm.campaign.cycles.steer import Cycles, precise
from he_fsm.campaign.draw import Strike
from he_fsm.campaign.incidents import join
from he_fsm.campaign.results import Estimate, Outage, RunResult
from tests.campaign.campaigns import campaign

DAY_S = 86_400.0


def shape(folder: Path, faults: str, hosts: str) -> Shape:
    """Return the cycles of hosts with these faults."""
    (design,) = campaign(folder, faults, "runs: 2", hosts).designs
    return shape_of(design)


def all_down_s(strikes: Sequence[Strike], hosts: Sequence[str]) -> float:
    """Return for how long all hosts are down at once."""
    together: list[tuple[float, float]] | None = None
    for host in hosts:
        own = join([(s.start_s, s.end_s) for s in strikes if host in s.hosts])
        together = own if together is None else list(_both(together, own))
    return sum(end - start for start, end in together or ())


def _both(
    some: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]
) -> Iterator[tuple[float, float]]:
    for start, end in some:
        for since, until in others:
            if max(start, since) < min(end, until):
                yield max(start, since), min(end, until)


def episode(of: Shape, cell: Cell, number: int, drawn: Drawn) -> Episode:
    """Return an episode in which the engine is down while all hosts are."""
    hosts = [host.name for host in of.design.scenario.hosts]
    down_s = all_down_s(drawn.strikes, hosts)
    outages = (Outage(start_s=0.0, length_s=down_s, cause="host"),) if down_s else ()
    run = RunResult(variation="", seed=number, horizon_s=drawn.end_s, outages=outages)
    lasts_s = drawn.end_s - drawn.strikes[0].start_s
    return Episode(
        cell=cell, number=number, weight=drawn.weight, lasts_s=lasts_s, run=run, ends_at=cell.place
    )


def plays(draws: Sequence[Draw]) -> Iterator[Sequence[Episode]]:
    """Play episodes by that law."""
    for each in draws:
        yield [
            episode(
                each.shape,
                each.cell,
                i,
                draw(each.shape, each.cell, f"{each.seed}/{each.cell}/{i}"),
            )
            for i in each.numbers
        ]


def unavailability(of: Shape, seed: int, precision: float) -> Estimate:
    """Return what is found with a seed, at 95 %."""
    cycles = Cycles(of, seed)
    assert precise([cycles], precision, 0.95, plays, lambda _: None)
    return cycles.shown.estimate(0.95)
