"""What episodes say of a year, in the form in which a campaign's runs say it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Optional

import attrs
from scipy import special

from he_fsm.campaign.cycles.estimate import Means, Measure, errors_of
from he_fsm.campaign.cycles.steer import Cycles
from he_fsm.campaign.model import Campaign
from he_fsm.campaign.results import (
    YEAR_S,
    CampaignResult,
    Difference,
    Estimate,
    OutageLengths,
    Precision,
    VariationResult,
)

# With what chance a difference of the size that is called visible is seen.
POWER: Final = 0.8


def result_of(
    campaign: Campaign, designs: Sequence[Cycles], *, was_reached: bool
) -> CampaignResult:
    """Return the statistics of a campaign's episodes; each design has some."""
    found = [_variation(each, campaign.confidence) for each in designs]
    return CampaignResult(
        name=campaign.name,
        about=campaign.about,
        horizon_s=campaign.horizon_s,
        runs=0,
        confidence=campaign.confidence,
        variations=_compared(designs, found, campaign.confidence),
        precision=Precision(
            asked=0.0 if campaign.precision is None else campaign.precision,
            was_reached=was_reached,
            episodes=tuple(each.count for each in designs),
        ),
    )


def _variation(cycles: Cycles, confidence: float) -> VariationResult:
    means = cycles.means

    def a_year(measure: Measure) -> Estimate:
        return errors_of(cycles.played, means, measure).estimate(confidence, YEAR_S)

    errors = cycles.shown
    down = errors.estimate(confidence)
    causes = dict.fromkeys(fault.name for fault in cycles.shape.design.faults)
    for found in cycles.played.values():
        causes.update(dict.fromkeys(name for each in found for name in each.run.downtime_by_cause))
    by_cause = {name: a_year(_of_cause(name)) for name in causes}
    return VariationResult(
        variation=cycles.shape.design.variation,
        runs=(),
        availability=Estimate(
            value=1 - down.value,
            low=None if down.high is None else max(0.0, 1 - down.high),
            high=None if down.low is None else min(1.0, 1 - down.low),
        ),
        downtime_s_a_year=errors.estimate(confidence, YEAR_S),
        downtime_by_cause=dict(sorted(by_cause.items(), key=lambda item: -item[1].value)),
        outages_a_year=a_year(lambda each: len(each.run.outages)),
        outage_lengths=_lengths(cycles, means),
        starts_a_year=a_year(lambda each: each.run.starts),
        migrations_a_year=a_year(lambda each: each.run.migrations),
        needless_moves_a_year=a_year(lambda each: each.run.needless_moves),
        rules=tuple(
            sorted(
                {
                    rule
                    for found in cycles.played.values()
                    for each in found
                    for rule in each.run.broken_rules
                }
            )
        ),
    )


def _of_cause(name: str) -> Measure:
    return lambda each: each.run.downtime_by_cause.get(name, 0.0)


def _lengths(cycles: Cycles, means: Means) -> OutageLengths:
    """Return how long outages are, each counted as often as it happens."""
    weighed: list[tuple[float, float]] = []
    for cell, found in cycles.played.items():
        share = means.pi[cell.place] * means.probability[cell] / len(found)
        weighed += [
            (outage.length_s, share * each.weight) for each in found for outage in each.run.outages
        ]
    weighed.sort()
    whole = math.fsum(weight for _, weight in weighed)
    if not whole:
        return OutageLengths()
    return OutageLengths(
        count=len(weighed),
        p50_s=_quantile(weighed, 0.5 * whole),
        p99_s=_quantile(weighed, 0.99 * whole),
        longest_s=weighed[-1][0],
    )


def _quantile(weighed: Sequence[tuple[float, float]], upto: float) -> float:
    reached = 0.0
    for length_s, weight in weighed:
        reached += weight
        if reached >= upto:
            return length_s
    return weighed[-1][0]


def _compared(
    designs: Sequence[Cycles], found: Sequence[VariationResult], confidence: float
) -> tuple[VariationResult, ...]:
    """Mark the best variation, and add to each other one how much worse it is."""
    values = [each.downtime_s_a_year.value for each in found]
    best = values.index(min(values))
    least = [i for i, value in enumerate(values) if math.isclose(value, values[best], rel_tol=1e-9)]
    differences = {
        i: _difference(designs[i], designs[best]) for i in range(len(found)) if i not in least
    }
    corrected = dict(zip(differences, _corrected([p for _, _, p in differences.values()])))
    compared = []
    for i, each in enumerate(found):
        difference: Optional[Difference] = None
        if i in differences:
            more, half = differences[i][0], differences[i][1] * _normal(0.5 + confidence / 2)
            difference = Difference(
                downtime_s_a_year=Estimate(value=more, low=more - half, high=more + half),
                p_value=corrected[i],
                is_real=corrected[i] < 1 - confidence,
                visible_s=differences[i][1] * (_normal(0.5 + confidence / 2) + _normal(POWER)),
            )
        compared.append(
            attrs.evolve(
                each,
                is_best=i == best and len(least) == 1,
                is_tied=len(least) > 1 and i in least,
                difference=difference,
            )
        )
    return tuple(compared)


def _difference(one: Cycles, best: Cycles) -> tuple[float, float, float]:
    """
    Return by how much a downtime a year is above another, its standard error, and its p-value.

    Where the cells of both are the same, their episodes are pairs, which had the same faults.
    """
    first, other = one.downtime, best.downtime
    more = (first.value - other.value) * YEAR_S
    paired = _paired_variance(one, best)
    variance = first.variance + other.variance if paired is None else paired
    error = math.sqrt(variance) * YEAR_S
    if not error:
        return more, 0.0, 0.0 if more else 1.0
    return more, error, 2 * float(special.ndtr(-abs(more) / error))


def _paired_variance(one: Cycles, best: Cycles) -> Optional[float]:
    if one.probability != best.probability or one.shape.units != best.shape.units:
        return None
    parts: list[float] = []
    for cell, mine in one.parts().items():
        theirs = best.parts().get(cell)
        if theirs is None or len(theirs) != len(mine):
            return None
        gaps = [a - b for a, b in zip(mine, theirs)]
        if len(gaps) > 1:
            middle = math.fsum(gaps) / len(gaps)
            spread = math.fsum((gap - middle) ** 2 for gap in gaps) / (len(gaps) - 1)
            parts.append(spread / len(gaps))
    return math.fsum(parts)


def _corrected(p_values: Sequence[float]) -> list[float]:
    """Correct for the number of comparisons, by Holm: none is called real that may be chance."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, before = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        before = max(before, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = before
    return corrected


def _normal(probability: float) -> float:
    return float(special.ndtri(probability))
