"""Proposals: the search finds what is known to be best, keeps to limits, and is judged afresh."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.campaign.aim import Aim
from he_fsm.campaign.reading import load_document, parse_aim
from he_fsm.campaign.run import Here
from he_fsm.campaign.tune import Proposal, tune
from he_fsm.errors import ScenarioError
from tests.campaign.campaigns import written

VM = "{cause: vm, mtbf: 1d}"
SHORT = "horizon: 5d\nruns: 3\n"


def tuned(folder: Path, vary: str, aim: Aim, faults: str = VM, trials: int = 10) -> Proposal:
    campaign, document = load_document(written(folder, faults, f"{SHORT}vary: {{{vary}}}"))
    shown: list[int] = []
    found = tune(document, campaign, aim, Here(), trials=trials, show=shown.append)
    assert shown == sorted(shown)
    assert found.tried >= 1
    return found


DOWNTIME = Aim(least="downtime")


@pytest.mark.once
def test_a_range_is_searched_to_its_better_end(tmp_path: Path) -> None:
    found = tuned(tmp_path, "world.vm_boot: {from: 20s, to: 200s}", DOWNTIME, trials=20)
    assert 20 <= float(found.settings["world.vm_boot"][:-1]) < 60
    downtime = found.measures["downtime"]
    # Fifty-five seconds of boot are written: what is saved at each start is known.
    saved_s = 55 - float(found.settings["world.vm_boot"][:-1])
    starts = found.judged.variations[0].starts_a_year.value
    assert downtime.gain.value == pytest.approx(saved_s * starts, rel=0.1, abs=200)


def test_a_list_is_searched_too(tmp_path: Path) -> None:
    found = tuned(tmp_path, "world.vm_boot: [90s, 30s, 60s]", DOWNTIME)
    assert found.settings == {"world.vm_boot": "30s"}
    assert found.measures["downtime"].gain.value > 0
    assert found.tried <= 3


def test_it_is_judged_on_seeds_that_the_search_did_not_see(tmp_path: Path) -> None:
    found = tuned(tmp_path, "world.vm_boot: [90s, 30s]", DOWNTIME)
    assert [each.variation.name for each in found.judged.variations] == ["as written", "proposed"]
    for each in found.judged.variations:
        assert [run.seed for run in each.runs] == [4, 5, 6]


NETWORK = "{cause: network, mtbf: 12h, repair: {fixed: 5m}}\n{cause: hang, mtbf: 2d}"


@pytest.mark.once
def test_a_limit_comes_before_what_is_to_be_least(tmp_path: Path) -> None:
    # A low threshold moves the engine with each lost gateway.
    vary = "policy.migration_threshold: [800, 1200], policy.bad_health_s: [300s, 60s]"
    few = tuned(tmp_path, vary, Aim(least="downtime", at_most={"moves": 10.0}), NETWORK)
    assert few.settings == {
        "policy.migration_threshold": "1200",
        "policy.bad_health_s": "60s",
    }
    assert few.keeps_limits
    assert few.measures["moves"].as_written.value > 100
    assert few.measures["moves"].proposed.value == 0
    # What nothing can reach is missed, and that is said.
    none = tuned(tmp_path, vary, Aim(least="moves", at_most={"starts": 0.0}), NETWORK)
    assert not none.keeps_limits


def test_numbers_that_are_unsafe_together_are_passed_over(tmp_path: Path) -> None:
    # Two loops have to fit into it.
    vary = "policy.dead_after_s: [5s, 15s, 60s]"
    assert tuned(tmp_path, vary, DOWNTIME).settings == {"policy.dead_after_s": "60s"}


@pytest.mark.once
def test_the_same_seed_proposes_the_same(tmp_path: Path) -> None:
    vary = "world.vm_boot: {from: 20s, to: 200s}"
    assert tuned(tmp_path, vary, DOWNTIME) == tuned(tmp_path, vary, DOWNTIME)


def test_aims_in_words() -> None:
    assert parse_aim("{}").words == "least downtime"
    aim = parse_aim("{least: moves, at_most: {downtime: 1h, needless_moves: 0.5}}")
    assert aim.words == (
        "least moves with at most 3600 s downtime and at most 0.5 needless moves a year"
    )
    with pytest.raises(
        ScenarioError, match=r"^--aim 5: aim: expected an aim like \{least: downtime"
    ):
        parse_aim("5")
    with pytest.raises(
        ScenarioError, match=r"aim.at_most.x: unknown key; known: downtime, outages"
    ):
        parse_aim("{at_most: {x: 1}}")
