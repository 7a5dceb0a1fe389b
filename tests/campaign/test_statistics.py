"""
Intervals and tests, against processes whose answer is known.

Renewal of one host: availability is MTBF / (MTBF + MTTR). Two hosts, each with its own repair: the
Markov chain's probability that both are down, in closed form, from the start at which both are up.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.campaign.draw import draw_strikes
from he_fsm.campaign.faults import Cause, Fault
from he_fsm.campaign.model import Campaign
from he_fsm.campaign.play import play
from he_fsm.campaign.results import CampaignResult, Outage, RunResult
from he_fsm.campaign.spans import Exponential, Weibull
from he_fsm.campaign.statistics import correct, estimate, paired, summarise
from tests.campaign.campaigns import AT_ONCE, campaign

DAY_S = 86_400.0
YEAR_S = 365 * DAY_S


def run(variation: str, seed: int, *lengths: float, cause: str = "vm") -> RunResult:
    outages = tuple(
        Outage(start_s=1e5 * index, length_s=length, cause=cause)
        for index, length in enumerate(lengths)
    )
    return RunResult(variation=variation, seed=seed, horizon_s=YEAR_S, outages=outages, starts=seed)


def two(folder: Path) -> Campaign:
    more = "vary: {world.loop: [5s, 10s]}\nruns: 4"
    return campaign(folder, "{cause: vm, mtbf: 7d}\n{cause: host, mtbf: 9d, repair: 1h}", more)


A, B = "world.loop=5s", "world.loop=10s"


# Known processes.


@pytest.mark.parametrize("shape", [1.0, 0.7, 2.5])
def test_an_interval_holds_the_truth_as_often_as_it_says(shape: float) -> None:
    mtbf_s, mttr_s, horizon_s = 10 * DAY_S, DAY_S, 2 * YEAR_S
    fault = Fault(
        cause=Cause.HOST,
        name="host",
        hosts=("1",),
        mtbf=Weibull(mtbf_s, shape),
        repair=Exponential(mttr_s),
    )

    def availability(seed: int) -> float:
        strikes = draw_strikes([fault], seed, horizon_s)
        down_s = math.fsum(min(each.end_s, horizon_s) - each.start_s for each in strikes)
        return 1 - down_s / horizon_s

    truth = mtbf_s / (mtbf_s + mttr_s)
    count, held = 200, 0
    for first in range(count):
        values = [availability(12 * first + index) for index in range(12)]
        found = estimate(values, 0.95)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    # Of 200 intervals at 95 %, 190 hold it; fewer than 180 or all of them are no chance.
    assert 180 <= held < count


@pytest.mark.once
def test_one_host_without_another_is_available_as_its_failures_and_repairs_say(
    tmp_path: Path,
) -> None:
    faults = "{cause: host, mtbf: 100d, repair: 10d}"
    more = f"horizon: 20y\nruns: 12\nworld: {AT_ONCE}"
    found = simulated(campaign(tmp_path, faults, more, "1")).variations[0]
    truth = 100 / (100 + 10)
    # From the start, at which the host is up, the mean over the horizon is a little higher.
    truth += _start_bias(1 / (100 * DAY_S), 1 / (10 * DAY_S), 20 * YEAR_S)
    assert holds(found.availability.low, truth, found.availability.high)
    assert set(found.downtime_by_cause) == {"host"}


def _start_bias(failures: float, repairs: float, horizon_s: float) -> float:
    both = failures + repairs
    return failures / both * (1 - math.exp(-both * horizon_s)) / (both * horizon_s)


@pytest.mark.once
def test_two_hosts_are_down_together_as_the_markov_chain_says(tmp_path: Path) -> None:
    faults = "{cause: host, mtbf: 100d, repair: 50d}"
    more = f"horizon: 10y\nruns: 12\nworld: {AT_ONCE}"
    found = simulated(campaign(tmp_path, faults, more, "2")).variations[0]
    failures, repairs, horizon_s = 1 / (100 * DAY_S), 1 / (50 * DAY_S), 10 * YEAR_S
    both = failures + repairs
    # Each is down at t with p (1 - exp(-both t)), by itself; the mean of its square to the horizon.
    p, reach = failures / both, both * horizon_s
    down = p**2 * (
        1 - 2 * (1 - math.exp(-reach)) / reach + (1 - math.exp(-2 * reach)) / (2 * reach)
    )
    assert holds(found.availability.low, 1 - down, found.availability.high)
    # And it is no interval that would hold anything.
    assert found.availability.low is not None
    assert found.availability.low > 1 - 2 * down


def simulated(asked: Campaign) -> CampaignResult:
    runs = [play(design, seed) for design in asked.designs for seed in asked.seeds]
    assert not any(each.broken_rules for each in runs)
    return summarise(asked, runs)


def holds(low: float | None, value: float, high: float | None) -> bool:
    return low is not None and high is not None and low <= value <= high


# Estimates.


@given(values=st.lists(st.floats(0, 1e6), min_size=2, max_size=30))
def test_an_interval_surrounds_its_mean_and_keeps_to_what_is_possible(values: list[float]) -> None:
    found = estimate(values, 0.9)
    assert found.value == pytest.approx(sum(values) / len(values), abs=1e-6)
    if found.low is not None and found.high is not None:
        assert 0 <= found.low <= found.value <= found.high


def test_one_run_or_equal_ones_say_nothing_of_how_sure_they_are() -> None:
    assert estimate([3.0], 0.95).low is None
    assert estimate([3.0, 3.0, 3.0], 0.95).high is None


def test_more_confidence_is_a_wider_interval() -> None:
    values = [1.0, 2.0, 4.0, 3.0]
    narrow, wide = estimate(values, 0.5), estimate(values, 0.99)
    assert narrow.high is not None
    assert wide.high is not None
    assert narrow.high < wide.high


# Summaries.


def test_what_is_summed_up_of_a_variation(tmp_path: Path) -> None:
    runs = [run(A, 2, 100.0, 300.0), run(A, 1, 200.0), run(A, 3)]
    (found,) = summarise(two(tmp_path), runs).variations
    assert [each.seed for each in found.runs] == [1, 2, 3]
    assert found.availability.value == pytest.approx(1 - 200 / YEAR_S)
    assert found.downtime_s_a_year.value == pytest.approx(200)
    # Every cause of the file is there, the greatest first.
    assert [(name, each.value) for name, each in found.downtime_by_cause.items()] == [
        ("vm", pytest.approx(200)),
        ("host", 0.0),
    ]
    lengths = found.outage_lengths
    assert (lengths.count, lengths.p50_s, lengths.longest_s) == (3, 200.0, 300.0)
    assert 290 < lengths.p99_s < 300
    assert (found.outages_a_year.value, found.starts_a_year.value) == (1.0, 2.0)
    assert found.is_best
    assert found.difference is None


def test_of_equal_variations_none_is_the_best(tmp_path: Path) -> None:
    runs = [run(name, seed, 10.0 * seed) for name in (A, B) for seed in (1, 2, 3)]
    found = summarise(two(tmp_path), runs)
    assert [each.is_best for each in found.variations] == [False, False]
    assert found.tied == found.variations
    assert found.best is None
    assert [each.difference for each in found.variations] == [None, None]
    (alone,) = summarise(two(tmp_path), runs[:3]).variations
    assert (alone.is_best, alone.is_tied) == (True, False)


def test_a_campaign_of_which_nothing_was_played_has_no_variations(tmp_path: Path) -> None:
    found = summarise(two(tmp_path), [])
    assert (found.variations, found.best, found.is_complete) == ((), None, True)


def test_the_order_in_which_runs_end_changes_nothing(tmp_path: Path) -> None:
    draws = random.Random(1)  # noqa: S311 - no secret
    runs = [run(name, seed, draws.random() * 99) for name in (A, B) for seed in range(1, 9)]
    whole = summarise(two(tmp_path), runs)
    draws.shuffle(runs)
    assert summarise(two(tmp_path), runs) == whole


# Differences.


def test_a_small_difference_under_the_same_bad_luck_is_real_and_otherwise_it_is_not(
    tmp_path: Path,
) -> None:
    draws = random.Random(2)  # noqa: S311 - no secret
    luck = [draws.uniform(0, 1000) for _ in range(20)]
    same = [run(A, seed, luck[seed]) for seed in range(20)]
    worse = [run(B, seed, luck[seed] + draws.uniform(0, 10)) for seed in range(20)]
    found = summarise(two(tmp_path), [*same, *worse]).variations
    assert [each.is_best for each in found] == [True, False]
    difference = found[1].difference
    assert difference is not None
    assert difference.is_real
    assert difference.downtime_s_a_year.value == pytest.approx(5, abs=2)
    # With other bad luck for each, five seconds in a thousand are nothing.
    other = [run(B, seed, luck[(seed + 7) % 20] + 5) for seed in range(20)]
    found = summarise(two(tmp_path), [*same, *other]).variations
    difference = next(each.difference for each in found if not each.is_best)
    assert difference is not None
    assert not difference.is_real


def test_equal_runs_are_no_difference_and_a_constant_one_is_no_chance() -> None:
    runs = [run(A, seed, 10.0 * seed) for seed in range(1, 5)]
    more = [run(B, seed, 10.0 * seed + 1) for seed in range(1, 5)]
    assert paired(runs, runs, 0.95) is not None
    found = paired(runs, runs, 0.95)
    assert found is not None
    assert (found[0].value, found[1]) == (0.0, 1.0)
    found = paired(more, runs, 0.95)
    assert found is not None
    assert found[0].value == pytest.approx(1.0)
    assert found[1] < 1e-6


def test_only_seeds_that_both_have_are_compared() -> None:
    found = paired([run(A, 1, 5.0), run(A, 2, 6.0)], [run(B, 2, 1.0), run(B, 3, 99.0)], 0.95)
    assert found is None
    found = paired(
        [run(A, 1, 5.0), run(A, 2, 6.0), run(A, 3, 7.0)], [run(B, 2, 1.0), run(B, 3, 1.0)], 0.95
    )
    assert found is not None
    assert found[0].value == pytest.approx(5.5)


@pytest.mark.once
def test_where_nothing_differs_hardly_anything_is_called_real() -> None:
    draws = np.random.default_rng(3)
    called = 0
    for _ in range(200):
        values = draws.exponential(100, (5, 20))
        variations = [
            [run(str(index), seed, value) for seed, value in enumerate(each)]
            for index, each in enumerate(values.tolist())
        ]
        found = [paired(each, variations[0], 0.95) for each in variations[1:]]
        called += any(p < 0.05 for p in correct([each[1] for each in found if each is not None]))
    assert called <= 14
    assert correct([]) == []
