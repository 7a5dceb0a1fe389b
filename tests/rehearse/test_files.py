"""The files of `examples/` and of the simulator's tests, on real daemons: the same comes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.rehearse.compare import compare
from he_fsm.rehearse.faults import cannot
from he_fsm.rehearse.run import rehearse
from he_fsm.scenario import Scenario, load_scenarios
from he_fsm.simulate import simulate
from tests.rehearse.telling import alone, told

ROOT = Path(__file__).parents[2]
FILES = ("examples/talk.yaml", "tests/scenarios/edges.yaml", "tests/scenarios/lessons.yaml")
SPEED = 20.0
# Longer ones (in seconds of the scenario), and bigger ones, are rehearsed by `make rehearsals`.
SHORT_S = 1200.0
FEW_HOSTS = 6


def scenarios() -> list[object]:
    found = []
    for file in FILES:
        for scenario in load_scenarios(ROOT / file):
            if cannot(scenario):
                continue
            is_long = scenario.until > SHORT_S or len(scenario.hosts) > FEW_HOSTS
            marks = [pytest.mark.long] if is_long else []
            found.append(pytest.param(scenario, id=scenario.name, marks=marks))
    return found


@pytest.mark.rehearsal
@pytest.mark.parametrize("scenario", scenarios())
def test_a_rehearsal_agrees_with_the_simulator(scenario: Scenario):
    predicted = simulate(scenario)
    seen = rehearse(scenario, speed=SPEED)
    assert seen.passed, told(seen)
    assert alone(compare(predicted, seen)) == [], told(seen)
