"""How long recoveries took, and which fault each belongs to."""

from __future__ import annotations

from pathlib import Path

import attrs

from he_fsm.report.events import Event
from he_fsm.report.outcome import Outcome
from he_fsm.report.recoveries import Recovery, compared, recoveries
from he_fsm.report.truth import Change
from he_fsm.scenario import load_scenarios, parse_scenarios
from he_fsm.simulate import simulate

ROOT = Path(__file__).parents[2]


def told(found: tuple[Recovery, ...]) -> list[tuple[str, str, float, str | None]]:
    return [
        (f"{each.fault.host}: {each.fault.text()}", each.what, round(each.after_s), each.host)
        for each in found
    ]


def test_each_recovery_belongs_to_the_fault_that_made_it_necessary():
    (demo,) = load_scenarios(ROOT / "examples" / "demo.yaml")
    assert told(recoveries(simulate(demo))) == [
        ("1: monitors read gateway 0", "moved", 55, "2"),
        ("2: engine: kill", "start ordered", 0, "2"),
        ("2: engine: kill", "healthy again", 25, "2"),
        ("2: power off", "start ordered", 73, "1"),
        ("2: power off", "healthy again", 98, "1"),
        ("1: local maintenance on", "moved", 15, "3"),
    ]


def test_a_fault_while_another_is_recovered_from_takes_no_credit():
    (scenario,) = parse_scenarios(
        """
        scenarios:
          - name: two
            hosts: 2
            engine: {running_on: 1}
            timeline:
              - {at: 60s, engine: kill}
              - {at: 70s, host: 2, set: {gateway: 0}}
            until: 3m
        """,
        "two.yaml",
    )
    assert told(recoveries(simulate(scenario))) == [
        ("1: engine: kill", "start ordered", 0, "1"),
        ("1: engine: kill", "healthy again", 60, "1"),
    ]


def test_an_engine_that_never_comes_back_is_no_recovery():
    (scenario,) = parse_scenarios(
        """
        scenarios:
          - name: lost
            hosts: 1
            engine: {running_on: 1}
            timeline: [{at: 60s, host: 1, power: off}]
            until: 3m
        """,
        "lost.yaml",
    )
    assert recoveries(simulate(scenario)) == ()


def test_the_moment_of_a_switch_over_is_no_outage():
    outcome = seen(
        [
            Event(10.0, "1", "fault", {"text": "monitors read gateway 0"}),
            Event(50.0, "1", "state", {"from": "EngineUp", "to": "EngineMigratingAway"}),
            Event(65.2, "1", "migration", {"text": "the VM runs on host 2 now", "done": True}),
        ],
        [
            Change(0.0, "engine", "1", "good"),
            Change(0.0, "health", None, "good"),
            Change(65.0, "health", None, "bad"),
            Change(65.1, "engine", "2", "good"),
            Change(65.5, "health", None, "good"),
        ],
    )
    assert [(each.what, each.host) for each in recoveries(outcome)] == [("moved", "2")]


def test_what_was_predicted_and_what_was_seen_stand_side_by_side():
    first, second = (Event(t, "1", "fault", {"text": "engine: kill"}) for t in (10.0, 100.0))
    predicted = (
        Recovery(first, "start ordered", 0.0, "1"),
        Recovery(second, "start ordered", 0.0, "1"),
        Recovery(second, "healthy again", 60.0, "1"),
    )
    late = attrs.evolve(first, t=10.1)
    found = (Recovery(late, "start ordered", 0.4, "1"),)
    pairs = compared(predicted, found)
    assert [(pair.predicted, pair.seen) for pair in pairs] == [
        (predicted[0], found[0]),
        (predicted[1], None),
        (predicted[2], None),
    ]


def seen(events: list[Event], changes: list[Change]) -> Outcome:
    (scenario,) = parse_scenarios("scenarios: [{name: x, hosts: 2, until: 2m}]", "x.yaml")
    return attrs.evolve(simulate(scenario), events=tuple(events), changes=tuple(changes))
