"""What holds whatever befalls the cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import pytest
from hypothesis import given

sys.path.insert(0, str(Path(__file__).parent))

from faulty import FAULTS_S, back_within_s, healed_scenarios

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


@given(healed_scenarios())
def test_skipping_idle_time_changes_nothing(scenario: Scenario) -> None:
    skipped = simulate(scenario)
    stepped = simulate(scenario, skips_idle_time=False)
    assert skipped.to_json() == stepped.to_json()
    assert [view.block for view in skipped.end] == [view.block for view in stepped.end]


@given(healed_scenarios())
def test_the_same_seed_gives_the_same_events(scenario: Scenario) -> None:
    assert simulate(scenario).to_json() == simulate(scenario).to_json()


@given(healed_scenarios())
def test_the_engine_does_not_move_without_end(scenario: Scenario) -> None:
    quiet = attrs.evolve(scenario, until=scenario.until)
    outcome = simulate(quiet)
    late = [
        event
        for event in outcome.events
        if event.kind == "migration" and event.t > FAULTS_S + back_within_s(scenario.policy)
    ]
    assert late == []


TAKEOVER = """
scenarios:
  - name: cut-off
    hosts: 2
    engine: {running_on: 1}
    timeline:
      - {at: 60s, host: 1, agent: kill}
    until: 30m
"""


def test_without_the_lease_two_engines_would_execute(monkeypatch: pytest.MonkeyPatch) -> None:
    # The rule can fail: a lease manager that grants everything to everybody breaks it.
    scenario = parse_scenarios(TAKEOVER, "takeover")[0]
    assert simulate(scenario).passed
    monkeypatch.setattr(Lockspace, "can_take", lambda *_: True)
    monkeypatch.setattr(Lockspace, "seen_owner", lambda *_: None)
    broken = {failure.expected for failure in simulate(scenario).failures}
    assert "rule two-engines" in broken
    assert "rule lease" in broken


@pytest.mark.interpreted
def test_an_agent_that_ends_by_an_exception_breaks_the_rule_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        msg = "a bug"
        raise KeyError(msg)

    monkeypatch.setattr("he_fsm.tick.decide", fail)
    scenario = parse_scenarios(TAKEOVER, "takeover")[0]
    assert [failure.expected for failure in simulate(scenario).failures] == ["rule crash"]


STAMPEDE = """
scenarios:
  - name: crash
    hosts: 250
    engine: {running_on: 250}
    timeline:
      - {at: 60s, host: 250, power: off}
    until: 10m
    expect:
      - {total: {starts: 1, refused_starts: "<= 25"}}
  - name: cold
    world: {cold: true}
    hosts: 250
    until: 5m
    expect:
      - {total: {starts: 1, refused_starts: "<= 25"}}
  - name: power-loss
    hosts: 250
    engine: {running_on: 1}
    timeline:
      - {at: 60s, hosts: all, power: off}
      - {at: 5m, hosts: all, power: on}
    until: 12m
    expect:
      - {total: {starts: 1, refused_starts: "<= 25"}}
"""


@pytest.mark.once
@pytest.mark.parametrize("scenario", parse_scenarios(STAMPEDE, "stampede"), ids=lambda s: s.name)
def test_equal_hosts_do_not_all_run_into_the_lease(scenario: Scenario) -> None:
    assert simulate(scenario).failures == ()
