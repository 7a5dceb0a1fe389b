"""What holds whatever befalls the cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given

sys.path.insert(0, str(Path(__file__).parent))

from faulty import FAULTS_S, TAKEOVER, back_within_s, healed_scenarios

from he_fsm import parse_scenarios, simulate, tick
from he_fsm.scenario.model import Scenario


@pytest.mark.once
@given(healed_scenarios(sleeps=True))
def test_skipping_idle_time_changes_nothing(scenario: Scenario) -> None:
    skipped = simulate(scenario)
    stepped = simulate(scenario, skips_idle_time=False)
    assert skipped.to_json() == stepped.to_json()
    assert [view.block for view in skipped.end] == [view.block for view in stepped.end]


@given(healed_scenarios(sleeps=True))
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


# Found by long searches.
FOUND = """
scenarios:
  - name: agents that are frozen for an hour, one of them before it has looked
    hosts: 3
    engine: {running_on: 3}
    seed: 241
    world: {loop: 5s, io_timeout: 2s}
    timeline:
      - {at: 0s, host: 1, agent: freeze}
      - {at: 1s, host: [2, 3], agent: freeze}
      - {at: 1h, host: [1, 2, 3], agent: thaw}
    until: 2h
  - name: a look that was put off, and another one at the moment at which it was to be
    hosts: 5
    engine: {running_on: 4}
    seed: 5
    world: {loop: 5s, cold: true}
    timeline:
      - {at: 10s, host: 5, broker: freeze}
      - {at: 10s, engine: migrate 5}
      - {at: 1h, host: 5, broker: thaw}
    until: 2h
  - name: by a fast clock a host is dead sooner, and its slot says that it lives
    hosts: 5
    engine: {running_on: null}
    seed: 418
    world: {loop: 5s, io_timeout: 1s, cold: true}
    timeline:
      - {at: 60s, host: [1, 3, 5], power: off}
      - {at: 200s, host: 2, clock: rate 1.01}
      - {at: 660s, host: 4, slot: corrupt, for: 59.9s}
      - {at: 660s, host: 4, power: off}
    until: 1h
  - name: the first record after a sleep has the timestamp of the last before it
    hosts: 4
    engine: {running_on: 2}
    seed: 566
    world: {loop: 5s}
    timeline:
      - {at: 134.72s, host: 4, power: suspend}
      - {at: 195.72s, host: 4, power: resume}
    until: 15m
"""


@pytest.mark.once
@pytest.mark.parametrize("scenario", parse_scenarios(FOUND, "found"), ids=lambda each: each.name)
def test_skipping_idle_time_changes_nothing_where_it_once_did(scenario: Scenario) -> None:
    stepped = simulate(scenario, skips_idle_time=False)
    assert simulate(scenario).to_json() == stepped.to_json()


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


QUIET = "scenarios: [{{name: quiet, hosts: 3, engine: {{running_on: 1}}, until: {until}}}]"


def test_a_quiet_century_has_no_more_looks_than_a_quiet_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = []
    decide = tick.decide

    def counted(*arguments: Any) -> Any:
        looks.append(arguments)
        return decide(*arguments)

    monkeypatch.setattr(tick, "decide", counted)
    counts = []
    for until in ("1d", "36500d"):
        looks.clear()
        simulate(parse_scenarios(QUIET.format(until=until), "quiet")[0])
        counts.append(len(looks))
    assert counts[0] == counts[1]


# Hosts that come and go while others sleep; each has shown a difference.
RETURNS = """
scenarios:
  - name: unmasked
    hosts: 6
    engine: {running_on: 3}
    world: {io_timeout: 1, loop: 5, cold: true}
    timeline:
      - {at: 1s, for: 300, host: 3, slot: too-old}
      - {at: 60s, hosts: [1, 3], agent: kill}
      - {at: 119.9s, for: 59.9, host: 5, slot: corrupt}
    until: 30m
  - name: thawed
    hosts: 3
    engine: {running_on: 1}
    timeline:
      - {at: 5m, host: 1, agent: freeze}
      - {at: 335s, host: 1, agent: thaw}
    until: 20m
  - name: damaged-while-another-falls-silent
    hosts: 5
    engine: {running_on: 2}
    timeline:
      - {at: 661s, host: 5, power: reset}
      - {at: 700s, for: 10, host: 1, slot: too-old}
      - {at: 800s, maintenance: global}
    until: 30m
  - name: another-pace
    hosts: 6
    engine: {running_on: 3}
    world: {cold: true}
    timeline:
      - {at: 60s, host: 6, clock: rate 1.01}
      - {at: 308.5s, engine: heal}
      - {at: 902.7s, host: 5, clock: rate 0.99}
      - {at: 20m, engine: kill}
    until: 30m
  - name: in-step
    world: {jitter: 0s}
    hosts: 3
    engine: {running_on: 1}
    timeline:
      - {at: 60s, hosts: all, power: off}
      - {at: 120s, hosts: all, power: on}
      - {at: 20m, engine: kill}
      - {at: 30m, host: 1, power: off}
    until: 1h
"""


@pytest.mark.parametrize("scenario", parse_scenarios(RETURNS, "returns"), ids=lambda s: s.name)
@pytest.mark.parametrize("seed", range(1, 9))
def test_who_returns_is_seen_as_if_nobody_slept(scenario: Scenario, seed: int) -> None:
    skipped = simulate(scenario, seed=seed)
    stepped = simulate(scenario, seed=seed, skips_idle_time=False)
    assert skipped.to_json() == stepped.to_json()
    assert [view.block for view in skipped.end] == [view.block for view in stepped.end]
