"""The results file: runs are kept as they end, and each counts once."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.campaign.model import Campaign
from he_fsm.campaign.results import RunResult
from he_fsm.campaign.run import Here, batches, play_batch, run_campaign
from he_fsm.campaign.store import Results, open_results
from he_fsm.errors import CampaignError
from tests.campaign.campaigns import campaign

VM = "{cause: vm, mtbf: 1d}"


def short(folder: Path, more: str = "", faults: str = VM) -> Campaign:
    vary = "vary: {world.vm_boot: [55s, 90s]}"
    return campaign(folder, faults, f"horizon: 3d\nruns: 3\n{vary}\n{more}")


def play_all(asked: Campaign, path: Path) -> list[RunResult]:
    with open_results(path, asked) as results:
        for _ in run_campaign(asked, Here(), results):
            pass
        return results.of(asked)


def keys(runs: list[RunResult]) -> list[tuple[str, int]]:
    return sorted(run.key for run in runs)


def test_what_was_played_is_not_played_again(tmp_path: Path) -> None:
    asked, path = short(tmp_path), tmp_path / "r"
    first = play_all(asked, path)
    content = path.read_bytes()
    assert content.count(b"\n") == len(first) == 6
    assert play_all(asked, path) == first
    assert path.read_bytes() == content
    # Two more runs of each: these alone are played.
    assert keys(play_all(short(tmp_path, "seed: 2"), path)) == [
        (f"world.vm_boot={boot}", seed) for boot in ("55s", "90s") for seed in (2, 3, 4)
    ]
    assert path.read_bytes().startswith(content)
    assert path.read_bytes().count(b"\n") == 8


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_campaign_that_was_stopped_goes_on_with_what_is_left(tmp_path: Path, cut: int) -> None:
    asked, path = short(tmp_path), tmp_path / "r"
    whole = play_all(asked, path)
    content = path.read_bytes()
    # Killed in the middle of the fourth line.
    begin = [index for index, byte in enumerate(content) if byte == 10][2] + 1
    path.write_bytes(content[: begin + cut])
    with open_results(path, asked) as results:
        assert len(results.of(asked)) == 3
        left = list(batches(asked, set(results.runs)))
        assert sum(len(batch.seeds) for batch in left) == 3
    assert sorted(play_all(asked, path), key=lambda run: run.key) == sorted(
        whole, key=lambda run: run.key
    )
    assert sorted(path.read_bytes().splitlines()) == sorted(content.splitlines())


def test_a_run_that_comes_twice_counts_once(tmp_path: Path) -> None:
    asked, path = short(tmp_path), tmp_path / "r"
    with open_results(path, asked) as results:
        for batch in batches(asked, set()):
            results.add(play_batch(batch))
            results.add(play_batch(batch))
        assert len(results.of(asked)) == 6
    assert path.read_bytes().count(b"\n") == 6
    # And if the file has it twice.
    path.write_bytes(path.read_bytes() * 2)
    with open_results(path, asked) as results:
        assert len(results.of(asked)) == 6


def test_variations_that_are_no_longer_asked_for_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r"
    play_all(short(tmp_path), path)
    asked = campaign(tmp_path, VM, "horizon: 3d\nruns: 3\nvary: {world.vm_boot: [90s, 120s]}")
    assert len(play_all(asked, path)) == 6
    assert path.read_bytes().count(b"\n") == 9


def test_runs_of_another_design_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    play_all(short(tmp_path), path)
    with pytest.raises(CampaignError, match=r"r:1: a run of 'world.vm_boot=55s' as it was before"):
        play_all(short(tmp_path, faults="{cause: vm, mtbf: 2d}"), path)


@pytest.mark.parametrize(
    "text", ["x\n", "[]\n", "{}\n", '{"design": 1, "variation": "a"}\n', "\n", "x"]
)
def test_what_is_no_results_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r"
    path.write_text(text)
    with pytest.raises(CampaignError, match="r:1: not a run of a campaign; is this a results file"):
        play_all(short(tmp_path), path)
    assert path.read_text() == text


def test_two_campaigns_do_not_share_a_file(tmp_path: Path) -> None:
    asked, path = short(tmp_path), tmp_path / "r"
    with open_results(path, asked), pytest.raises(CampaignError, match="another campaign writes"):
        play_all(asked, path)
    assert len(play_all(asked, path)) == 6


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="can't be opened: Is a directory"):
        play_all(short(tmp_path), tmp_path)


def test_without_a_file_runs_are_kept_in_memory(tmp_path: Path) -> None:
    asked, results = short(tmp_path), Results()
    assert sum(run_campaign(asked, Here(), results)) == 6
    assert len(results.of(asked)) == 6


def test_batches_are_in_the_order_in_which_variations_can_be_compared_soon(tmp_path: Path) -> None:
    asked = campaign(tmp_path, VM, "horizon: 90d\nruns: 3\nvary: {world.vm_boot: [55s, 90s]}")
    assert [(batch.design.variation.name[-3:], batch.seeds) for batch in batches(asked, set())] == [
        (boot, (seed,)) for seed in (1, 2, 3) for boot in ("55s", "90s")
    ]
    assert len(list(batches(short(tmp_path), set()))) == 2
