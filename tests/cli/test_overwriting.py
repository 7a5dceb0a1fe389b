"""No option that writes destroys what the command reads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Callable

import pytest

from he_fsm.errors import HeFsmError
from he_fsm.files.inputs import Inputs, check_outputs
from tests.cli.conftest import ROOT

SCENARIO = "scenarios: [{name: a, hosts: 2, engine: {running_on: 1}, until: 1m}]\n"
BOARD = ROOT / "tests" / "metadata" / "golden" / "two-healthy.metadata"
CAMPAIGN = ROOT / "examples" / "campaign.yaml"


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "a.yaml", "--html", "a.yaml"),
        ("simulate", "a.yaml", "--trace", "a.yaml"),
        ("simulate", "a.yaml", "--trace", "./link.yaml"),
        ("simulate", "a.yaml", "--html", "out", "--trace", "out"),
        ("simulate", "--from-whiteboard", "board", "--html", "board"),
        ("simulate", "--from-whiteboard", "board", "--trace", "board"),
        ("simulate", "--from-whiteboard", "board", "--status", "status", "--trace", "status"),
        ("rehearse", "a.yaml", "--html", "a.yaml"),
        ("campaign", "campaign.yaml", "--csv", "campaign.yaml"),
        ("campaign", "campaign.yaml", "--html", "campaign.yaml"),
        ("campaign", "campaign.yaml", "--parquet", "campaign.yaml"),
        ("campaign", "campaign.yaml", "--results", "campaign.yaml"),
        ("campaign", "campaign.yaml", "--results", "results", "--csv", "results"),
        ("check", "--policy", "a.yaml", "--resume", "a.yaml"),
    ],
)
def test_an_input_is_never_written_over(
    refused: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(SCENARIO)
    Path("link.yaml").symlink_to("a.yaml")
    Path("status").write_text('{"global_maintenance": false}')
    shutil.copy(BOARD, "board")
    shutil.copy(CAMPAIGN, "campaign.yaml")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    said = refused(*arguments)
    assert said.endswith("choose another file to write to")
    assert arguments[-2] in said
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_hard_link_is_the_same_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("x")
    os.link(one, other)
    with pytest.raises(HeFsmError, match="this is the file"):
        check_outputs(Inputs.of(("the file", one)), {"--html": other})
    check_outputs(Inputs.of(("the file", one)), {"--html": tmp_path / "third", "--csv": None})
