"""`EngineUp`: what makes the engine leave, stop or move, and how long each takes."""

from __future__ import annotations

from typing import Any, Optional

import attrs
import pytest

from he_fsm import TABLE, TALK, Health, LeaseView, State, VmState, step
from he_fsm.effects import MigrateVm, PowerOffVm, ShutDownVm, StartVm
from he_fsm.observe import observe
from he_fsm.remembered import FailedStarts, Moves, VmWatch
from he_fsm.snapshot import Outcome, OwnerState
from he_fsm.states import guards, remembering
from he_fsm.states.engine_up import why_move
from he_fsm.testing.scenes import NOW, Scene, around, deeds_of, subjects_of

HERE = State.ENGINE_UP
WATCH = VmWatch(since=NOW - 3000, started_here=True, was_good=True)
WELL = Scene(state=HERE, vm=VmState.UP, health=Health.GOOD, watch=WATCH)
BY_RESTART = attrs.evolve(TALK, move_by_restart=True)
DOOMED = LeaseView(owner=1, owner_state=OwnerState.LIVE, doomed_until=NOW + 50, doom="sanlock died")
ELSEWHERE = LeaseView(owner=2, owner_state=OwnerState.LIVE)


def bad_for(seconds: float) -> dict[str, Any]:
    return {"health": Health.BAD, "watch": attrs.evolve(WATCH, bad_since=NOW - seconds)}


def paused_for(seconds: float) -> dict[str, Any]:
    return {"vm": VmState.PAUSED, "watch": attrs.evolve(WATCH, paused_since=NOW - seconds)}


# Host 3 is better by exactly the threshold, and has been for long enough.
BETTER = WELL.but(own_score=1600, scores={2: 1600, 3: 2400}, better_since=NOW - 30)


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
        ("lease_elsewhere", State.ENGINE_STOPPING),
        ("facts_missing", State.UNKNOWN),
        ("global_maintenance", State.GLOBAL_MAINTENANCE),
        ("superseded", State.ENGINE_STOPPING),
        ("vm_gone", State.ENGINE_DOWN),
        ("vm_leaving", State.ENGINE_MIGRATING_AWAY),
        ("paused", State.ENGINE_STOPPING),
        ("health_bad", State.ENGINE_STOPPING),
        ("shutdown", State.ENGINE_STOPPING),
        ("maintenance_set", State.ENGINE_MIGRATING_AWAY),
        ("maintenance_restart", State.ENGINE_STOPPING),
        ("better_host", State.ENGINE_MIGRATING_AWAY),
        ("better_host_restart", State.ENGINE_STOPPING),
    ]


def test_a_guest_that_reports_its_death_is_a_bad_ending_and_people_hear_why() -> None:
    dead = WELL.but(vm=VmState.ABSENT, outcomes=(Outcome.GUEST_DIED,)).step()
    assert dead.edge is not None
    assert (dead.edge.name, dead.memory.failed.count) == ("vm_gone", 1)
    assert dead.reason == "told by the test: a bad ending; the VM is started again by score"
    unsaid = WELL.but(vm=VmState.ABSENT).step()
    assert (unsaid.edge, unsaid.reason) == (dead.edge, guards.VM_GONE)


NO_MIGRATION = attrs.evolve(TALK, live_migration=False)
DRAINED = WELL.but(local_maintenance=True, draining_since=NOW - 600)


@pytest.mark.parametrize("scene", [BETTER, DRAINED, WELL.but(leases=DOOMED)])
def test_what_can_not_move_while_it_runs_stays_and_the_reason_says_so(scene: Scene) -> None:
    decision = scene.but(policy=NO_MIGRATION).step()
    assert deeds_of(decision) == ()
    assert decision.memory.state is HERE
    assert decision.reason.endswith("does not move it by a restart (move_by_restart): it stays")


