from __future__ import annotations

import pytest

from he_fsm import parse_scenarios, simulate
from he_fsm.check.counterexample import Counterexample, counterexample, has_no_verb
from he_fsm.check.expand import Bounds
from he_fsm.check.faults import WORDS
from he_fsm.check.properties import Property
from tests.check import wrong
from tests.check.exploring import explored, judged


def found(*kinds: str, prop: Property, faults: int = 1, hosts: int = 2) -> Counterexample:
    verdict = judged(explored(*kinds, faults=faults, hosts=hosts))[prop]
    made = counterexample(verdict, Bounds(hosts=hosts))
    assert made is not None
    return made


def test_a_counterexample_fails_in_the_simulator_and_holds_with_the_right_machine() -> None:
    with pytest.MonkeyPatch.context() as patch:
        wrong.nobody_takes_over(patch)
        made = found("crash", prop=Property.RECOVERY)
        assert made.is_reproduced
        (scenario,) = parse_scenarios(made.text, "check.yaml")
        assert not simulate(scenario).passed
    assert simulate(scenario).passed
    assert "host 1 loses power" in made.text
    assert "he-fsm simulate shows it with this seed" in made.text


def test_of_all_runs_the_shortest_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong.nobody_takes_over(monkeypatch)
    verdict = judged(explored("crash", "gateway"))[Property.RECOVERY]
    assert verdict.run is not None
    assert sum(kind == "crash" for each in verdict.run.rounds for kind, _, _ in each) == 1
    assert len(verdict.run.circle) >= 1


@pytest.mark.interpreted
def test_what_the_language_can_not_say_is_said_to_be_near(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong.liveness_goes_by_the_clocks(monkeypatch)
    made = found("clock", prop=Property.AGREEMENT)
    assert not made.is_reproduced
    assert "The nearest that the language can say" in made.text
    assert len(parse_scenarios(made.text, "check.yaml")) == 1


@pytest.mark.once
@pytest.mark.interpreted
def test_what_there_is_no_verb_for_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong.starts_though_its_slot_could_not_be_written(monkeypatch)
    made = found("mute", "vm", prop=Property.NO_NEEDLESS_WORK, faults=2)
    assert not made.is_reproduced
    assert "Not in it either: host 1 can read the whiteboard, and not write its slot" in made.shown
    assert len(parse_scenarios(made.text, "check.yaml")) == 1


def test_every_fault_and_repair_can_be_said_or_is_known_to_have_no_verb() -> None:
    assert {kind for kind in WORDS if has_no_verb(kind)} == {
        *("mute", "writes again", "deaf", "reads again", "id", "id again"),
        *("late", "in time again"),
    }


@pytest.mark.interpreted
def test_needless_work_fails_in_the_simulator_too(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong.stops_an_engine_that_is_well(monkeypatch)
    made = found("agent", prop=Property.NO_NEEDLESS_WORK)
    assert made.is_reproduced


def test_a_host_that_sleeps_and_goes_on_is_in_the_scenario(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong.leaves_a_vm_without_its_lease_alone(monkeypatch)
    made = found("suspend", prop=Property.TWO_ENGINES)
    assert made.is_reproduced
    assert "power: suspend" in made.text
    assert "power: resume" in made.text


@pytest.mark.once
def test_bad_luck_is_set_before_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong.a_migration_that_does_not_end_is_waited_for(monkeypatch)
    made = found("gateway", "stuck", prop=Property.WAY_OUT, faults=2)
    assert made.is_reproduced
    assert "migrations: hang" in made.text
    assert "from here on they look, again and again, and do nothing" in made.text


def test_failed_starts_of_the_beginning_are_in_the_scenario(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong.a_blocked_host_never_tries_again(monkeypatch)
    made = found("clock", prop=Property.WAY_OUT, faults=0)
    assert made.is_reproduced
    assert "host 2 counts 2 failed starts" in made.text


@pytest.mark.once
@pytest.mark.parametrize("prop", [Property.MAINTENANCE, Property.LEASE])
@pytest.mark.interpreted
def test_each_can_be_read(monkeypatch: pytest.MonkeyPatch, prop: Property) -> None:
    machine = {
        Property.MAINTENANCE: wrong.local_maintenance_is_ignored,
        Property.LEASE: wrong.starts_without_asking_for_the_lease,
    }[prop]
    machine(monkeypatch)
    made = found("maintenance", "vm", prop=prop, faults=2, hosts=1 + (prop is Property.LEASE))
    (scenario,) = parse_scenarios(made.text, "check.yaml")
    assert scenario.name == f"check-{prop.value}"


def test_what_holds_has_no_counterexample() -> None:
    assert counterexample(judged(explored("clock"))[Property.LEASE], Bounds()) is None
