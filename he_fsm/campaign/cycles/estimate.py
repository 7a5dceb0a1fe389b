"""
From episodes to what happens in a year, with intervals.

With the engine in class c, an episode costs d_c on average and lasts l_c, and leaves the engine in
class c' with probability p_cc'. The chain of classes has a stationary distribution pi, so that in
the long run the cost a second is

    u = sum(pi_c d_c) / sum(pi_c (1 / rate + l_c)).

Each of these means is a sum over cells, of the cell's probability and the mean of its episodes'
weighted values. To first order u errs as the mean of z = weight (d - u l + v_end) does; v are
the relative values of the classes: v_c = d_c - u (1 / rate + l_c) + sum(p_cc' v_c').
The interval is Student's, with the degrees of freedom by Welch and Satterthwaite; a cell whose
episodes have a heavy tail counts with fewer, by their kurtosis: their variance is less sure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Final

import attrs
import numpy as np
from scipy import special

from he_fsm.campaign.cycles.episodes import Cell
from he_fsm.campaign.cycles.play import Episode
from he_fsm.campaign.results import Estimate

# Of fewer episodes a cell has no variance.
EPISODES_MIN: Final = 2

Measure = Callable[[Episode], float]
# Episodes by cell, each cell with the probability of its first fault given the engine's class.
Played = Mapping[Cell, Sequence[Episode]]


@attrs.frozen(kw_only=True)
class Means:
    """The classes: how probable each is at a quiet moment, and how long a cycle is on average."""

    pi: tuple[float, ...]
    cycle_s: float
    probability: Mapping[Cell, float]
    moves: tuple[tuple[float, ...], ...]
    rate: float

    def rate_of(self, played: Played, measure: Measure) -> float:
        """Return how much of a measure there is in a second, in the long run."""
        sums = [
            self.pi[cell.place]
            * self.probability[cell]
            * _mean([each.weight * measure(each) for each in found])
            for cell, found in played.items()
        ]
        return math.fsum(sums) / self.cycle_s

    def values(self, played: Played, measure: Measure, rate: float) -> list[float]:
        """Return the relative value of each class: what it costs more to begin there."""
        count = len(self.pi)
        if count == 1:
            return [0.0]
        costs = np.zeros(count)
        for cell, found in played.items():
            cost = _mean([each.weight * (measure(each) - rate * each.lasts_s) for each in found])
            costs[cell.place] += self.probability[cell] * cost
        costs -= rate / self.rate
        matrix = np.eye(count) - np.array(self.moves)
        return [float(v) for v in np.linalg.lstsq(matrix, costs, rcond=None)[0]]


def means_of(played: Played, probability: Mapping[Cell, float], rate: float, places: int) -> Means:
    """
    Return where the engine is at quiet moments, and how long cycles are.

    Args:
        played: at least one episode of each cell of each class that can be reached.
        probability: of the first fault of each cell.
        rate: how often something fails (per second).
        places: how many classes of hosts there are.
    """
    moves, lasts = np.zeros((places, places)), np.zeros(places)
    for cell, found in played.items():
        for each in found:
            share = probability[cell] * each.weight / len(found)
            lasts[cell.place] += share * each.lasts_s
            if each.ends_at is not None:
                moves[cell.place, each.ends_at] += share
    for place, row in enumerate(moves):
        if row.sum():
            moves[place] = row / row.sum()
        else:
            moves[place, place] = 1.0
    reached = {cell.place for cell in played}
    pi = _stationary(moves, sorted(reached))
    return Means(
        pi=tuple(float(p) for p in pi),
        cycle_s=float(1.0 / rate + pi @ lasts),
        probability=probability,
        moves=tuple(tuple(float(p) for p in row) for row in moves),
        rate=rate,
    )


def _stationary(moves: Any, reached: list[int]) -> Any:
    """Return the stationary distribution of a chain over the classes that were reached."""
    some = moves[np.ix_(reached, reached)]
    count = len(reached)
    equations = np.vstack([some.T - np.eye(count), np.ones(count)])
    found = np.linalg.lstsq(equations, np.array([0.0] * count + [1.0]), rcond=None)[0]
    pi = np.zeros(len(moves))
    pi[reached] = np.clip(found, 0.0, None) / np.clip(found, 0.0, None).sum()
    return pi


@attrs.frozen(kw_only=True)
class Errors:
    """How a rate errs: what each cell adds to its variance, by its episodes so far."""

    value: float
    # By cell: the standard deviation of one episode's part in the rate.
    spread: Mapping[Cell, float]
    counts: Mapping[Cell, int]
    # By cell: how sure its spread is, as degrees of freedom.
    freedom: Mapping[Cell, float]

    @property
    def variance(self) -> float:
        """The variance of the rate."""
        return math.fsum(s**2 / self.counts[cell] for cell, s in self.spread.items())

    def half_width(self, confidence: float) -> float:
        """Return half of the interval's width."""
        variance = self.variance
        if variance <= 0:
            return 0.0
        unsure = [
            (s**2 / self.counts[cell]) ** 2 / self.freedom[cell] for cell, s in self.spread.items()
        ]
        freedom = max(1.0, variance**2 / math.fsum(unsure))
        return float(special.stdtrit(freedom, 0.5 + confidence / 2)) * math.sqrt(variance)

    def estimate(self, confidence: float, scale: float = 1.0) -> Estimate:
        """Return the rate with its interval, in other units."""
        half = self.half_width(confidence) * scale
        value = self.value * scale
        if not half:
            return Estimate(value=value)
        # Rare long outages make means skew; their logarithms are less so.
        ratio = math.exp(half / value) if value > 0 else math.inf
        return Estimate(value=value, low=value / ratio, high=value * ratio)


def errors_of(played: Played, means: Means, measure: Measure) -> Errors:
    """Return a rate, and how it errs."""
    parts = parts_of(played, means, measure)
    return Errors(
        value=means.rate_of(played, measure),
        spread={cell: _deviation(found) for cell, found in parts.items()},
        counts={cell: len(found) for cell, found in parts.items()},
        freedom={cell: _freedom(found) for cell, found in parts.items()},
    )


def parts_of(played: Played, means: Means, measure: Measure) -> dict[Cell, list[float]]:
    """Return what each episode adds to a rate, but for a constant of its cell."""
    rate = means.rate_of(played, measure)
    values = means.values(played, measure, rate)
    parts = {}
    for cell, found in played.items():
        share = means.pi[cell.place] * means.probability[cell] / means.cycle_s
        parts[cell] = [share * part for part in _parts(found, measure, rate, values)]
    return parts


def _parts(
    found: Sequence[Episode], measure: Measure, rate: float, values: Sequence[float]
) -> list[float]:
    return [
        each.weight
        * (
            measure(each)
            - rate * each.lasts_s
            + (0.0 if each.ends_at is None else values[each.ends_at])
        )
        for each in found
    ]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    if len(values) < EPISODES_MIN:
        return 0.0
    middle = _mean(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (len(values) - 1))


def _freedom(values: Sequence[float]) -> float:
    """Return the degrees of freedom of a normal variance that is as sure as that of values."""
    count, middle = len(values), _mean(values)
    squares = [(v - middle) ** 2 for v in values]
    whole = math.fsum(squares)
    if count <= EPISODES_MIN or not whole:
        return max(1.0, count - 1.0)
    kurtosis = count * math.fsum(s**2 for s in squares) / whole**2
    return max(1.0, min(count - 1.0, 2 * count / max(kurtosis - 1, 1e-9)))
