from __future__ import annotations

import json
from typing import Any

import pytest

from he_fsm import Outcome, simulate
from he_fsm.report.outcome import host_key
from he_fsm.simulate import simulate_all
from tests.simulate.plays import scenario_of

NAMED = '[{id: 1, name: "left"}, {id: 2, name: "right"}]'
TWINS = "[{id: 1}, {id: 2}, {id: 2, name: twin}]"


def final(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = outcome.to_json()["final"]
    return found


def test_the_object_has_what_the_language_says() -> None:
    outcome = simulate(scenario_of("{at: 60s, engine: kill}", "{at: 61s, engine: good}"), seed=5)
    plain = outcome.to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["name"], plain["verdict"], plain["seed"]) == ("play", "failed", 5)
    assert plain["failures"] == [
        {
            "place": "play.yaml:8",
            "line": 8,
            "expected": "{at: 61s, engine: good}",
            "seen": "engine was starting",
            "at": 61.0,
        }
    ]
    assert plain["totals"] == {
        "starts": 1,
        "refused_starts": 0,
        "failed_starts": 0,
        "migrations": 0,
        "failed_migrations": 0,
        "shutdowns": 0,
        "poweroffs": 0,
        "resets": 0,
        "notifications": 3,
        "downtime": 60.0,
        "longest_outage": 60.0,
    }
    assert plain["events"][0] == {"t": 60.0, "host": 1, "kind": "fault", "text": "engine: kill"}
    kinds = [(event["kind"], event["t"], event["host"]) for event in plain["events"]]
    assert ("vm", 60.0, 1) in kinds
    assert plain["final"] == {
        "engine_on": 1,
        "engine": "good",
        "hosts": {
            "1": {"state": "EngineUp", "score": 2400},
            "2": {"state": "EngineDown", "score": 2400},
            "3": {"state": "EngineDown", "score": 2400},
        },
    }


def test_a_run_that_holds_has_no_failures() -> None:
    outcome = simulate(scenario_of("", "{at: 61s, engine: good}"))
    assert outcome.passed
    assert (outcome.to_json()["verdict"], outcome.to_json()["failures"]) == ("passed", [])
    assert outcome.seed == 1


def test_a_failure_to_which_several_moments_belong_names_none_of_them() -> None:
    either = "{any: [{at: 10s, engine: bad}, {at: 20s, engine: bad}]}"
    outcome = simulate(scenario_of("", either))
    assert outcome.to_json()["failures"][0]["at"] is None


def test_hosts_with_names_are_called_by_them() -> None:
    outcome = simulate(
        scenario_of("{at: 60s, host: left, power: off}", hosts=NAMED, engine="{running_on: left}")
    )
    assert set(final(outcome)["hosts"]) == {"left", "right"}
    assert final(outcome)["engine_on"] == "right"
    assert {event["host"] for event in outcome.to_json()["events"]} <= {"left", "right", None}
    assert "host right holds the lease" in [event.text() for event in outcome.events]


def test_of_two_hosts_with_one_id_each_has_its_own_line() -> None:
    outcome = simulate(scenario_of("", hosts=TWINS, until="2m"))
    assert final(outcome)["hosts"]["2"] == {"state": "EngineDown", "score": 2400}
    # It never held the id, so it never wrote.
    assert final(outcome)["hosts"]["twin"] == {"state": "Unknown", "score": None}


@pytest.mark.parametrize(
    ("timeline", "state", "score"),
    [
        ("{at: 60s, host: 2, agent: kill}", None, 2400),
        ("{at: 60s, host: 2, agent: stop}", None, 0),
        ("{at: 60s, host: 2, power: off}", None, 2400),
        ("{at: 60s, host: 2, set: {gateway: 0}}", "EngineDown", 1400),
        # It knows better, and could not write it.
        (
            "{at: 60s, host: 2, storage: cut}, {at: 60s, host: 2, set: {gateway: 0}}",
            "Unknown",
            2400,
        ),
        ("{at: 60s, host: 2, slot: score 7, for: 9h}", "EngineDown", 2400),
    ],
)
def test_a_score_is_what_was_last_written(timeline: str, state: str | None, score: int) -> None:
    outcome = simulate(scenario_of(timeline, until="2m"))
    assert final(outcome)["hosts"]["2"] == {"state": state, "score": score}


def test_a_host_that_never_wrote_has_no_score() -> None:
    outcome = simulate(
        scenario_of(
            "",
            world="{cold: true}",
            engine="{running_on: null}",
            hosts="[{id: 1}, {id: 2, powered: false}]",
            until="10s",
        )
    )
    assert final(outcome)["hosts"] == {
        "1": {"state": "EngineDown", "score": 2400},
        "2": {"state": None, "score": None},
    }
    assert [view.score for view in outcome.start] == [None, None]


def test_where_no_engine_is_the_object_says_null_and_down() -> None:
    outcome = simulate(scenario_of("", engine="{running_on: null}", maintenance="global"))
    assert (final(outcome)["engine_on"], final(outcome)["engine"]) == (None, "down")


def test_views_of_both_ends() -> None:
    outcome = simulate(scenario_of("{at: 60s, host: 1, agent: kill}", hosts="2", until="2m"))
    assert [view.writes for view in outcome.start] == [True, True]
    assert [view.writes for view in outcome.end] == [False, True]
    assert [view.state for view in outcome.start] == ["EngineUp", "EngineDown"]


@pytest.mark.parametrize(
    ("name", "key"), [(None, None), ("7", 7), ("left", "left"), ("-7", "-7"), ("0x7", "0x7")]
)
def test_a_host_is_its_id_where_it_has_no_other_name(name: str | None, key: object) -> None:
    assert host_key(name) == key


def test_several_scenarios_run_one_after_the_other() -> None:
    one = scenario_of("", until="1m")
    outcomes = simulate_all([one, one], seed=3)
    assert [outcome.seed for outcome in outcomes] == [3, 3]
    assert outcomes[0].to_json() == outcomes[1].to_json()
