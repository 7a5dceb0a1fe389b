"""Stories: every scenario file of the tests and of the examples, and the events that they make."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from he_fsm import load_scenarios, simulate
from he_fsm.scenario.model import Scenario
from he_fsm.states.table import ROWS

ROOT = Path(__file__).parents[2]
# The examples that are no scenarios.
OTHERS = {ROOT / "examples" / name for name in ("he-fsm.yaml", "campaign.yaml")}
FILES = sorted(
    {*(ROOT / "tests" / "scenarios").glob("*.yaml"), *(ROOT / "examples").glob("*.yaml")} - OTHERS
)
STORIES = [
    pytest.param(scenario, id=f"{path.stem}-{scenario.name}")
    for path in FILES
    for scenario in load_scenarios(path)
]
# Events of a few stories, as they were when somebody last said that they are right.
EVENTS = ROOT / "tests" / "scenarios" / "talk.events"


@pytest.mark.parametrize("scenario", STORIES)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_every_story_comes_out_as_expected_in_every_phase(scenario: Scenario, seed: int) -> None:
    outcome = simulate(scenario, seed=seed)
    assert outcome.failures == ()


@pytest.mark.once
@pytest.mark.parametrize("scenario", STORIES)
def test_skipping_idle_time_changes_nothing_in_any_story(scenario: Scenario) -> None:
    skipped = simulate(scenario)
    stepped = simulate(scenario, skips_idle_time=False)
    assert skipped.to_json() == stepped.to_json()
    assert [view.block for view in skipped.end] == [view.block for view in stepped.end]


def test_every_declared_edge_is_taken_by_some_story() -> None:
    declared = {(row.source.value, row.name) for row in ROWS}
    taken = {
        (event.details["from"], event.details["edge"])
        for story in STORIES
        for event in simulate(story.values[0]).events  # type: ignore[attr-defined]
        if event.kind == "state"
    }
    assert sorted(declared - taken) == []


def test_the_talks_events_are_what_they_were() -> None:
    lines = []
    for scenario in load_scenarios(ROOT / "examples" / "talk.yaml"):
        lines.append(f"# {scenario.name}")
        lines += [
            f"{event.t:.3f} {event.host} {event.kind} {json.dumps(event.details)}"
            for event in simulate(scenario).events
        ]
    found = "\n".join(lines) + "\n"
    if os.environ.get("HE_FSM_REWRITE"):
        EVENTS.write_text(found, encoding="utf-8")
    assert found == EVENTS.read_text(encoding="utf-8")
