"""The files of `examples/` and of the simulator's tests, on real daemons: the same comes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.rehearse.cannot import cannot
from he_fsm.scenario import Scenario, load_scenarios
from tests.rehearse.telling import rehearsed_as_predicted

ROOT = Path(__file__).parents[2]
DEMO = "examples/demo.yaml"
STORIES = ("edges", "lessons", "shutdowns", "preferences")
FILES = (DEMO, "examples/talk.yaml", *(f"tests/scenarios/{name}.yaml" for name in STORIES))
SPEED = 10.0
# Each host's edges are as predicted where they don't depend on who happens to look first.
BY_CHANCE = {
    "lesson-b5-equal-scores-start": "equal hosts: the loops' phases say which of them starts",
    "equal-scores": "as above",
    "whole-cluster-down-in-order": "as above",
    "whole-cluster-rebooted-at-once": "as above",
    "shutdown-with-policy-stop": "as above",
}
IMPOSSIBLE = {
    "refused-start": "two hosts have to ask for the lease within the same moment",
    "lesson-b2-a-refused-start-is-no-failed-start": "as above",
}


def scenarios() -> list[object]:
    found = []
    for file in FILES:
        for scenario in load_scenarios(ROOT / file):
            if cannot(scenario) or scenario.name in IMPOSSIBLE:
                continue
            # The stories take half an hour: they are for `make rehearsals`.
            marks = [] if file == DEMO else [pytest.mark.long]
            found.append(pytest.param(scenario, id=scenario.name, marks=marks))
    return found


@pytest.mark.rehearsal
@pytest.mark.parametrize("scenario", scenarios())
def test_a_rehearsal_agrees_with_the_simulator(scenario: Scenario):
    in_order = scenario.name not in BY_CHANCE
    assert rehearsed_as_predicted(scenario, SPEED, in_order=in_order) == ""
