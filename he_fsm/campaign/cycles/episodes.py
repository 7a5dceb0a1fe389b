"""
Drawing one episode: its faults, and how much it counts.

Episodes are drawn in *cells*, each with its own number of them. A cell says where the engine is,
what fails first, and when the next fault comes: while the first one lasts (`OVER`), while the
cluster is not yet quiet again (`LATER`), or after that, so that the episode has one fault (`NONE`).
The next fault is drawn from its distribution, given that it comes then; the weight of an episode is
how probable that was. So double failures are seen in every campaign, with their true weight. Of
those that overlap half get one more that does so too, and so on, each with its weight.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator, Sequence
from typing import Final, Optional

import attrs

from he_fsm.campaign.cycles.shape import Shape, Unit
from he_fsm.campaign.draw import Strike
from he_fsm.campaign.faults import OF_ENGINE
from he_fsm.campaign.spans import DIGITS

NONE, LATER, OVER = "none", "later", "over"
# The first fault comes when agents have looked for some time.
BEGINS_S: Final = 60.0
_HALF: Final = 0.5
_ENGINE, _HERE, _ELSEWHERE = "engine", "here", "elsewhere"


@attrs.frozen
class Cell:
    """
    Some of a design's episodes.

    `place`: the class of the engine's host. `fault`, `where`: what fails first, and whether it
    strikes the engine, its host, or another one. `next`: when the next fault comes.
    """

    place: int
    fault: str
    where: str
    next: str


@attrs.frozen(kw_only=True)
class Drawn:
    """
    An episode: its faults, the host that has the engine, when it ends, and how much it counts.

    `weight`: how probable it is within its cell's first fault that the next one comes as it does.
    """

    strikes: tuple[Strike, ...]
    engine_on: str
    end_s: float
    weight: float


def cells_of(shape: Shape, place: int) -> dict[Cell, float]:
    """Return the cells of a class of hosts, each with how probable its first fault is."""
    host = shape.places[place][0]
    rates: dict[tuple[str, str], float] = {}
    lasts: set[tuple[str, str]] = set()
    for unit in shape.units:
        key = unit.fault.name, _where(unit, host)
        rates[key] = rates.get(key, 0.0) + unit.rate
        if unit.fault.repair is not None:
            lasts.add(key)
    return {
        Cell(place, fault, where, when): rate / shape.rate
        for (fault, where), rate in rates.items()
        for when in (NONE, LATER, OVER)
        if when != OVER or (fault, where) in lasts
    }


def _where(unit: Unit, host: str) -> str:
    if unit.fault.cause in OF_ENGINE:
        return _ENGINE
    return _HERE if host in unit.hosts else _ELSEWHERE


def all_struck_s(strikes: Sequence[Strike], hosts: Collection[str]) -> float:
    """Return for how long a fault lasts on every one of some hosts."""
    times = sorted({t for strike in strikes for t in (strike.start_s, strike.end_s)})
    whole = 0.0
    for since, until in zip(times, times[1:]):
        struck = {h for s in strikes if s.start_s <= since and s.end_s >= until for h in s.hosts}
        if struck.issuperset(hosts):
            whole += until - since
    return whole


@attrs.define
class _Course:
    """The faults of an episode so far. `down`: until when each unit that fails is broken."""

    units: Sequence[Unit]
    settle_s: float
    draws: random.Random
    strikes: list[Strike] = attrs.field(factory=list)
    down: dict[int, float] = attrs.field(factory=dict)
    # When the last fault was over, or will be.
    over_s: float = 0.0

    def fail(self, index: int, t: float) -> None:
        """Break a unit."""
        unit = self.units[index]
        end = t if unit.fault.repair is None else t + unit.fault.repair.draw(self.draws)
        end = round(end, DIGITS)
        self.strikes.append(Strike(unit.fault.name, unit.fault.cause, unit.hosts, t, end))
        self.down[index] = end
        self.over_s = max(self.over_s, end)

    def stretches(self, start: float, end: float) -> Iterator[tuple[float, float, float]]:
        """Yield stretches of time, each with the rate at which something fails in it."""
        times = sorted({start, end, *(t for t in self.down.values() if start < t < end)})
        whole = math.fsum(unit.rate for unit in self.units)
        for since, until in zip(times, times[1:]):
            broken = (self.units[i].rate for i, t in self.down.items() if t > since)
            yield since, until, max(0.0, whole - math.fsum(broken))

    def hazard(self, start: float, end: float) -> float:
        """Return how many faults would begin in a time, on average."""
        return math.fsum(
            rate * (until - since) for since, until, rate in self.stretches(start, end)
        )

    def next_in(self, start: float, end: float, hazard: float) -> float:
        """Return a time at which the next fault begins, given that it does so before *end*."""
        left = -math.log1p(self.draws.random() * math.expm1(-hazard))
        for since, until, rate in self.stretches(start, end):
            if rate > 0 and left <= rate * (until - since):
                return round(since + left / rate, DIGITS)
            left -= rate * (until - since)
        return round(end, DIGITS)

    def fail_one(self, t: float, among: Optional[Sequence[int]] = None) -> None:
        """Break a unit that is not broken yet: each by its rate."""
        chosen = range(len(self.units)) if among is None else among
        up = [i for i in chosen if self.down.get(i, -math.inf) <= t]
        if up:
            rates = [self.units[i].rate for i in up]
            self.fail(self.draws.choices(up, rates)[0], t)

    def pile_up(self, t: float) -> tuple[float, float]:
        """
        Draw one fault after the other that comes while the others last, each in half of all cases.

        Returns:
            From when on faults come as they do, and how much less probable that all was.
        """
        weight = 1.0
        while True:
            hazard = self.hazard(t, self.over_s)
            comes = -math.expm1(-hazard)
            if comes >= _HALF:
                return t, weight
            if not comes or self.draws.random() < _HALF:
                return self.over_s, weight * (1 - comes) / (_HALF if comes else 1.0)
            weight *= comes / _HALF
            t = self.next_in(t, self.over_s, hazard)
            self.fail_one(t)

    def go_on(self, t: float) -> None:
        """Draw faults as they come, until it has been quiet for long enough."""
        while True:
            end = self.over_s + self.settle_s
            hazard = self.hazard(t, end)
            if self.draws.random() < math.exp(-hazard):
                return
            t = self.next_in(t, end, hazard)
            self.fail_one(t)


def draw(shape: Shape, cell: Cell, seed: str) -> Drawn:
    """Draw an episode of a cell; equal seeds draw the same."""
    draws = random.Random(seed)  # noqa: S311 - a simulation
    engine_on = draws.choice(shape.places[cell.place])
    course = _Course(shape.units, shape.settle_s, draws)
    first = [
        index
        for index, unit in enumerate(shape.units)
        if unit.fault.name == cell.fault and _where(unit, engine_on) == cell.where
    ]
    course.fail_one(BEGINS_S, first)
    over_s = course.over_s
    end = over_s + shape.settle_s
    during, after = course.hazard(BEGINS_S, over_s), course.hazard(over_s, end)
    if cell.next == NONE:
        weight = math.exp(-during - after)
    elif cell.next == OVER:
        weight = -math.expm1(-during)
        if weight:
            t = course.next_in(BEGINS_S, over_s, during)
            course.fail_one(t)
            t, less = course.pile_up(t)
            weight *= less
            course.go_on(t)
    else:
        weight = math.exp(-during) * -math.expm1(-after)
        t = course.next_in(over_s, end, after)
        course.fail_one(t)
        course.go_on(t)
    return Drawn(
        strikes=tuple(sorted(course.strikes, key=lambda strike: strike.start_s)),
        engine_on=engine_on,
        end_s=course.over_s + shape.settle_s,
        weight=weight,
    )
