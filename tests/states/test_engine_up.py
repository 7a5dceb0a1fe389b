"""`EngineUp`: what makes the engine leave, stop or move, and how long each takes."""

from __future__ import annotations

from typing import Any, Optional

import attrs
import pytest

from he_fsm import TABLE, TALK, Health, LeaseView, State, VmState, step
from he_fsm.effects import MigrateVm, PowerOffVm, ShutDownVm, StartVm
from he_fsm.memory import FailedStarts, Moves, VmWatch
from he_fsm.snapshot import Outcome
from he_fsm.states import guards
from he_fsm.states.engine_up import why_move
from he_fsm.step import observe
from tests.scenes import NOW, Scene, around, deeds_of, subjects_of

HERE = State.ENGINE_UP
WATCH = VmWatch(since=NOW - 3000, started_here=True, was_good=True)
WELL = Scene(state=HERE, vm=VmState.UP, health=Health.GOOD, watch=WATCH)
BY_RESTART = attrs.evolve(TALK, move_by_restart=True)


def bad_for(seconds: float) -> dict[str, Any]:
    return {"health": Health.BAD, "watch": attrs.evolve(WATCH, bad_since=NOW - seconds)}


def paused_for(seconds: float) -> dict[str, Any]:
    return {"vm": VmState.PAUSED, "watch": attrs.evolve(WATCH, paused_since=NOW - seconds)}


# Host 3 is better by exactly the threshold, and has been for long enough.
BETTER = WELL.but(own_score=1600, scores={2: 1600, 3: 2400}, better_since=NOW - 30)


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
        ("facts_missing", State.UNKNOWN),
        ("global_maintenance", State.GLOBAL_MAINTENANCE),
        ("superseded", State.ENGINE_STOPPING),
        ("vm_gone", State.ENGINE_DOWN),
        ("vm_leaving", State.ENGINE_MIGRATING_AWAY),
        ("paused", State.ENGINE_STOPPING),
        ("health_bad", State.ENGINE_STOPPING),
        ("maintenance_set", State.ENGINE_MIGRATING_AWAY),
        ("better_host", State.ENGINE_MIGRATING_AWAY),
        ("better_host_restart", State.ENGINE_STOPPING),
    ]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, "the engine runs here and is well"),
        (bad_for(100), "the health page has been bad for 100 s"),
        (paused_for(20), "the VM has been paused for 20 s"),
        (
            {"own_score": 1600, "better_since": NOW - 10},
            "another host is better by the threshold; waiting whether that lasts",
        ),
        (
            {"local_maintenance": True, "scores": {2: 0, 3: 0}},
            "local maintenance is set, but there is no host to go to: the engine stays",
        ),
        (
            {"local_maintenance": True, "moves": Moves(failures=1, failed_at=NOW - 10)},
            "local maintenance is set; the engine leaves when the next migration may be tried",
        ),
        ({"watch": None, "health": Health.UNKNOWN}, "the engine runs here and is well"),
        ({"health": Health.UNKNOWN}, "the engine runs here and is well"),
        ({"own_score": 0, "scores": {2: 799}}, "the engine runs here and is well"),
        ({"engine_on": 3}, "the engine runs here and is well"),
    ],
    ids=str,
)
def test_the_engine_stays_and_the_host_says_what_it_waits_for(
    facts: dict[str, Any], reason: str
) -> None:
    decision = WELL.but(**facts).step()
    assert (decision.edge, decision.effects) == (None, ())
    assert decision.reason == reason


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"can_read": False}, "facts_missing"),
        ({"leases": None}, "facts_missing"),
        ({"leases": LeaseView(joined=False)}, "facts_missing"),
        ({"vm": VmState.UNKNOWN}, "facts_missing"),
        ({"global_maintenance": True}, "global_maintenance"),
        ({"is_superseded": True}, "superseded"),
        ({"vm": VmState.ABSENT}, "vm_gone"),
        ({"vm": VmState.ARRIVING}, "vm_gone"),
        ({"vm": VmState.LEAVING}, "vm_leaving"),
        (paused_for(60), "paused"),
        (bad_for(300), "health_bad"),
        ({"local_maintenance": True}, "maintenance_set"),
    ],
    ids=str,
)
def test_each_row_is_taken_for_its_reason(facts: dict[str, Any], name: str) -> None:
    assert WELL.but(**facts).edge() == name


