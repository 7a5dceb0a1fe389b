"""An orderly shutdown of the host: what becomes of the engine, and when the host may go down."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm import OVIRT, TALK, Health, LeaseView, OwnerState, State, VmState, step
from he_fsm.effects import (
    CancelMigration,
    LetGo,
    MigrateVm,
    PowerOffVm,
    ShutDownVm,
    StartVm,
)
from he_fsm.metadata.record import ProblemWord
from he_fsm.remembered import Moves, VmWatch
from he_fsm.snapshot import Readings
from he_fsm.testing.scenes import KEPT, NOW, Scene, around, deeds_of, record
from he_fsm.testing.strategies import situations
from he_fsm.testing.strategies.situations import Situation
from he_fsm.tick import Facts, Identity, engine_status, make_record, rate_host

STOP = attrs.evolve(TALK, on_shutdown="stop")
FREEZE = attrs.evolve(TALK, on_shutdown="freeze")
WATCH = VmWatch(since=NOW - 3000, was_good=True)
# The host goes down in five minutes, and the engine runs here.
HERE = Scene(
    state=State.ENGINE_UP,
    vm=VmState.UP,
    health=Health.GOOD,
    watch=WATCH,
    own_score=0,
    leases=LeaseView(owner=1, owner_state=OwnerState.LIVE),
    leaves_by=NOW + 300,
)
# The same of a host without the engine.
EMPTY = Scene(state=State.ENGINE_DOWN, own_score=0, leaves_by=NOW + 300)
STOPS = (ShutDownVm(),)


def test_the_engine_moves_to_the_best_other_host_first() -> None:
    decision = HERE.but(scores={2: 1400, 3: 2400}).step()
    assert decision.edge is not None
    assert decision.edge.name == "maintenance_set"
    assert deeds_of(decision) == (MigrateVm(3),)
    assert decision.reason.startswith("this host is about to be shut down: the engine moves to ")


@pytest.mark.parametrize("policy", [STOP, FREEZE], ids=["stop", "freeze"])
@pytest.mark.parametrize("vm", [VmState.UP, VmState.STARTING, VmState.PAUSED])
def test_by_the_policy_the_engine_stops_instead(policy: Any, vm: VmState) -> None:
    decision = HERE.but(policy=policy, vm=vm).step()
    assert (decision.memory.state, deeds_of(decision)) == (State.ENGINE_STOPPING, STOPS)


@pytest.mark.parametrize(
    "facts",
    [
        {"scores": {}},
        {"scores": {2: 0, 3: 0}},
        {"policy": OVIRT},
        {"policy": attrs.evolve(TALK, live_migration=False)},
        {"leaves_by": NOW + 5},
        # The next try would come too late.
        {"moves": Moves(failures=1, failed_at=NOW, refused_by=2), "leaves_by": NOW + 110},
    ],
    ids=str,
)
def test_an_engine_that_cannot_move_in_time_stops(facts: dict[str, Any]) -> None:
    decision = HERE.but(draining_since=NOW - 10, **facts).step()
    assert (decision.memory.state, deeds_of(decision)) == (State.ENGINE_STOPPING, STOPS)


def test_after_a_failed_migration_there_is_time_for_another() -> None:
    failed = Moves(failures=1, failed_at=NOW, refused_by=2)
    waiting = HERE.but(draining_since=NOW - 10, moves=failed)
    assert waiting.edge() is None
    assert deeds_of(waiting.step(NOW + TALK.drain_retry_s)) == (MigrateVm(3),)


def test_a_host_that_may_be_alive_is_waited_for() -> None:
    """An agent that has just started knows of nobody yet whether he lives."""
    scene = HERE.but(scores={2: 2400})
    memory = scene.memory()
    unknown = {
        host: seen._replace(grew_at=None, since=NOW - 10) for host, seen in memory.sightings.items()
    }
    snapshot = scene.snapshot()
    assert snapshot.whiteboard is not None
    same = {2: record(2), 1: snapshot.whiteboard.slots[1]}
    snapshot = snapshot._replace(whiteboard=snapshot.whiteboard._replace(slots=same))
    decision = step(memory._replace(sightings=unknown), snapshot, TALK)
    assert (decision.edge, deeds_of(decision)) == (None, ())


@around
def test_the_engine_stops_when_it_is_time_wherever_it_could_go(late_s: float, is_due: bool) -> None:
    late = HERE.but(
        draining_since=NOW - 200,
        moves=Moves(failures=1, failed_at=NOW - 10, refused_by=2),
        leaves_by=NOW + TALK.shutdown_stop_s - late_s,
        vm=VmState.PAUSED,
    )
    assert late.edge() == ("shutdown" if is_due else None)


@around
def test_a_migration_is_cancelled_when_it_is_time(late_s: float, is_due: bool) -> None:
    leaving = HERE.but(
        state=State.ENGINE_MIGRATING_AWAY,
        since=NOW - 100,
        vm=VmState.LEAVING,
        leaves_by=NOW + TALK.shutdown_stop_s - late_s,
    )
    decision = leaving.step()
    assert deeds_of(decision) == ((CancelMigration(),) if is_due else ())
    if is_due:
        # Once: what is cancelled is counted from now on.
        again = step(decision.memory, leaving.snapshot(NOW + 1), TALK)
        assert (again.edge, deeds_of(again)) == (None, ())


@around
def test_a_vm_that_does_not_go_down_is_powered_off(late_s: float, is_due: bool) -> None:
    stopping = HERE.but(
        state=State.ENGINE_STOPPING,
        since=NOW - 20,
        vm=VmState.STOPPING,
        leaves_by=NOW + TALK.shutdown_last_s - late_s,
    )
    assert deeds_of(stopping.step()) == ((PowerOffVm(),) if is_due else ())


@pytest.mark.parametrize(
    ("state", "facts"),
    [
        (State.ENGINE_DOWN, {}),
        (State.SCORE_BLOCKED, {}),
        (State.ENGINE_STOPPING, {}),
        (State.ENGINE_MIGRATING_AWAY, {}),
        (State.UNKNOWN, {}),
    ],
)
def test_without_a_vm_the_host_takes_itself_out_and_then_lets_go(
    state: State, facts: dict[str, Any]
) -> None:
    decision = EMPTY.but(state=state, **facts).step()
    assert (decision.memory.state, deeds_of(decision)) == (State.LOCAL_MAINTENANCE, ())
    out = step(decision.memory, EMPTY.snapshot(), TALK)
    assert (out.edge, deeds_of(out)) == (None, (LetGo("the engine is not here"),))


@pytest.mark.parametrize(
    "facts",
    [
        {"vm": VmState.ARRIVING},
        {"vm": VmState.UNKNOWN},
        {"vm": VmState.STOPPING, "state": State.ENGINE_STOPPING, "watch": WATCH},
        {"vm": VmState.LEAVING, "state": State.ENGINE_MIGRATING_AWAY, "watch": WATCH},
    ],
    ids=str,
)
def test_a_vm_that_is_here_is_waited_for_but_no_longer_than_the_host_waits(
    facts: dict[str, Any],
) -> None:
    scene = EMPTY.but(**{"state": State.UNKNOWN, "since": NOW - 1, **facts}, leaves_by=NOW + 100)
    assert not any(isinstance(deed, LetGo) for deed in scene.step().effects)
    late = scene.but(leaves_by=NOW, since=NOW).memory()
    decision = step(late, scene.but(leaves_by=NOW).snapshot(), TALK)
    while decision.edge is not None:
        decision = step(decision.memory, scene.but(leaves_by=NOW).snapshot(), TALK)
    assert any(isinstance(deed, LetGo) for deed in decision.effects)


def test_in_global_maintenance_the_host_goes_down_and_nobody_touches_the_vm() -> None:
    scene = HERE.but(state=State.GLOBAL_MAINTENANCE, global_maintenance=True)
    decision = scene.step()
    why = "global maintenance: the engine is the administrator's"
    assert (decision.edge, deeds_of(decision)) == (None, (LetGo(why),))


def test_a_shutdown_that_is_called_off_ends_with_the_host_back() -> None:
    out = Scene(state=State.LOCAL_MAINTENANCE)
    assert out.edge() == "maintenance_over"
    # Maintenance that somebody asked for is another thing.
    assert out.but(local_maintenance=True, own_score=0).edge() is None


def test_the_engine_is_kept_by_policy_freeze_alone() -> None:
    for policy, keeps in ((FREEZE, True), (STOP, False)):
        decision = HERE.but(policy=policy).step()
        assert decision.memory.keeps_engine is keeps


GONE = Scene(state=State.ENGINE_DOWN, named_since=NOW - 60, scores={2: 0, 3: 2400})


@pytest.mark.parametrize(
    ("facts", "starts"),
    [
        ({}, True),
        # It went down in order, and keeps the engine.
        ({"keepers": {2}, "stopped": {2}}, False),
        # It is about to, or is back.
        ({"keepers": {2}}, False),
        ({"keepers": {2}, "scores": {2: 1000, 3: 2400}}, False),
        # It stopped in order without the engine.
        ({"stopped": {2}}, True),
    ],
    ids=str,
)
def test_nobody_else_starts_an_engine_that_is_kept(facts: dict[str, Any], starts: bool) -> None:
    decision = GONE.but(**facts).step()
    assert (StartVm() in decision.effects) is starts


def test_people_are_told_who_keeps_the_engine_and_how_to_end_that() -> None:
    kept = GONE.but(keepers=frozenset({2}), stopped=frozenset({2}), own_id=1)
    decision = kept.step(NOW + TALK.loop_s)
    again = step(decision.memory, kept.snapshot(NOW + 2 * TALK.loop_s), TALK)
    texts = [alarm.text for alarm in (*decision.alarms, *again.alarms)]
    assert any(
        "host 2 keeps the engine until it is back (on_shutdown: freeze). To end it: start host 2"
        in text
        and "he-fsm storage clear-slot 2" in text
        for text in texts
    )


def test_a_host_that_fell_silent_keeps_nothing() -> None:
    scene = GONE.but(keepers=frozenset({2}))
    memory = scene.memory()
    silent = memory.sightings[2]._replace(
        content=record(2, 0, timestamp=5001, engine=KEPT),
        timestamp=5001,
        record=record(2, 0, timestamp=5001, engine=KEPT),
        grew_at=NOW - TALK.dead_after_s,
    )
    memory = memory._replace(sightings={**memory.sightings, 2: silent})
    assert StartVm() in step(memory, scene.snapshot(), TALK).effects


def test_a_slot_that_somebody_has_cleared_keeps_nothing() -> None:
    scene = GONE.but(keepers=frozenset({2}), stopped=frozenset({2}))
    kept = scene.step()
    assert kept.memory.sightings[2].record is not None
    assert kept.memory.sightings[2].record.engine.keeps_engine
    snapshot = scene.snapshot(NOW + 10)
    assert snapshot.whiteboard is not None
    slots = {slot: found for slot, found in snapshot.whiteboard.slots.items() if slot != 2}
    cleared = snapshot._replace(whiteboard=snapshot.whiteboard._replace(slots=slots))
    decision = step(kept.memory, cleared, TALK)
    assert decision.memory.sightings[2].problem is ProblemWord.EMPTY
    assert decision.placement.kept_by == ()
    assert StartVm() in decision.effects


@pytest.mark.parametrize(
    ("facts", "keeps"),
    [
        ({}, True),
        ({"leaves_by": NOW + 100, "own_score": 0}, True),
        # It is back, and can't start it.
        ({"own_score": 0}, False),
        # It has just begun, and can't tell yet; for so long it may take.
        ({"own_score": 0, "state": State.UNKNOWN, "began_at": NOW - 59}, True),
        ({"own_score": 0, "state": State.UNKNOWN, "began_at": NOW - 60}, False),
        # It runs again, here or elsewhere.
        ({"engine_on": 2}, False),
        ({"engine_on": 2, "leaves_by": NOW + 100, "own_score": 0}, False),
    ],
    ids=str,
)
def test_a_host_keeps_the_engine_until_it_runs_again(facts: dict[str, Any], keeps: bool) -> None:
    back = Scene(state=State.ENGINE_DOWN, keeps_engine=True).but(**facts)
    assert back.step().memory.keeps_engine is keeps


def test_the_host_that_keeps_the_engine_starts_it_once_it_is_back() -> None:
    back = Scene(state=State.ENGINE_DOWN, keeps_engine=True, own_score=1000)
    decision = back.but(named_since=NOW - 1).step()
    assert deeds_of(decision) == (StartVm(),)


@pytest.mark.parametrize("method", ["restart", "boot", "suspend"])
def test_what_is_kept_is_kept_across_restart_boot_and_suspend(method: str) -> None:
    memory = Scene(state=State.ENGINE_DOWN, keeps_engine=True).memory()
    after = {
        "restart": memory.after_restart(NOW),
        "boot": memory.after_boot(5.0, NOW),
        "suspend": memory.after_suspend(NOW, 100.0),
    }[method]
    assert after.keeps_engine


def test_ovirts_agents_read_a_kept_engine_as_down() -> None:
    status = KEPT
    assert (status.vm, status.health, status.rank) == ("down", "bad", 1)
    facts = Scene(state=State.ENGINE_DOWN).snapshot().vm
    assert engine_status(facts, claims_lease=True, keeps_engine=True) == status


@given(situation=situations())
def test_a_host_that_is_about_to_go_down_starts_nothing(situation: Situation) -> None:
    own = situation.snapshot.own
    snapshot = situation.snapshot._replace(
        leaves_by=NOW + 100, own=None if own is None else own._replace(score=0)
    )
    effects = step(situation.memory, snapshot, situation.policy).effects
    assert StartVm() not in effects


@given(situation=situations(), left_s=st.sampled_from([-10.0, 0.0, 1.0, 30.0, 90.0, 1000.0]))
def test_a_host_never_goes_down_early_with_a_vm_that_it_manages(
    situation: Situation, left_s: float
) -> None:
    snapshot = situation.snapshot._replace(leaves_by=NOW + left_s)
    decision = step(situation.memory, snapshot, situation.policy)
    if any(isinstance(effect, LetGo) for effect in decision.effects):
        hands_off = decision.memory.global_maintenance is not False
        assert left_s <= 0 or hands_off or snapshot.vm.state is VmState.ABSENT


@given(situation=situations())
def test_without_a_shutdown_nobody_lets_go(situation: Situation) -> None:
    snapshot = situation.snapshot._replace(leaves_by=None)
    decision = step(situation.memory, snapshot, situation.policy)
    assert not any(isinstance(effect, LetGo) for effect in decision.effects)


def test_the_record_of_a_host_that_is_about_to_go_down_is_valid_and_says_0() -> None:
    snapshot = EMPTY.snapshot()
    assert snapshot.own is not None
    facts = Facts(
        now=NOW,
        wall_offset_s=0.0,
        readings=Readings.of(),
        vm=snapshot.vm,
        leases=LeaseView(),
        leaves_by=NOW + 100,
    )
    from_here = rate_host(EMPTY.memory(), facts, Identity(host_id=1, hostname="host1"), TALK)
    assert (from_here.total, from_here.why) == (0, "this host is about to be shut down")
    made = make_record(facts, Identity(host_id=1, hostname="host1"), 0, TALK, keeps_engine=True)
    assert made.engine == KEPT
