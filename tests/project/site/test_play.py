"""What the playground calls in the browser, called here: the product's own functions."""

from __future__ import annotations

import io
import json
import runpy
import zipfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from he_fsm import parse_scenarios, simulate
from he_fsm.cli.output.timeline import print_outcomes
from tools.documentation.errors import SiteError
from tools.documentation.playground import (
    ALL,
    PINS,
    SCENARIOS,
    fetched_pyodide,
    scenarios,
    without_compiled,
)

ROOT = Path(__file__).parents[3]
PLAY: Any = runpy.run_path(str(ROOT / "tools" / "documentation" / "in_browser" / "play.py"))["play"]
TEXT = SCENARIOS.read_text(encoding="utf-8")
OFFERED = {each["name"]: each["text"] for each in scenarios(TEXT)}


def test_each_scenario_of_the_talk_is_offered_alone_and_all_together() -> None:
    names = [each.name for each in parse_scenarios(TEXT, "talk.yaml")]
    assert list(OFFERED) == [*names, ALL]
    assert OFFERED.pop(ALL) == TEXT
    for name, text in OFFERED.items():
        assert [each.name for each in parse_scenarios(text, f"{name}.yaml")] == [name]


def test_what_it_returns_is_what_the_command_prints() -> None:
    answer = json.loads(PLAY(OFFERED["vm-crash"], 3))
    [scenario] = parse_scenarios(OFFERED["vm-crash"], "scenario.yaml")
    outcome = simulate(scenario, seed=3)
    assert answer["result"] == {"passed": True, "scenarios": [outcome.to_json()]}
    printed = io.StringIO()
    with redirect_stdout(printed):
        print_outcomes([outcome])
    assert answer["output"] == printed.getvalue()
    [picture] = answer["pictures"]
    assert "vm-crash" in picture
    assert "<script" not in picture


@pytest.mark.parametrize("text", ["", "scenarios: [", "scenarios:\n  - {name: a, hots: 3}\n"])
def test_a_file_that_can_not_be_used_is_an_error_alone(text: str) -> None:
    answer = json.loads(PLAY(text))
    assert list(answer) == ["error"]
    assert answer["error"].startswith("scenario.yaml:")


def test_a_wheel_loses_its_compiled_modules_alone(tmp_path: Path) -> None:
    wheel = tmp_path / "some-1.0-cp311-cp311-manylinux2014_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("some/__init__.py", "some/_fast.cpython-311-x86_64-linux-gnu.so"):
            archive.writestr(name, "content")
    (tmp_path / "made").mkdir()
    made = without_compiled(wheel, tmp_path / "made")
    assert made.name == "some-1.0-py3-none-any.whl"
    assert zipfile.ZipFile(made).namelist() == ["some/__init__.py"]


def test_another_file_than_the_pinned_one_is_refused_and_removed(tmp_path: Path) -> None:
    version = json.loads(PINS.read_text(encoding="utf-8"))["pyodide"]["version"]
    package = tmp_path / f"pyodide-{version}.tgz"
    package.write_bytes(b"something else")
    with pytest.raises(
        SiteError, match=r"is not the file of .*pins\.json: its checksum is sha512-"
    ):
        fetched_pyodide(tmp_path)
    assert not package.exists()


def test_without_npm_it_is_said_how_to_build_without_the_playground(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SiteError, match=r"needs npm .*: make docs PLAYGROUND=no"):
        fetched_pyodide(tmp_path)