BAD = bad_for(300)


@pytest.mark.parametrize(
    ("facts", "winner"),
    [
        ({**BAD, "can_read": False}, "facts_missing"),
        ({**BAD, "global_maintenance": True}, "global_maintenance"),
        ({"is_superseded": True, "local_maintenance": True}, "superseded"),
        ({**BAD, "vm": VmState.ABSENT, "local_maintenance": True}, "vm_gone"),
        ({**BAD, "vm": VmState.LEAVING, "local_maintenance": True}, "vm_leaving"),
        ({**paused_for(60), "local_maintenance": True}, "paused"),
        ({**BAD, "local_maintenance": True}, "health_bad"),
        ({"local_maintenance": True}, "maintenance_set"),
    ],
    ids=str,
)
def test_of_two_reasons_the_earlier_row_wins(facts: dict[str, Any], winner: str) -> None:
    assert BETTER.but(**facts).edge() == winner


@around
def test_a_health_page_that_is_bad_too_long_ends_in_a_shutdown_and_a_failed_start(
    late_s: float, is_due: bool
) -> None:
    decision = WELL.but(**bad_for(300 + late_s)).step()
    assert (decision.edge is not None) is is_due
    if is_due:
        assert deeds_of(decision) == (ShutDownVm(),)
        assert decision.memory.failed == FailedStarts(count=1, last_at=NOW)
        assert decision.reason == "health page bad for 300 s: shut down, start again by score"
        assert subjects_of(decision) == [f"EngineUp-EngineStopping: {decision.reason}"]
    else:
        assert decision.wake_at == NOW - late_s


@pytest.mark.parametrize("vm", [VmState.STARTING, VmState.UP, VmState.STOPPING])
def test_lesson_b37_a_guest_that_hangs_while_it_goes_down_or_boots_again_is_ill_too(
    vm: VmState,
) -> None:
    assert WELL.but(vm=vm, **bad_for(299.875)).edge() is None
    assert WELL.but(vm=vm, **bad_for(300)).edge() == "health_bad"


def test_a_paused_vm_is_judged_by_its_pause_alone() -> None:
    watch = attrs.evolve(WATCH, bad_since=NOW - 1000, paused_since=NOW - 59)
    assert WELL.but(vm=VmState.PAUSED, watch=watch).edge() is None


@pytest.mark.parametrize(
    ("health", "bad_since"),
    [(Health.GOOD, None), (Health.BAD, NOW - 299), (Health.UNKNOWN, NOW - 299)],
)
def test_one_good_look_ends_a_bad_time_and_an_unknown_one_does_not(
    health: Health, bad_since: float
) -> None:
    found = WELL.but(**{**bad_for(299), "health": health}).step().memory.vm
    assert found is not None
    assert found.bad_since == bad_since


def test_a_bad_time_begins_with_the_first_bad_look() -> None:
    found = WELL.but(health=Health.BAD).step().memory.vm
    assert found == attrs.evolve(WATCH, bad_since=NOW)


@around
def test_lesson_b21_a_paused_vm_is_powered_off_after_a_short_limit(
    late_s: float, is_due: bool
) -> None:
    decision = WELL.but(**paused_for(60 + late_s)).step()
    assert (decision.edge is not None) is is_due
    if is_due:
        assert deeds_of(decision) == (PowerOffVm(),)
        assert decision.memory.vm is not None
        assert decision.memory.vm.power_off_at == NOW
        assert decision.memory.failed == FailedStarts()
    else:
        assert decision.wake_at == NOW - late_s


def test_a_pause_begins_when_it_is_seen_and_ends_when_the_vm_runs() -> None:
    begun = WELL.but(vm=VmState.PAUSED).step().memory.vm
    assert begun == attrs.evolve(WATCH, paused_since=NOW)
    over = WELL.but(watch=attrs.evolve(WATCH, paused_since=NOW - 59)).step().memory.vm
    assert over == WATCH


