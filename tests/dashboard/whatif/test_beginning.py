"""The page begins with the live cluster, and predicts what the command predicts."""

from __future__ import annotations

import pytest
import yaml

from he_fsm.dashboard.sources.demo import DemoSource
from he_fsm.dashboard.whatif.beginning import example_text, live_text
from he_fsm.live.seen import Seen, read_with
from he_fsm.live.what_if import predict
from he_fsm.scenario import parse_scenarios
from tests.dashboard.whatif.files import add, asked

RUNS = 5


@pytest.fixture(scope="module")
def seen() -> Seen:
    source = DemoSource()
    source.status()
    return read_with(source, source.policy)


@pytest.mark.parametrize(
    ("at", "fault"),
    [
        ("0s", "host: 1, power: off"),
        ("90s", "host: 1, set: {gateway: 0}"),
        ("20m", "hosts: all, storage: cut"),
        ("10s", "engine: kill"),
    ],
)
def test_the_answer_is_the_commands(seen: Seen, at: str, fault: str) -> None:
    entry = {"at": at, **yaml.safe_load(f"{{{fault}}}")}
    found = asked(live_text(seen), edits=[add(**entry)], runs=RUNS)["answer"]["forecast"]
    said = predict("live", seen.scenario([(at, fault)]), RUNS).as_json()
    assert found == said


def test_a_cluster_without_faults_is_the_same_as_a_file(seen: Seen) -> None:
    (scenario,) = parse_scenarios(live_text(seen), "x")
    live = seen.scenario()
    for name in ("policy", "world", "hosts", "engine", "maintenance", "timeline", "until", "seed"):
        assert getattr(scenario, name) == getattr(live, name), name


def test_the_example_is_a_scenario_in_which_something_happens() -> None:
    found = asked(example_text())["answer"]
    assert found["passed"]
    assert found["shown"]["totals"]["migrations"] == 1
