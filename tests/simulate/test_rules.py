"""The rules that hold in every scenario: each is broken by a bug, and named with time and place."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from he_fsm import Outcome, simulate, tick
from he_fsm.effects import CancelMigration, Effect, MigrateVm, StartVm
from he_fsm.memory import Memory
from he_fsm.scenario import Scenario
from he_fsm.step import Step
from tests.simulate.plays import scenario_of, texts

OFF = "hosts: all, set: {gateway: 0, bridge: 0, mem_free: 0, cpu_load: 1, mem_load: 1}"


def broken(outcome: Outcome) -> dict[str, str]:
    """Return what was seen of each rule that was broken."""
    return {failure.expected: failure.seen for failure in outcome.failures}


def with_effect(monkeypatch: pytest.MonkeyPatch, effect: Effect) -> None:
    """Make every agent order this effect in each pass, unless it reads a result of the last."""
    decide = tick.decide

    def reckless(memory: Memory, facts: tick.Facts, *others: Any) -> Step:
        decision = decide(memory, facts, *others)
        return decision if facts.results else decision._replace(effects=(effect,))

    monkeypatch.setattr(tick, "decide", reckless)


def with_score(monkeypatch: pytest.MonkeyPatch, score: object) -> None:
    """Make every agent publish this score."""
    make_record = tick.make_record

    def boastful(*arguments: Any, **options: Any) -> Any:
        return attrs.evolve(make_record(*arguments, **options), score=score)

    monkeypatch.setattr(tick, "make_record", boastful)


@pytest.mark.parametrize("score", [2401, -1, 1200.5, True])
@pytest.mark.interpreted
def test_a_score_that_nobody_may_publish(monkeypatch: pytest.MonkeyPatch, score: object) -> None:
    with_score(monkeypatch, score)
    # The whiteboard's own encoder would refuse most of these.
    monkeypatch.setattr(tick, "make_block", lambda *_: bytes(4096))
    outcome = simulate(scenario_of("", until="1m"))
    assert set(broken(outcome)) == {"rule score-range"}
    assert broken(outcome)["rule score-range"].endswith(f" published {score!r}")


@pytest.mark.interpreted
def test_a_start_by_a_host_with_score_0(monkeypatch: pytest.MonkeyPatch) -> None:
    with_effect(monkeypatch, StartVm())
    timeline = f"{{at: 0s, {OFF}}}"
    strict = "{base: talk, score_floor: 0}"
    outcome = simulate(
        scenario_of(timeline, engine="{running_on: null}", until="1m", policy=strict)
    )
    assert set(broken(outcome)) == {"rule score-0"}
    assert "starts the engine with score 0" in broken(outcome)["rule score-0"]
    healthy = simulate(scenario_of("", engine="{running_on: null}", until="1m"))
    assert healthy.passed


@pytest.mark.interpreted
def test_a_move_to_a_host_with_score_0(monkeypatch: pytest.MonkeyPatch) -> None:
    with_effect(monkeypatch, MigrateVm(target=2))
    into_maintenance = scenario_of("{at: 20s, host: 2, maintenance: on}", until="1m")
    assert set(broken(simulate(into_maintenance))) == {"rule score-0"}
    seen = broken(simulate(into_maintenance))["rule score-0"]
    assert seen.endswith(" moves the engine to host 2 with score 0")
    assert simulate(scenario_of("", until="1m")).passed


@pytest.mark.parametrize("effect", [StartVm(), MigrateVm(target=2)])
@pytest.mark.interpreted
def test_a_deed_in_global_maintenance(monkeypatch: pytest.MonkeyPatch, effect: Effect) -> None:
    with_effect(monkeypatch, effect)
    outcome = simulate(scenario_of("", maintenance="global", until="1m"))
    assert "rule maintenance" in broken(outcome)
    assert "although it knows of global maintenance" in broken(outcome)["rule maintenance"]


@pytest.mark.interpreted
def test_calling_a_migration_off_is_no_deed(monkeypatch: pytest.MonkeyPatch) -> None:
    with_effect(monkeypatch, CancelMigration())
    timeline = "{at: 20s, engine: migrate 2}"
    outcome = simulate(scenario_of(timeline, maintenance="global", until="1m"))
    assert outcome.passed
    assert outcome.totals["failed_migrations"] == 1
    assert "the migration failed: cancelled" in texts(outcome, "migration")


@pytest.fixture
def freeze() -> Scenario:
    """A frozen host without a watchdog wakes up when its lease has another owner."""
    return scenario_of(
        "{at: 60s, host: 1, power: freeze}, {at: 400s, host: 1, power: thaw}",
        "{at: 5m, engine: good, engine_on: 2}",
        hosts="[{id: 1, watchdog: false}, {id: 2}]",
    )


def test_a_broken_rule_fails_what_holds_otherwise(freeze: Scenario) -> None:
    outcome = simulate(freeze)
    assert not outcome.passed
    assert [str(failure.place) for failure in outcome.failures] == ["play.yaml:2"] * 2
    # Of each rule the first violation is told, in the events too.
    told = [event for event in outcome.events if event.kind == "rule"]
    assert [event.details["rule"] for event in told] == ["two-engines", "lease"]
    assert [event.t for event in told] == [400.0, 400.0]


def test_a_rule_that_is_broken_again_is_told_once(freeze: Scenario) -> None:
    again = attrs.evolve(freeze, timeline=(*freeze.timeline, *_later(freeze, 600.0)), until=1200.0)
    rules = [failure.expected for failure in simulate(again).failures]
    assert rules == ["rule two-engines", "rule lease"]


def _later(scenario: Scenario, seconds: float) -> list[Any]:
    return [attrs.evolve(entry, at=entry.at + seconds, hosts=("2",)) for entry in scenario.timeline]


@pytest.mark.interpreted
def test_an_agent_that_crashes_is_gone_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decide = tick.decide

    def fragile(
        memory: Any, facts: Any, own: Any, whiteboard: Any, identity: Any, policy: Any
    ) -> Any:
        if identity.host_id == 2 and whiteboard is not None:
            msg = "a bug"
            raise ZeroDivisionError(msg)
        return decide(memory, facts, own, whiteboard, identity, policy)

    monkeypatch.setattr(tick, "decide", fragile)
    outcome = simulate(scenario_of("", "{at: 5m, alive: {1: [1, 3]}, engine: good}"))
    assert broken(outcome) == {
        "rule crash": "the agent of host 2 ended by ZeroDivisionError: a bug"
    }
