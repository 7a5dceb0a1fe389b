"""Results as values: what is computed from a run, and that nothing is lost on the way to JSON."""

from __future__ import annotations

import json

import cattrs
import pytest

from he_fsm.campaign.results import (
    NO_FAULT,
    CampaignResult,
    Difference,
    Estimate,
    Outage,
    OutageLengths,
    RunResult,
    Variation,
    VariationResult,
    run_from_json,
    run_to_json,
)

ONE = Estimate(value=1.5, low=1.0, high=2.0)


def run(variation: str, seed: int, *lengths: float) -> RunResult:
    outages = tuple(
        Outage(start_s=100.0 * index, length_s=length, cause="host" if index else NO_FAULT)
        for index, length in enumerate(lengths)
    )
    return RunResult(variation=variation, seed=seed, horizon_s=1000.0, outages=outages)


def result(*runs: tuple[RunResult, ...], asked: int = 2) -> CampaignResult:
    variations = tuple(
        VariationResult(
            variation=Variation(name=each[0].variation, settings={"world.loop": "5s"}),
            runs=each,
            availability=ONE,
            downtime_s_a_year=ONE,
            downtime_by_cause={"host": ONE},
            outages_a_year=ONE,
            outage_lengths=OutageLengths(count=1, p50_s=2.0, p99_s=2.0, longest_s=2.0),
            starts_a_year=ONE,
            migrations_a_year=ONE,
            needless_moves_a_year=Estimate(value=0.0),
            is_best=index == 1,
            difference=Difference(downtime_s_a_year=ONE, p_value=0.25, is_real=False),
        )
        for index, each in enumerate(runs)
    )
    return CampaignResult(
        name="two", horizon_s=1000.0, runs=asked, confidence=0.95, variations=variations
    )


def test_a_run_sums_its_outages() -> None:
    found = run("a", 1, 30.0, 20.0, 50.0)
    assert found.downtime_s == 100.0
    assert found.availability == 0.9
    assert found.longest_outage_s == 50.0
    assert found.downtime_by_cause == {NO_FAULT: 30.0, "host": 70.0}
    assert found.key == ("a", 1)


def test_a_run_without_an_outage() -> None:
    found = run("a", 1)
    assert (found.availability, found.longest_outage_s, found.downtime_by_cause) == (1.0, 0.0, {})


def test_nothing_is_lost_on_the_way_to_json_and_back() -> None:
    whole = result((run("a", 1, 5.0), run("a", 2)), (run("b", 1, 1.0, 2.0),))
    assert CampaignResult.from_json(json.loads(json.dumps(whole.to_json()))) == whole
    one = run("a", 1, 5.0)
    assert run_from_json(json.loads(json.dumps(run_to_json(one)))) == one


def test_what_is_no_run_is_refused() -> None:
    with pytest.raises(cattrs.BaseValidationError):
        run_from_json({"variation": "a"})


def test_the_worst_runs_are_those_with_the_most_downtime_whatever_their_variation() -> None:
    whole = result((run("a", 1, 5.0), run("a", 2)), (run("b", 1, 4.0, 3.0), run("b", 2, 5.0)))
    assert [each.key for each in whole.worst(3)] == [("b", 1), ("a", 1), ("b", 2)]
    assert [whole.scenario_name(each) for each in whole.worst(2)] == ["two-2-1", "two-1-1"]


def test_the_best_variation_and_whether_all_runs_are_there() -> None:
    whole = result((run("a", 1), run("a", 2)), (run("b", 1),))
    assert whole.best is whole.variations[1]
    assert not whole.is_complete
    assert result((run("a", 1), run("a", 2))).is_complete
    assert result((run("a", 1),), asked=1).best is None


def test_a_variation_counts_its_years_and_outages() -> None:
    variation = result((run("a", 1, 5.0), run("a", 2, 1.0, 2.0))).variations[0]
    assert variation.years == pytest.approx(2000.0 / (365 * 86400))
    assert [outage.length_s for outage in variation.outages] == [5.0, 1.0, 2.0]
    assert variation.broken_rules == ()
