"""The simulator from Python, as a user's own program calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import he_fsm
from he_fsm import Outcome, ScenarioError, load_scenarios, simulate

FILE = """\
scenarios:
  - name: gateway-failure
    hosts: 2
    engine: {running_on: 1}
    timeline:
      - {at: 60s, host: 1, set: {gateway: 0}}
    until: 10m
    expect:
      - {by: 3m, engine_on: 2, engine: good}
  - name: second
    hosts: 1
    seed: 7
    until: 1m
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_a_file_is_loaded_and_its_scenarios_are_run(file: Path) -> None:
    first, second = load_scenarios(file)
    outcome = simulate(first)
    assert isinstance(outcome, Outcome)
    assert outcome.passed
    assert (outcome.engine_on, outcome.engine) == ("2", "good")
    assert outcome.totals["migrations"] == 1
    assert outcome.events[0].kind == "fault"
    assert outcome.events[0].text() == "monitors read gateway 0"
    assert simulate(second).seed == 7


def test_values_of_a_file_can_be_set(file: Path) -> None:
    scenario = load_scenarios(str(file), {"policy.migration_threshold": "1100"})[0]
    outcome = simulate(scenario)
    assert not outcome.passed
    failure = outcome.failures[0]
    assert (failure.line, failure.place.file) == (9, str(file))


def test_a_seed_changes_when_and_not_what(file: Path) -> None:
    scenario = load_scenarios(file)[0]
    moved = set()
    for seed in range(5):
        outcome = simulate(scenario, seed=seed)
        assert outcome.passed
        moved.add(next(event.t for event in outcome.events if event.kind == "migration"))
    assert len(moved) == 5


def test_a_trace_has_every_look_and_changes_nothing(file: Path) -> None:
    scenario = load_scenarios(file)[0]
    looks: list[dict[str, object]] = []
    traced = simulate(scenario, trace=looks.append)
    assert traced.to_json() == simulate(scenario).to_json()
    assert json.loads(json.dumps(looks)) == looks
    # A look in 10 to 11 s, on two hosts for ten minutes, and some between.
    assert 2 * 55 <= len(looks) <= 2 * 75
    assert set(looks[0]) == {
        *("t", "host", "now", "state", "edge", "why", "score", "vm", "health", "alive"),
        *("pending", "placement", "effects", "wake_in"),
    }
    migration = next(look for look in looks if look["effects"])
    assert "MigrateVm" in str(migration["effects"])


def test_what_can_not_be_used_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="nowhere"):
        load_scenarios(tmp_path / "nowhere.yaml")
    assert issubclass(ScenarioError, he_fsm.HeFsmError)