@pytest.mark.parametrize("scene", [BETTER, DRAINED, WELL.but(leases=DOOMED)])
def test_what_can_not_move_while_it_runs_is_stopped_where_the_policy_asks_for_it(
    scene: Scene,
) -> None:
    policy = attrs.evolve(NO_MIGRATION, move_by_restart=True)
    assert deeds_of(scene.but(policy=policy).step()) == (ShutDownVm(),)


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
            {
                "local_maintenance": True,
                "draining_since": NOW - 10,
                "moves": Moves(failures=1, failed_at=NOW - 10),
            },
            "local maintenance is set; the next migration may be tried soon",
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
        ({"local_maintenance": True, "policy": BY_RESTART}, "maintenance_restart"),
        ({"leases": DOOMED}, "maintenance_set"),
        ({"leases": DOOMED, "policy": BY_RESTART}, "maintenance_restart"),
        ({"leases": ELSEWHERE}, "lease_elsewhere"),
    ],
    ids=str,
)
def test_each_row_is_taken_for_its_reason(facts: dict[str, Any], name: str) -> None:
    assert WELL.but(**facts).edge() == name


BAD = bad_for(300)


@pytest.mark.parametrize(
    ("facts", "winner"),
    [
        ({**BAD, "leases": ELSEWHERE, "can_read": False}, "lease_elsewhere"),
        ({"leases": ELSEWHERE, "global_maintenance": True}, "lease_elsewhere"),
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
    ("health", "bad_since", "before_s"),
    [
        (Health.GOOD, None, 0.0),
        (Health.BAD, NOW - 299, 0.0),
        # What had been seen by the look before is kept, and the wait goes on with the next bad one.
        (Health.UNKNOWN, None, 289.0),
    ],
)
def test_one_good_look_ends_a_bad_time_and_an_unknown_one_only_stops_it(
    health: Health, bad_since: Optional[float], before_s: float
) -> None:
    found = WELL.but(**{**bad_for(299), "health": health}).step().memory.vm
    assert found is not None
    assert (found.bad_since, found.bad_before_s) == (bad_since, before_s)


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
        assert decision.memory.failed == FailedStarts(count=1, last_at=NOW, good_runs=1)
    else:
        assert decision.wake_at == NOW - late_s


def test_a_pause_begins_when_it_is_seen_and_ends_when_the_vm_runs() -> None:
    begun = WELL.but(vm=VmState.PAUSED).step().memory.vm
    assert begun == attrs.evolve(WATCH, paused_since=NOW)
    over = WELL.but(watch=attrs.evolve(WATCH, paused_since=NOW - 59)).step().memory.vm
    assert over == WATCH


@around
def test_after_an_outage_of_the_storage_a_paused_vm_has_its_whole_limit(
    late_s: float, is_due: bool
) -> None:
    """Its pause was seen all the time, and could not be mended before the storage was back."""
    paused = WELL.but(vm=VmState.PAUSED, watch=attrs.evolve(WATCH, paused_since=NOW - 59))
    memory = paused.memory()
    looks = [(away_s, False) for away_s in range(0, 100, 10)]
    looks += [(100 + back_s, True) for back_s in (0, 0, 15, 30, 45, 60 + late_s)]
    for after_s, can_read in looks:
        decision = step(memory, paused.but(can_read=can_read).snapshot(NOW + after_s), TALK)
        memory = decision.memory
        is_ended = PowerOffVm() in decision.effects
        assert is_ended is (is_due and after_s >= 160)


def test_a_better_host_gets_the_engine_by_live_migration() -> None:
    decision = BETTER.step()
    assert decision.edge is not None
    assert decision.edge.name == "better_host"
    assert deeds_of(decision) == (MigrateVm(3),)
    # It counts as a move when it is seen there.
    assert decision.memory.moves == Moves(target=3, seen_on=1)
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
    assert decision.memory.moves == Moves(moves=1, moved_at=NOW, seen_on=3)
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
    moves = Moves(moves=before, moved_at=NOW - peace_s, seen_on=2)
    assert WELL.but(moves=moves).step().memory.moves == Moves(moves=after, moved_at=NOW, seen_on=1)


@pytest.mark.parametrize("mover", [1, 2, 3])
def test_a_move_counts_for_every_host_that_sees_it_whoever_made_it(mover: int) -> None:
    """What arrived by migration counts where it arrived, and where nobody moved anything."""
    seen = Scene(
        state=State.ENGINE_DOWN,
        own_id=mover,
        scores=dict.fromkeys({1, 2, 3} - {mover}, 2400),
        engine_on=3,
        moves=Moves(moves=1, moved_at=NOW - 100, seen_on=2),
    )
    if mover == 3:
        seen = seen.but(state=State.ENGINE_UP, vm=VmState.UP, health=Health.GOOD, watch=WATCH)
    assert seen.step().memory.moves == Moves(moves=2, moved_at=NOW, seen_on=3)


def test_an_engine_that_stays_or_is_started_again_where_it_was_has_not_moved() -> None:
    moves = Moves(moves=1, moved_at=NOW - 100, seen_on=1)
    assert WELL.but(moves=moves).step().memory.moves == moves
    nowhere = Scene(state=State.ENGINE_DOWN, moves=moves, leases=ELSEWHERE)
    assert nowhere.step().memory.moves == moves


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
    scene = WELL.but(own_score=0, local_maintenance=True, draining_since=NOW - 1000)
    failed = scene.but(moves=Moves(failures=1, failed_at=NOW - 60 - late_s))
    assert (failed.edge() == "maintenance_set") is is_due
    moved = scene.but(moves=Moves(moves=7, moved_at=NOW))
    assert moved.edge() == "maintenance_set"


@pytest.mark.parametrize("failures", [1, 2, 10, 40])
@around
def test_while_somebody_waits_the_tries_stay_a_minute_apart(
    late_s: float, is_due: bool, failures: int
) -> None:
    moves = Moves(failures=failures, failed_at=NOW - 60 - late_s, refused_by=2)
    drained = WELL.but(own_score=0, local_maintenance=True, draining_since=NOW - 9000, moves=moves)
    assert (drained.edge() == "maintenance_set") is is_due
    doomed = WELL.but(own_score=0, leases=DOOMED, moves=moves)
    assert (doomed.edge() == "maintenance_set") is is_due


@pytest.mark.parametrize(
    ("refused_by", "target"), [(None, 2), (2, 3), (3, 4), (4, 2), (9, 2), (5, 2)]
)
def test_the_host_behind_the_one_that_was_asked_is_asked_next(
    refused_by: Optional[int], target: int
) -> None:
    """Host 5 has no score, and host 9 is not there."""
    moves = Moves(failures=1, failed_at=NOW - 60, refused_by=refused_by)
    scores = {4: 1000, 3: 2000, 2: 2400, 5: 0}
    scene = WELL.but(
        own_score=0, local_maintenance=True, draining_since=NOW - 90, moves=moves, scores=scores
    )
    assert deeds_of(scene.step()) == (MigrateVm(target),)


def test_the_score_moves_the_engine_only_to_hosts_that_are_better_by_the_threshold() -> None:
    moves = Moves(failures=1, failed_at=NOW - 60, refused_by=3)
    only_3 = BETTER.but(moves=moves)
    assert deeds_of(only_3.step()) == (MigrateVm(3),)
    also_4 = only_3.but(scores={2: 1600, 3: 2400, 4: 2400})
    assert deeds_of(also_4.step()) == (MigrateVm(4),)


def test_a_flag_that_is_set_anew_begins_anew() -> None:
    moves = Moves(failures=10, failed_at=NOW - 1, refused_by=2)
    decision = WELL.but(own_score=0, local_maintenance=True, moves=moves).step()
    assert deeds_of(decision) == (MigrateVm(2),)
    assert decision.memory.draining_since == NOW
    assert decision.memory.moves.failures == 0
    taken_away = WELL.but(draining_since=NOW - 100).step()
    assert taken_away.memory.draining_since is None


@pytest.mark.parametrize("vm", [VmState.STARTING, VmState.STOPPING, VmState.PAUSED])
def test_an_evacuation_waits_until_the_vm_is_up(vm: VmState) -> None:
    assert WELL.but(local_maintenance=True, vm=vm).edge() is None


def test_where_there_is_no_other_host_there_is_no_target_to_name_or_remember() -> None:
    alone = WELL.but(scores={})
    view = observe(alone.memory(), alone.snapshot(), alone.policy)
    assert guards.migrate_to_best(view) == ()
    assert why_move(view) == "a better host"
    assert guards.why_evacuate(view) == ": the engine moves to nowhere"
    assert remembering.remember_target(view, view.memory).moves.target is None


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
    assert decision.memory.moves == Moves(seen_on=1)


def test_a_vm_that_died_here_is_this_hosts_to_start_first() -> None:
    """Two others with lower ids are as good: by their turns this one would be the third."""
    gone = WELL.but(own_id=5, vm=VmState.ABSENT, engine_on=None, scores={1: 2400, 2: 2400})
    ended = gone.step()
    assert ended.memory.state is State.ENGINE_DOWN
    started = step(ended.memory, gone.snapshot(), TALK)
    assert deeds_of(started) == (StartVm(),)


def test_one_death_costs_no_points_and_the_next_ones_do() -> None:
    gone = WELL.but(vm=VmState.ABSENT)
    first = gone.step().memory.failed
    assert (first, first.penalised) == (FailedStarts(count=1, last_at=NOW, good_runs=1), 0)
    second = gone.but(failed=first).step().memory.failed
    assert (second, second.penalised) == (FailedStarts(count=2, last_at=NOW, good_runs=2), 1)


@pytest.mark.parametrize(
    "facts", [{"outcomes": (Outcome.MIGRATION_DONE,)}, {"leases": ELSEWHERE}], ids=str
)
def test_a_vm_that_was_moved_away_has_not_ended(facts: dict[str, Any]) -> None:
    assert WELL.but(vm=VmState.ABSENT, **facts).step().memory.failed == FailedStarts()


def test_a_vm_that_was_moved_is_not_started_where_it_was() -> None:
    gone = WELL.but(own_id=5, vm=VmState.ABSENT, engine_on=None, scores={1: 2400, 2: 2400})
    moved = gone.but(outcomes=(Outcome.MIGRATION_DONE,)).step()
    assert step(moved.memory, gone.snapshot(), TALK).edge is None


DRAINED = WELL.but(
    own_score=0,
    local_maintenance=True,
    draining_since=NOW - 9000,
    moves=Moves(failures=9, failed_at=NOW - 60, refused_by=2),
)


def test_of_many_tries_to_drain_the_first_are_told_and_then_an_alarm_goes_on() -> None:
    for failures, told in ((1, 1), (2, 0), (9, 0)):
        moves = Moves(failures=failures, failed_at=NOW - 60, refused_by=2)
        decision = DRAINED.but(moves=moves).step()
        assert deeds_of(decision) == (MigrateVm(3),)
        assert len(subjects_of(decision)) == told


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"leases": ELSEWHERE}, "lease_elsewhere"),
        ({"global_maintenance": True}, "global_maintenance"),
        ({"is_superseded": True}, "superseded"),
        ({"policy": BY_RESTART}, "maintenance_restart"),
        ({"vm": VmState.ABSENT}, "vm_gone"),
    ],
    ids=str,
)
def test_everything_else_is_told_however_long_a_drain_has_lasted(
    facts: dict[str, Any], name: str
) -> None:
    decision = DRAINED.but(**facts).step()
    assert decision.edge is not None
    assert decision.edge.name == name
    assert len(subjects_of(decision)) == 1


@pytest.mark.parametrize("endings", [0, 1, 2, 3, 40])
def test_of_a_series_of_bad_endings_people_are_told_until_the_host_is_blocked(
    endings: int,
) -> None:
    """From then on an alarm says that it goes on."""
    failed = FailedStarts(count=endings, last_at=NOW - 9000)
    decision = WELL.but(vm=VmState.ABSENT, failed=failed).step()
    assert len(subjects_of(decision)) == (1 if endings < 3 else 0)
