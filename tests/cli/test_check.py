from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable

import pytest

from tests.check import wrong
from tests.cli.conftest import Ran, command_line, environment
from tests.cli.terminal import ANSI, Terminal

QUICK = ("check", "--faults", "1", "--kind", "crash", "--kind", "vm")


def test_all_properties_are_told(run: Callable[..., Ran]) -> None:
    ran = run(*QUICK)
    assert (ran.status, ran.err) == (0, "")
    heading, rate, *properties = ran.out.splitlines()
    assert heading.startswith("2 hosts, at most 1 fault, policy talk: ")
    assert "states a second" in rate
    assert "MiB" in rate
    assert [line.split()[:2] for line in properties] == [
        ["held", "two-engines:"],
        ["held", "lease:"],
        ["held", "agreement:"],
        ["held", "liveness:"],
        ["held", "recovery:"],
        ["held", "migrations:"],
        ["held", "way-out:"],
        ["held", "maintenance:"],
        ["held", "failed-starts:"],
        ["held", "no-needless-work:"],
        ["open", "edges:"],
    ]


def test_as_json(run: Callable[..., Ran]) -> None:
    ran = run(*QUICK, "--json", "--cores", 1)
    assert ran.status == 0
    told = json.loads(ran.out)
    assert told["held"]
    assert told["finished"]
    assert told["kinds"] == ["crash", "vm"]
    assert told["states"] > told["rounds"] > told["depth"] > 0
    assert told["transitions"] > 0
    assert told["memory_mib"] > 0
    assert {each["property"]: each["verdict"] for each in told["properties"]}["lease"] == "held"


def test_a_broken_property_comes_with_a_scenario_and_a_page(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("plotly")
    wrong.nobody_takes_over(monkeypatch)
    ran = run(*QUICK, "-o", tmp_path / "out", "--cores", 1)
    assert ran.status == 1
    assert "broken recovery" in " ".join(ran.out.split())
    scenario = tmp_path / "out" / "check-recovery.yaml"
    assert str(scenario) in ran.out
    page = scenario.with_suffix(".html").read_text(encoding="utf-8")
    # It says what is broken, tells the course of it, and has the scenario to be replayed inside.
    for text in (
        '<p class="soft">Broken: recovery</p>',
        '<span class="verdict failed">broken</span>',
        "1: host 1 writes; host 2 writes; host 1 loses power",
        "from here on they look, again and again, and do nothing",
        'download="check-recovery.yaml"',
        "<dt>place</dt><dd>check-recovery.yaml:",
        '<span class="verdict failed">shows it</span>',
    ):
        assert text in page
    assert "1 failed" not in page
    assert run("simulate", scenario).status == 1


def test_without_plotly_there_is_a_scenario_and_a_sentence(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    wrong.nobody_takes_over(monkeypatch)
    monkeypatch.setitem(sys.modules, "plotly", None)
    ran = run(*QUICK, "-o", tmp_path, "--cores", 1, "--json")
    assert ran.status == 1
    assert "no page of the counterexample" in ran.err
    (broken,) = [each for each in json.loads(ran.out)["properties"] if each["verdict"] == "broken"]
    assert broken["files"] == [str(tmp_path / "check-recovery.yaml")]
    assert broken["rounds"]


def test_a_check_that_is_not_finished_goes_on_later(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    path = tmp_path / "left.gz"
    first = run(*QUICK, "--time", "1ms", "--resume", path, "--cores", 1)
    assert first.status == 1
    assert "Not all was explored" in first.out
    assert f"--resume {path}" in first.out
    again = run(*QUICK, "--resume", path, "--cores", 1)
    assert again.status == 0
    # What is finished is told once more.
    once_more = run(*QUICK, "--resume", path, "--cores", 1)
    assert once_more.out.splitlines()[2:] == again.out.splitlines()[2:]
    assert run(*QUICK).out.splitlines()[0] == again.out.splitlines()[0]


@pytest.mark.once
@pytest.mark.parametrize("width", [80, 120])
def test_a_person_who_waits_sees_how_far_it_is(width: int) -> None:
    terminal = Terminal(width, *QUICK, "--cores", 1)
    assert terminal.status == 0
    shown = re.split(r"[\r\n]+", ANSI.sub("", terminal.text))
    # How far: as many states as the result says, at which rate, and an estimate of what is left.
    states = re.search(r": ([\d,]+) states, ", "\n".join(shown).split("policy talk")[1])
    assert states is not None
    assert any(
        re.fullmatch(
            rf"━+ {states[1]} states, [\d,]+/s, depth \d+ 0:00:\d\d left, at least: 0:00:00", line
        )
        for line in shown
    )


@pytest.mark.processes
def test_ctrl_c_leaves_what_was_explored(tmp_path: Path) -> None:
    path = tmp_path / "left.gz"
    arguments = ("check", "--faults", "4", "--resume", path, "--cores", "2")
    process = subprocess.Popen(
        command_line(*arguments),
        env=environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while len(children.read_text().split()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode() == f"he-fsm: stopped: {path} has what was explored\n"
    assert path.stat().st_size > 0


def test_ctrl_c_without_a_file_says_what_would_have_helped(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("he_fsm.cli.check.explore", stop)
    ran = run(*QUICK)
    assert (ran.status, ran.out) == (130, "")
    assert ran.err == "he-fsm: stopped: with --resume FILE it could go on\n"


def stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_policy_of_a_file(run: Callable[..., Ran], tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("base: ovirt\nmigration_threshold: 400\n", encoding="utf-8")
    heading = run(*QUICK, "--policy", path).out.splitlines()[0]
    assert "policy ovirt with migration_threshold 400: " in heading


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("base: talk\nbogus: 1\n", "policy.yaml:2:1"),
        ("base: talk\nwatchdog_s: 10\n", "policy.yaml:1:1: policy talk: a VM may still run"),
        ("- 1\n", "policy.yaml:1:1"),
    ],
)
def test_a_policy_that_can_not_be_used(
    refused: Callable[..., str], tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    assert expected in refused(*QUICK, "--policy", path)


def test_what_can_not_be_used_is_said(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "no such file, and no policy's name" in refused(*QUICK, "--policy", "none-such")
    assert "no such file, and no policy's name" in refused(*QUICK, "--policy", "")
    assert refused(*QUICK, "--time", "soon") == "--time soon: expected a time above 0, like 5m"
    assert "there is no folder" in refused(*QUICK, "--resume", tmp_path / "no" / "file")
    (tmp_path / "file").write_text("text")
    assert "no file of he-fsm check" in refused(*QUICK, "--resume", tmp_path / "file")


def test_another_check_is_not_continued(
    run: Callable[..., Ran], refused: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "left.gz"
    run(*QUICK, "--resume", path)
    said = refused("check", "--faults", "0", "--resume", path)
    assert said == (
        f"can't continue with {path}: it is of another check "
        "(--hosts 2 --faults 1 --kind crash --kind vm, policy talk)"
    )