def test_a_better_host_gets_the_engine_by_live_migration() -> None:
    decision = BETTER.step()
    assert decision.edge is not None
    assert decision.edge.name == "better_host"
    assert deeds_of(decision) == (MigrateVm(3),)
    assert decision.memory.moves == Moves(target=3, moves=1, moved_at=NOW)
    assert decision.memory.better_since is None
    assert decision.reason == "host 3 has scored 2400, 800 more than the 1600 here, for 30 s"


@around
def test_a_better_host_has_to_be_better_for_long_enough(late_s: float, is_due: bool) -> None:
    decision = BETTER.but(better_since=NOW - 30 - late_s).step()
    assert (decision.edge is not None) is is_due
    assert is_due or decision.wake_at == NOW - late_s


@pytest.mark.parametrize(("best", "is_better"), [(2399, False), (2400, True), (2401, False)])
def test_better_means_by_the_threshold_and_within_the_policys_scores(
    best: int, is_better: bool
) -> None:
    scene = BETTER.but(scores={2: 1600, 3: best}, better_since=None)
    assert (scene.step().memory.better_since == NOW) is is_better


def test_lesson_b22_one_loop_in_which_nobody_is_better_begins_the_wait_anew() -> None:
    calm = BETTER.but(scores={2: 1600, 3: 1600})
    assert calm.step().memory.better_since is None
    assert BETTER.but(better_since=None).step().memory.better_since == NOW
    assert BETTER.but(better_since=NOW - 10).step().memory.better_since == NOW - 10


@pytest.mark.parametrize("vm", [VmState.STARTING, VmState.STOPPING, VmState.PAUSED])
def test_a_vm_that_is_not_up_is_not_moved(vm: VmState) -> None:
    decision = BETTER.but(vm=vm).step()
    assert (decision.edge, decision.effects) == (None, ())
    assert decision.memory.better_since is None


def test_of_equal_better_hosts_the_lowest_id_is_the_target() -> None:
    assert deeds_of(BETTER.but(scores={7: 2400, 3: 2400, 5: 2399}).step()) == (MigrateVm(3),)
    assert deeds_of(BETTER.but(scores={3: 2400, 7: 2400}).step()) == (MigrateVm(3),)


def test_the_policy_may_move_by_a_restart_instead() -> None:
    decision = BETTER.but(policy=BY_RESTART).step()
    assert decision.edge is not None
    assert decision.edge.name == "better_host_restart"
    assert deeds_of(decision) == (ShutDownVm(),)
    assert decision.memory.state is State.ENGINE_STOPPING
    assert decision.memory.moves == Moves(target=3, moves=1, moved_at=NOW)
    assert decision.memory.failed == FailedStarts()


def test_a_policy_that_moves_by_a_restart_leaves_a_well_engine_alone() -> None:
    assert WELL.but(policy=BY_RESTART).edge() is None
    assert BETTER.but(policy=BY_RESTART, better_since=NOW - 29.875).edge() is None


