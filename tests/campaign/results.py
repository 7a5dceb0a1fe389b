"""Results of campaigns for the tests of what is drawn from them."""

from __future__ import annotations

import random
from statistics import fmean

from he_fsm.campaign.results import (
    YEAR_S,
    CampaignResult,
    Difference,
    Estimate,
    Outage,
    OutageLengths,
    RunResult,
    Variation,
    VariationResult,
)

CAUSES = ("host dies", "engine hangs", "agent dies", "rack's power")


def campaign_result(
    *names: str, runs: int = 20, about: str = "", broken: tuple[str, ...] = ()
) -> CampaignResult:
    """Return a result with made-up runs; each variation is worse than the one before."""
    variations = [_variation(name, index, runs, broken) for index, name in enumerate(names)]
    return CampaignResult(
        name="a-year",
        about=about,
        horizon_s=YEAR_S,
        runs=runs,
        confidence=0.95,
        variations=tuple(variations),
    )


def _variation(name: str, index: int, runs: int, broken: tuple[str, ...]) -> VariationResult:
    played = tuple(_run(name, seed, index, broken) for seed in range(1, runs + 1))
    lengths = sorted(outage.length_s for run in played for outage in run.outages)
    downtimes = [run.downtime_s for run in played]
    causes = {
        cause: estimate([run.downtime_by_cause.get(cause, 0.0) for run in played])
        for cause in CAUSES
    }
    downtime = estimate(downtimes)
    return VariationResult(
        variation=Variation(name=name),
        runs=played,
        availability=estimate([run.availability for run in played]),
        downtime_s_a_year=downtime,
        downtime_by_cause=dict(sorted(causes.items(), key=lambda item: -item[1].value)),
        outages_a_year=estimate([len(run.outages) for run in played]),
        outage_lengths=OutageLengths(
            count=len(lengths),
            p50_s=lengths[len(lengths) // 2] if lengths else 0.0,
            p99_s=lengths[-1] if lengths else 0.0,
            longest_s=lengths[-1] if lengths else 0.0,
        ),
        starts_a_year=estimate([run.starts for run in played]),
        migrations_a_year=estimate([run.migrations for run in played]),
        needless_moves_a_year=estimate([run.needless_moves for run in played]),
        is_best=not index,
        difference=Difference(downtime_s_a_year=downtime, p_value=0.02 / index, is_real=index > 1)
        if index
        else None,
    )


def estimate(values: list[float]) -> Estimate:
    """Return a mean between ends that are as far away as the runs differ."""
    if len(set(values)) < 2:
        return Estimate(value=fmean(values))
    half = (max(values) - min(values)) / len(values)
    mean = fmean(values)
    return Estimate(value=mean, low=max(0.0, mean - half), high=mean + half)


def _run(name: str, seed: int, index: int, broken: tuple[str, ...]) -> RunResult:
    draws = random.Random(seed)  # noqa: S311 - made up
    outages = tuple(
        Outage(
            start_s=draws.uniform(0, YEAR_S),
            length_s=draws.lognormvariate(5, 1) * (1 + index / 4),
            cause=draws.choice(CAUSES),
        )
        for _ in range(draws.randrange(30))
    )
    return RunResult(
        variation=name,
        seed=seed,
        horizon_s=YEAR_S,
        outages=outages,
        starts=len(outages),
        migrations=draws.randrange(5),
        needless_moves=draws.randrange(2),
        broken_rules=broken if seed == 1 else (),
    )
