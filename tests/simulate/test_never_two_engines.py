"""Whatever befalls the cluster, never two engines execute, and none without its lease."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given

sys.path.insert(0, str(Path(__file__).parent))

from faulty import FAULTS_S, TAKEOVER, back_within_s, healed_scenarios

from he_fsm import parse_scenarios, simulate
from he_fsm.scenario.model import Scenario
from he_fsm.simulate.lockspace import Lockspace


@given(healed_scenarios())
def test_no_rule_is_ever_broken_and_the_engine_comes_back_when_faults_end(
    scenario: Scenario,
) -> None:
    outcome = simulate(scenario)
    assert outcome.failures == ()
    by = FAULTS_S + back_within_s(scenario.policy)
    good = [event.t for event in outcome.events if event.details.get("vm") == "good"]
    assert outcome.engine == "good"
    # The last time that the engine became good (none: it was so all along) is early enough.
    assert max(good, default=0.0) <= by


@pytest.mark.interpreted
def test_without_the_lease_two_engines_would_execute(monkeypatch: pytest.MonkeyPatch) -> None:
    # The rule can fail: a lease manager that grants everything to everybody breaks it.
    scenario = parse_scenarios(TAKEOVER, "takeover")[0]
    assert simulate(scenario).passed
    monkeypatch.setattr(Lockspace, "can_take", lambda *_: True)
    monkeypatch.setattr(Lockspace, "seen_owner", lambda *_: None)
    broken = {failure.expected for failure in simulate(scenario).failures}
    assert "rule two-engines" in broken
    assert "rule lease" in broken
