"""What a machine or a scenario lets no network and no watchdog show is said before the run."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from he_fsm.cli.main import main
from he_fsm.errors import HeFsmError
from he_fsm.lab import netns, watchdog
from he_fsm.lab.lab import Lab
from he_fsm.rehearse import backends, played
from he_fsm.rehearse.backends import SANLOCK
from he_fsm.rehearse.lab_spec import real_readings
from tests.rehearse.scenes import file_of, scenario_of

SCENE = """
    hosts: [{id: 1}, {id: 2, gateway: 0.5}, {id: 3}]
    timeline:
      - {at: 1s, hosts: [1, 3], set: {gateway: 0, cpu_load: 0.5}}
      - {at: 2s, host: 3, set: {bridge: 0.5}}
    until: 1m
    """


def test_readings_in_between_are_played_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "why_not", lambda: "")
    monkeypatch.setattr(watchdog, "why_not", lambda: "")
    scenario = scenario_of(SCENE)
    real = [real_readings(scenario, name) for name in ("1", "2", "3")]
    assert real == [{"gateway", "bridge"}, {"bridge"}, {"gateway"}]
    (said,) = played.notices(scenario)
    assert said.endswith(": gateway of host 2, bridge of host 3")
    assert played.notices(scenario_of("hosts: 2\nuntil: 1m\n")) == []


def test_where_there_are_no_namespaces_a_line_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "why_not", lambda: "Operation not permitted")
    monkeypatch.setattr(watchdog, "why_not", lambda: "")
    (said,) = played.notices(scenario_of(SCENE))
    assert "no network namespaces (Operation not permitted)" in said
    assert "played by files" in said


def test_where_there_is_no_watchdog_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = scenario_of("hosts: 2\nuntil: 1m\n")
    monkeypatch.setattr(netns, "why_not", lambda: "")
    unwatched = scenario_of("hosts: [{id: 1, watchdog: false}]\nuntil: 1m\n")
    monkeypatch.setattr(watchdog, "why_not", lambda: "Operation not permitted")
    (said,) = played.notices(scenario)
    assert "Operation not permitted" in said
    assert played.notices(unwatched) == []
    monkeypatch.setattr(watchdog, "why_not", lambda: "")
    assert played.notices(scenario) == []


def test_the_line_is_said_once_and_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = attrs.evolve(SANLOCK, missing=lambda _: [], make=nothing)
    monkeypatch.setattr(backends, "SANLOCK", backend)
    monkeypatch.setattr(netns, "why_not", lambda: "Operation not permitted")
    monkeypatch.setattr(watchdog, "why_not", lambda: "")
    path = tmp_path / "scenes.yaml"
    body = "world: {io_timeout: 2s}\nhosts: 2\nuntil: 1m\n"
    second = file_of(body, "second")[len("scenarios:\n") :]
    path.write_text(file_of(body, "first") + second, encoding="utf-8")
    arguments = ["he-fsm", "rehearse", str(path), "--speed", "10", "--backend", "sanlock"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit):
        main()
    said, error = capsys.readouterr().err.splitlines()
    assert said.startswith("first: no network namespaces (Operation not permitted)")
    assert "nothing is made here" in error


def nothing(*_: object) -> Lab:
    msg = "nothing is made here"
    raise HeFsmError(msg)
