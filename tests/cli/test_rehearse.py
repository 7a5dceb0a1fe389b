"""`he-fsm rehearse`: pages and pictures; runs on real daemons are in tests/rehearse."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable

import pytest

from he_fsm.scenario import Scenario
from he_fsm.simulate import Outcome, simulate
from tests.cli.conftest import Ran

CALM = "scenarios: [{name: calm, hosts: 1, engine: {running_on: 1}, until: 1m}]\n"


@pytest.fixture
def rehearsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the daemons by the simulator; return the names of the rehearsed scenarios."""
    names: list[str] = []

    def run(scenario: Scenario, **_: object) -> Outcome:
        names.append(scenario.name)
        return simulate(scenario)

    monkeypatch.setattr("he_fsm.cli.rehearse.run", run)
    return names


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "calm.yaml"
    path.write_text(CALM)
    return path


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_page_and_pictures_are_those_of_simulate(
    run: Callable[..., Ran],
    rehearsed: list[str],
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    pytest.importorskip("kaleido")
    written: list[tuple[str, object]] = []

    def write(pictures: object, folders: dict[str, object]) -> None:
        written.append((next(iter(pictures)).name, folders[kind]))  # type: ignore[call-overload]

    monkeypatch.setattr("he_fsm.report.pictures.write_pictures", write)
    page, folder = tmp_path / "page.html", tmp_path / "pictures"
    ran = run("rehearse", file, "--html", page, f"--{kind}", folder)
    assert (ran.status, rehearsed) == (0, ["calm"])
    assert "<h1>he-fsm rehearse</h1>" in page.read_text(encoding="utf-8")
    assert written == [("calm", folder)]


@pytest.mark.parametrize(
    ("missing", "option", "said"),
    [
        ("plotly", "--html", "pip install 'he-fsm[report]'"),
        ("kaleido", "--png", "pip install 'he-fsm[pictures]'"),
        (None, "--html", "No such file or directory"),
    ],
)
def test_what_can_not_be_written_is_said_before_anything_starts(
    refused: Callable[..., str],
    rehearsed: list[str],
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str | None,
    option: str,
    said: str,
) -> None:
    pytest.importorskip("kaleido")
    if missing is not None:
        monkeypatch.setitem(sys.modules, missing, None)
    assert said in refused("rehearse", file, option, tmp_path / "no" / "place")
    assert rehearsed == []
