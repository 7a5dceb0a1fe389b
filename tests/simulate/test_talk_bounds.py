"""
How fast the talk's faults are recovered from in the simulator, to the second.

The file's own expectations leave room for real processes, on which it is rehearsed too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.scenario import load_scenarios
from he_fsm.simulate import simulate

TALK = Path(__file__).parents[2] / "examples" / "talk.yaml"
SCENARIOS = {scenario.name: scenario for scenario in load_scenarios(TALK)}


@pytest.mark.parametrize(
    ("name", "started_by", "downtime"),
    [
        ("gateway-failure", None, 1.0),
        ("local-maintenance", None, 1.0),
        ("vm-crash", 61.0, 62.0),
        ("host-crash", 201.0, 202.0),
        ("storage-cut", 201.0, 202.0),
    ],
)
def test_a_fault_costs_no_more_than_it_must(name: str, started_by: float | None, downtime: float):
    outcome = simulate(SCENARIOS[name])
    starts = [event.t for event in outcome.events if event.details.get("vm") == "starting"]
    assert outcome.totals["downtime"] <= downtime
    assert len(starts) == (0 if started_by is None else 1)
    assert all(start <= (started_by or 0.0) for start in starts)
