"""What rehearsed hosts have kept: decided anew, and played again as a scenario."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import pytest

from he_fsm.cli.past.archive import ArchiveError, read_source
from he_fsm.rehearse.run import rehearse
from tests.cli.conftest import Ran
from tests.simulate.plays import scenario_of

SPEED = 20.0


@pytest.mark.rehearsal
def test_a_rehearsal_is_decided_the_same_anew_and_comes_to_the_same_course_as_a_scenario(
    run: Callable[..., Ran],
    tmp_path: Path,
) -> None:
    scenario = scenario_of("{at: 100s, host: 1, power: off}", until="300s")
    rehearse(scenario, speed=SPEED, keep=tmp_path / "kept")
    archives = []
    for host_id in (1, 2, 3):
        path = tmp_path / "kept" / scenario.name / "hosts" / str(host_id)
        archives.append(tmp_path / f"{host_id}.tar.gz")
        ran = run("capture", "--config", path / "config.yaml", "-o", archives[-1])
        assert ran.status == 0
    file = tmp_path / "made.yaml"
    ran = run("replay", "--json", *archives, "--scenario", file)
    assert ran.status == 0, ran.out
    plain = json.loads(ran.out)
    assert plain["same"] is True
    # All hosts are on this machine: their wall clocks are one.
    assert [clock["ahead_s"] for clock in plain["clocks"]] == pytest.approx([0.0] * 3, abs=0.05)
    assert all(clock["within_s"] < 2.0 for clock in plain["clocks"])
    made = plain["scenario"]
    assert made["of"] >= 5
    assert (made["same"], made["more"]) == (made["of"], 0), file.read_text()


def test_a_folder_without_a_ring_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"it has no decisions: no file \*\.ring"):
        read_source(tmp_path)
