"""Campaigns with a precision, on real scenarios."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.campaign.cycles.run import run_precisely
from he_fsm.campaign.results import CampaignResult
from he_fsm.campaign.run import Here
from he_fsm.errors import CampaignError
from tests.campaign.campaigns import campaign

FAULTS = "{cause: host, mtbf: 40d, repair: 2h}\n{cause: vm, mtbf: 10d}"


def found(folder: Path, more: str, faults: str = FAULTS, hosts: str = "2") -> CampaignResult:
    return run_precisely(campaign(folder, faults, more, hosts), Here(), lambda _: None)


@pytest.mark.once
def test_cycles_find_what_plain_runs_find(tmp_path: Path) -> None:
    by_cycles = found(tmp_path, "precision: 10%")
    plain = found(tmp_path, "precision: 10%\nestimator: plain")
    for result in (by_cycles, plain):
        assert result.precision is not None
        assert result.precision.was_reached
        down = result.variations[0].downtime_s_a_year
        assert down.low is not None
        assert down.high is not None
        assert (down.high - down.low) / 2 <= 0.101 * down.value
    assert by_cycles.precision is not None
    assert by_cycles.precision.episodes
    one, other = (each.variations[0] for each in (by_cycles, plain))
    # Two true means whose intervals are apart would differ by more than a fifth.
    assert one.downtime_s_a_year.value == pytest.approx(other.downtime_s_a_year.value, rel=0.2)
    assert one.outages_a_year.value == pytest.approx(other.outages_a_year.value, rel=0.2)
    assert one.starts_a_year.value == pytest.approx(other.starts_a_year.value, rel=0.2)
    assert set(one.downtime_by_cause) == set(other.downtime_by_cause)


@pytest.mark.once
def test_the_same_seed_finds_the_same(tmp_path: Path) -> None:
    first, second = (found(tmp_path, "precision: 20%") for _ in range(2))
    assert first.to_json() == second.to_json()
    assert CampaignResult.from_json(first.to_json()) == first


@pytest.mark.once
def test_a_difference_says_what_could_have_been_seen(tmp_path: Path) -> None:
    result = found(tmp_path, "precision: 10%\nvary: {world.vm_boot: [55s, 110s]}")
    quick, slow = result.variations
    assert quick.is_best
    assert slow.difference is not None
    assert slow.difference.is_real
    assert slow.difference.visible_s is not None
    assert 0 < slow.difference.visible_s < slow.difference.downtime_s_a_year.value


def test_what_has_a_memory_is_played_plainly_and_that_is_said(tmp_path: Path) -> None:
    faults = "{cause: vm, mtbf: {weibull: 2d, shape: 2}}"
    result = found(tmp_path, "precision: 50%\nhorizon: 30d", faults)
    assert result.precision is not None
    assert result.precision.was_reached
    assert result.precision.episodes == ()
    assert "'vm' have a memory (weibull)" in result.precision.why_plain
    with pytest.raises(CampaignError, match="estimator: cycles: the times between faults 'vm'"):
        found(tmp_path, "precision: 50%\nestimator: cycles", faults)


def test_a_design_that_is_never_down_has_no_relative_precision(tmp_path: Path) -> None:
    result = found(tmp_path, "precision: 10%", "{cause: agent, mtbf: 40d, repair: 1h}", "3")
    assert result.precision is not None
    assert not result.precision.was_reached
    assert result.variations[0].downtime_s_a_year.value == 0
