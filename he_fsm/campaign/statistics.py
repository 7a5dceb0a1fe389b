"""
Statistics of a campaign: means with confidence intervals, and which differences are real.

Runs of one variation are independent and equally long, so a mean over them has Student's interval.
Runs of two variations with the same seed had the same faults, so their differences are paired. The
computations are scipy's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Callable, Final, Optional

import attrs
import numpy as np
from scipy import stats

from he_fsm.campaign.model import Campaign, Design
from he_fsm.campaign.results import (
    YEAR_S,
    CampaignResult,
    Difference,
    Estimate,
    OutageLengths,
    RunResult,
    VariationResult,
)

# Fewer runs have no variance.
_RUNS_MIN: Final = 2


def estimate(
    values: Sequence[float], confidence: float, *, low: float = 0.0, high: float = np.inf
) -> Estimate:
    """
    Return the mean and its confidence interval, by Student's t.

    Args:
        values: one for each run.
        confidence: the level, like 0.95.
        low: the lowest possible mean.
        high: the highest possible mean.
    """
    found = np.asarray(values, dtype=float)
    mean = float(found.mean())
    if len(found) < _RUNS_MIN or np.ptp(found) == 0:
        return Estimate(value=mean)
    spread = stats.sem(found)
    if not spread > 0:
        # The values differ by less than the precision of a float.
        return Estimate(value=mean)
    ends = stats.t.interval(confidence, len(found) - 1, loc=mean, scale=spread)
    return Estimate(value=mean, low=max(low, float(ends[0])), high=min(high, float(ends[1])))


def summarise(campaign: Campaign, runs: Iterable[RunResult]) -> CampaignResult:
    """
    Return the statistics of a campaign's runs.

    Runs may be in any order, and any of them may be missing. The best variation is the one with the
    least downtime; equal ones are tied, and none of them is the best.
    """
    by_variation: dict[str, list[RunResult]] = {}
    for run in runs:
        by_variation.setdefault(run.variation, []).append(run)
    variations = [
        _variation(design, sorted(found, key=lambda run: run.seed), campaign.confidence)
        for design in campaign.designs
        if (found := by_variation.get(design.variation.name))
    ]
    return CampaignResult(
        name=campaign.name,
        about=campaign.about,
        horizon_s=campaign.horizon_s,
        runs=campaign.runs,
        confidence=campaign.confidence,
        variations=_compared(variations, campaign.confidence),
    )


def _variation(design: Design, runs: Sequence[RunResult], confidence: float) -> VariationResult:
    a_year = YEAR_S / runs[0].horizon_s

    def rate(counts: Iterable[float]) -> Estimate:
        return estimate([count * a_year for count in counts], confidence)

    found = [run.downtime_by_cause for run in runs]
    # Begin with the order of the file, which the stable sort keeps for equal causes.
    names = dict.fromkeys([fault.name for fault in design.faults])
    names.update(dict.fromkeys(cause for each in found for cause in each))
    causes = {name: rate(each.get(name, 0.0) for each in found) for name in names}
    return VariationResult(
        variation=design.variation,
        runs=tuple(runs),
        availability=estimate([run.availability for run in runs], confidence, high=1.0),
        downtime_s_a_year=rate(run.downtime_s for run in runs),
        downtime_by_cause=dict(sorted(causes.items(), key=lambda item: -item[1].value)),
        outages_a_year=rate(len(run.outages) for run in runs),
        outage_lengths=_lengths([outage.length_s for run in runs for outage in run.outages]),
        starts_a_year=rate(run.starts for run in runs),
        migrations_a_year=rate(run.migrations for run in runs),
        needless_moves_a_year=rate(run.needless_moves for run in runs),
    )


def _lengths(seconds: Sequence[float]) -> OutageLengths:
    if not seconds:
        return OutageLengths()
    return OutageLengths(
        count=len(seconds),
        p50_s=float(np.quantile(seconds, 0.5)),
        p99_s=float(np.quantile(seconds, 0.99)),
        longest_s=max(seconds),
    )


def _compared(
    variations: Sequence[VariationResult], confidence: float
) -> tuple[VariationResult, ...]:
    """Mark the best variation, and add to each other one how much worse it is."""
    if not variations:
        return ()
    best = min(variations, key=lambda each: each.downtime_s_a_year.value)
    # Equal ones share the first place: none of them is the best.
    least = {id(each) for each in variations if _is_equal(each, best)}
    others = [each for each in variations if id(each) not in least]
    tests = {id(each): paired(each.runs, best.runs, confidence) for each in others}
    possible = {key: found for key, found in tests.items() if found is not None}
    corrected = correct([found[1] for found in possible.values()])
    differences = {
        key: Difference(downtime_s_a_year=more, p_value=p, is_real=p < 1 - confidence)
        for (key, (more, _)), p in zip(possible.items(), corrected)
    }
    return tuple(
        attrs.evolve(
            each,
            is_best=each is best and len(least) == 1,
            is_tied=len(least) > 1 and id(each) in least,
            difference=differences.get(id(each)),
        )
        for each in variations
    )


def _is_equal(one: VariationResult, other: VariationResult) -> bool:
    values = one.downtime_s_a_year.value, other.downtime_s_a_year.value
    return math.isclose(*values, rel_tol=1e-9, abs_tol=1e-6)


def downtime_a_year(run: RunResult) -> float:
    """Return the seconds of downtime that a run would have in a year."""
    return run.downtime_s * YEAR_S / run.horizon_s


def paired(
    runs: Sequence[RunResult],
    others: Sequence[RunResult],
    confidence: float,
    measure: Callable[[RunResult], float] = downtime_a_year,
) -> Optional[tuple[Estimate, float]]:
    """
    Compare a measure of two variations in the runs whose seeds both have.

    Returns:
        The mean of the first minus the second, and the probability of so large a difference by
        chance (paired t-test, two-sided); None: fewer than two seeds are common.
    """
    known = {run.seed: measure(run) for run in others}
    differences = np.array([measure(run) - known[run.seed] for run in runs if run.seed in known])
    if len(differences) < _RUNS_MIN:
        return None
    more = estimate(list(differences), confidence, low=-np.inf)
    if np.ptp(differences) == 0:
        # The difference is the same in every run: there is no chance in it.
        return more, 1.0 if differences[0] == 0 else 0.0
    with warnings.catch_warnings():
        # scipy warns of lost precision if the differences are nearly equal.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = stats.ttest_1samp(differences, 0.0)
    return more, float(found.pvalue)


def correct(p_values: Sequence[float]) -> list[float]:
    """
    Correct probabilities for multiple tests, by Benjamini and Yekutieli.

    Then, on average, at most the stated fraction of the differences that are called real are not.
    This holds for dependent tests too, as here: all compare with the same best variation.
    """
    if not p_values:
        return []
    return [float(p) for p in stats.false_discovery_control(p_values, method="by")]
