"""`he-fsm campaign` with a precision in place of a number of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.campaign.campaigns import written

FAULTS = "{cause: vm, mtbf: 10d}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path, FAULTS, "precision: 20%")


def test_it_says_how_precise_it_is_and_what_was_played(run: Callable[..., Any], file: Path) -> None:
    ran = run("campaign", file)
    assert (ran.status, ran.err) == (0, "")
    assert "episodes from one quiet moment to the next" in ran.out
    assert "asked for: 20 %" in ran.out
    plain = json.loads(run("campaign", file, "--json").out)
    assert plain["precision"]["was_reached"]


@pytest.mark.parametrize("option", ["--csv", "--html", "--results"])
def test_options_about_single_runs_do_not_go_with_it(
    run: Callable[..., Any], file: Path, option: str
) -> None:
    ran = run("campaign", file, option, file.parent / "out")
    assert ran.status == 2
    assert f"{option} is about single runs" in ran.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("precision: 0%", "precision: expected a part of the unavailability"),
        ("precision: much", "precision: expected a part of the unavailability"),
        ("precision: 5%\nruns: 10", "precision: this does not go with 'runs'"),
        ("estimator: cycles", "estimator: this goes with 'precision'"),
        ("precision: 5%\nestimator: quick", "estimator: unknown word 'quick'"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_place(
    refused: Callable[..., str], tmp_path: Path, more: str, said: str
) -> None:
    text = refused("campaign", written(tmp_path, FAULTS, more))
    assert said in text
    assert "campaign.yaml:" in text