@around
@pytest.mark.parametrize(
    ("count", "wait_s"), [(1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (40, 3600)]
)
def test_lesson_b17_after_moves_and_failures_the_wait_doubles_up_to_an_hour(
    late_s: float, is_due: bool, count: int, wait_s: float
) -> None:
    ago = NOW - wait_s - late_s
    after_moves = BETTER.but(moves=Moves(moves=count, moved_at=ago)).step()
    after_failures = BETTER.but(moves=Moves(failures=count, failed_at=ago)).step()
    for decision in (after_moves, after_failures):
        assert (decision.edge is not None) is is_due
        assert is_due or decision.wake_at == NOW - late_s


def test_the_longer_of_the_two_waits_counts() -> None:
    long_failure = Moves(failures=7, failed_at=NOW - 3599, moves=1, moved_at=NOW - 3599)
    assert BETTER.but(moves=long_failure).edge() is None
    long_moves = Moves(failures=1, failed_at=NOW - 3599, moves=7, moved_at=NOW - 3599)
    assert BETTER.but(moves=long_moves).edge() is None


@pytest.mark.parametrize(
    ("before", "peace_s", "after"),
    [(1, 3599.875, 2), (1, 3600, 1), (7, 7199.875, 8), (7, 7200, 1), (0, 0, 1)],
)
def test_a_series_of_moves_is_over_after_a_long_peace(
    before: int, peace_s: float, after: int
) -> None:
    moves = Moves(moves=before, moved_at=NOW - peace_s)
    assert BETTER.but(moves=moves).step().memory.moves.moves == after


def test_local_maintenance_sends_the_engine_to_the_best_other_host_first() -> None:
    decision = WELL.but(own_score=0, scores={2: 100, 3: 1000}, local_maintenance=True).step()
    assert deeds_of(decision) == (MigrateVm(3),)
    assert decision.memory.state is State.ENGINE_MIGRATING_AWAY
    assert decision.memory.moves.target == 3
    assert decision.reason == "local maintenance: the engine moves to host 3, score 1000 first"


def test_a_score_of_1_is_enough_to_go_there_and_0_is_not() -> None:
    scene = WELL.but(own_score=0, local_maintenance=True)
    assert deeds_of(scene.but(scores={2: 1, 3: 0}).step()) == (MigrateVm(2),)
    assert scene.but(scores={2: 0, 3: 0}).edge() is None


@around
def test_an_evacuation_waits_after_a_failed_migration_and_not_after_moves(
    late_s: float, is_due: bool
) -> None:
    scene = WELL.but(own_score=0, local_maintenance=True)
    failed = scene.but(moves=Moves(failures=1, failed_at=NOW - 60 - late_s))
    assert (failed.edge() == "maintenance_set") is is_due
    moved = scene.but(moves=Moves(moves=7, moved_at=NOW))
    assert moved.edge() == "maintenance_set"


@pytest.mark.parametrize("vm", [VmState.STARTING, VmState.STOPPING, VmState.PAUSED])
def test_an_evacuation_waits_until_the_vm_is_up(vm: VmState) -> None:
    assert WELL.but(local_maintenance=True, vm=vm).edge() is None


def test_where_there_is_no_other_host_there_is_no_target_to_name_or_remember() -> None:
    alone = WELL.but(scores={})
    view = observe(alone.memory(), alone.snapshot(), alone.policy)
    assert guards.migrate_to_best(view) == ()
    assert why_move(view) == "a better host"
    assert guards.why_evacuate(view) == "local maintenance: the engine moves to nowhere first"
    assert guards.remember_target(view, view.memory).moves.target is None


def test_a_superseded_agent_shuts_its_vm_down_and_counts_no_failed_start() -> None:
    decision = WELL.but(is_superseded=True).step()
    assert deeds_of(decision) == (ShutDownVm(),)
    assert decision.memory.failed == FailedStarts()


@pytest.mark.parametrize(("outcomes", "refused_at"), [((Outcome.MIGRATION_DONE,), NOW), ((), None)])
def test_lesson_b15_a_vm_that_moved_away_is_given_time_to_be_seen_there(
    outcomes: tuple[Outcome, ...], refused_at: Optional[float]
) -> None:
    """And one that died is started again at once."""
    memory = WELL.but(vm=VmState.ABSENT, outcomes=outcomes).step().memory
    assert (memory.state, memory.refused_at) == (State.ENGINE_DOWN, refused_at)


def test_lesson_b16_a_migration_that_somebody_else_started_is_left_alone() -> None:
    decision = WELL.but(vm=VmState.LEAVING).step()
    assert decision.effects == ()
    assert decision.memory.moves == Moves()


def test_a_vm_that_died_here_is_this_hosts_to_start_first() -> None:
    """Two others with lower ids are as good: by their turns this one would be the third."""
    gone = WELL.but(own_id=5, vm=VmState.ABSENT, engine_on=None, scores={1: 2400, 2: 2400})
    ended = gone.step()
    assert ended.memory.state is State.ENGINE_DOWN
    started = step(ended.memory, gone.snapshot(), TALK)
    assert deeds_of(started) == (StartVm(),)


def test_a_vm_that_was_moved_is_not_started_where_it_was() -> None:
    gone = WELL.but(own_id=5, vm=VmState.ABSENT, engine_on=None, scores={1: 2400, 2: 2400})
    moved = gone.but(outcomes=(Outcome.MIGRATION_DONE,)).step()
    assert step(moved.memory, gone.snapshot(), TALK).edge is None
