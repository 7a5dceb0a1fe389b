"""`EngineDown`: when this host starts the engine, and when it must not."""

from __future__ import annotations

from typing import Any, Optional

import attrs
import pytest

from he_fsm import TABLE, TALK, Health, LeaseView, State, VmState, step
from he_fsm.effects import StartVm, StopAgent
from he_fsm.remembered import FailedStarts, VmWatch
from he_fsm.snapshot import Outcome, OwnerState
from he_fsm.testing.scenes import NOW, Scene, alarms_of, around, deeds_of, subjects_of

HERE = State.ENGINE_DOWN
# The engine runs on host 2: nothing to do.
WATCHING = Scene(state=HERE, engine_on=2)
# It runs nowhere, and this host is the best alone.
BEST = Scene(state=HERE, scores={2: 2000, 3: 1000})
LIVE = LeaseView(owner=3, owner_state=OwnerState.LIVE)
BLOCKED = FailedStarts(count=3, last_at=NOW - 599)
# Three equal hosts, of which each lets the one before have its turn.
EQUAL = Scene(state=HERE, policy=attrs.evolve(TALK, stagger_s=4.0))


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
        ("facts_missing", State.UNKNOWN),
        ("global_maintenance", State.GLOBAL_MAINTENANCE),
        ("superseded", State.UNKNOWN),
        ("vm_found_here", State.ENGINE_STARTING),
        ("arrival_lost", HERE),
        ("maintenance_set", State.LOCAL_MAINTENANCE),
        ("starts_blocked", State.SCORE_BLOCKED),
        ("best_host", State.ENGINE_STARTING),
    ]


def test_while_the_engine_runs_elsewhere_the_host_watches() -> None:
    decision = WATCHING.step()
    assert (decision.edge, decision.effects) == (None, ())
    assert decision.reason == "the engine runs on host 2"


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"can_read": False}, "facts_missing"),
        ({"leases": None}, "facts_missing"),
        ({"leases": LeaseView(joined=False)}, "facts_missing"),
        ({"vm": VmState.UNKNOWN}, "facts_missing"),
        ({"global_maintenance": True}, "global_maintenance"),
        ({"global_maintenance": None, "remembered_global": None}, "global_maintenance"),
        ({"is_superseded": True}, "superseded"),
        ({"vm": VmState.STARTING}, "vm_found_here"),
        ({"vm": VmState.UP, "health": Health.GOOD}, "vm_found_here"),
        ({"vm": VmState.PAUSED}, "vm_found_here"),
        ({"vm": VmState.STOPPING}, "vm_found_here"),
        ({"vm": VmState.LEAVING}, "vm_found_here"),
        ({"local_maintenance": True}, "maintenance_set"),
        ({"failed": BLOCKED}, "starts_blocked"),
        ({"vm": VmState.ARRIVING}, None),
    ],
    ids=str,
)
def test_each_row_is_taken_for_its_reason(facts: dict[str, Any], name: Optional[str]) -> None:
    decision = WATCHING.but(**facts).step()
    assert (None if decision.edge is None else decision.edge.name) == name
    assert StartVm() not in decision.effects


@pytest.mark.parametrize(
    ("facts", "winner"),
    [
        ({"can_read": False, "global_maintenance": True}, "facts_missing"),
        ({"leases": None, "vm": VmState.UP}, "facts_missing"),
        ({"global_maintenance": True, "is_superseded": True}, "global_maintenance"),
        ({"global_maintenance": True, "vm": VmState.UP}, "global_maintenance"),
        ({"is_superseded": True, "local_maintenance": True}, "superseded"),
        ({"is_superseded": True, "vm": VmState.UP}, "vm_found_here"),
        ({"vm": VmState.UP, "local_maintenance": True}, "vm_found_here"),
        ({"vm": VmState.UP, "failed": BLOCKED}, "vm_found_here"),
        ({"local_maintenance": True, "failed": BLOCKED}, "maintenance_set"),
        ({"failed": BLOCKED, "named_since": NOW - 100}, "starts_blocked"),
    ],
    ids=str,
)
def test_of_two_reasons_the_earlier_row_wins(facts: dict[str, Any], winner: str) -> None:
    assert BEST.but(**facts).edge() == winner


def test_the_best_host_takes_the_lease_and_starts_the_vm() -> None:
    decision = BEST.step()
    assert decision.edge is not None
    assert (decision.edge.name, decision.memory.state) == ("best_host", State.ENGINE_STARTING)
    assert deeds_of(decision) == (StartVm(),)
    assert decision.reason == "host 1 has the highest score, 2400: start here"
    assert subjects_of(decision) == [
        "EngineDown-EngineStarting: host 1 has the highest score, 2400: start here"
    ]


def test_a_start_forgets_the_turn_and_any_vm_of_before() -> None:
    old = VmWatch(since=NOW - 900, was_good=True)
    scene = BEST.but(named_since=NOW - 50, refused_at=NOW - 50, watch=old)
    memory = scene.step().memory
    assert (memory.named_since, memory.refused_at, memory.vm) == (None, None, None)
    assert HEIR.step().memory.claimed_at is None
    assert memory.since == NOW


# One obstacle each, and nothing else: the best host does not start.
@pytest.mark.parametrize(
    ("obstacle", "why"),
    [
        ({"own_score": 0}, "host 2 has the highest score, 2000"),
        ({"own_score": 1999}, "host 2 has the highest score, 2000"),
        ({"own_score": 2401}, "host 2 has the highest score, 2000"),
        ({"own_score": 0, "scores": {2: 0}}, "no living host has a score above 0"),
        ({"engine_on": 3}, "the engine runs on host 3"),
        (
            {"own_score": 0, "scores": {2: 0}, "leases": LIVE},
            "no living host has a score above 0",
        ),
        (
            {"leases": LIVE},
            "the engine's lease is held by host 3, which is alive: its VM runs there",
        ),
        (
            {"leases": LeaseView(owner=3, owner_state=OwnerState.FAILING)},
            "the engine's lease is held by host 3, which is alive: its VM runs there",
        ),
        (
            {"leases": LeaseView(owner=3, owner_state=OwnerState.FAILING, free_at=NOW + 37)},
            "the engine's lease is held by host 3, free in 37 s",
        ),
        (
            {"began_at": NOW - 19.875},
            (
                "host 1 has the highest score, 2400; "
                "looking around until others have had time to show themselves"
            ),
        ),
        (
            {"refused_at": NOW - 9.875, "named_since": NOW - 100},
            "host 1 has the highest score, 2400; this host's turn is in 0 s",
        ),
    ],
    ids=str,
)
def test_one_obstacle_is_enough_and_is_said(obstacle: dict[str, Any], why: str) -> None:
    assert BEST.edge() == "best_host"
    decision = BEST.but(**obstacle).step()
    assert (decision.edge, decision.effects) == (None, ())
    assert decision.reason == why


def test_lesson_b25_a_host_that_cannot_act_never_starts() -> None:
    arriving = BEST.but(vm=VmState.ARRIVING, named_since=NOW - 100).step()
    assert (arriving.edge, arriving.effects) == (None, ())


@pytest.mark.parametrize(
    "leases",
    [
        LeaseView(),
        LeaseView(owner=1, owner_state=OwnerState.LIVE),
        LeaseView(owner=3, owner_state=OwnerState.FREE),
        LeaseView(owner=3, owner_state=OwnerState.FAILING, free_at=NOW),
    ],
    ids=["nobody's", "our own", "free again", "run out"],
)
def test_a_lease_that_can_be_had_is_no_obstacle(leases: LeaseView) -> None:
    assert BEST.but(leases=leases).edge() == "best_host"


@around
def test_lesson_b2_a_start_waits_for_the_moment_at_which_the_lease_is_free(
    late_s: float, is_due: bool
) -> None:
    free_at = NOW - late_s
    leases = LeaseView(owner=3, owner_state=OwnerState.FAILING, free_at=free_at)
    decision = BEST.but(leases=leases).step()
    assert (decision.edge is not None) is is_due
    assert decision.wake_at == (NOW if is_due else free_at)


@around
def test_a_new_agent_looks_around_before_it_starts_anything(late_s: float, is_due: bool) -> None:
    decision = BEST.but(began_at=NOW - 20 - late_s).step()
    assert (decision.edge is not None) is is_due
    assert is_due or decision.wake_at == NOW - late_s


@around
def test_after_a_refused_start_the_next_try_waits(late_s: float, is_due: bool) -> None:
    scene = BEST.but(refused_at=NOW - 10 - late_s, named_since=NOW - 100)
    assert (scene.edge() == "best_host") is is_due


@around
def test_equal_hosts_start_one_after_another(late_s: float, is_due: bool) -> None:
    first = EQUAL.but(own_id=1, scores={5: 2400, 7: 2400}, named_since=NOW)
    assert first.edge() == "best_host"
    third = EQUAL.but(own_id=7, scores={1: 2400, 5: 2400}, named_since=NOW - 8 - late_s)
    assert (third.edge() == "best_host") is is_due


CLAIM_S = TALK.lease_claim_s
RUNS_OUT = LeaseView(owner=9, owner_state=OwnerState.FAILING, free_at=NOW + CLAIM_S)
RAN_OUT = attrs.evolve(RUNS_OUT, free_at=NOW)
# Two equal hosts, and one that crashed with the lease.
HEIR = EQUAL.but(own_id=5, scores={1: 2400}, leases=RAN_OUT, claimed_at=NOW - CLAIM_S)


@around
def test_a_host_says_beforehand_that_it_takes_a_lease_that_runs_out(
    late_s: float, is_due: bool
) -> None:
    leases = attrs.evolve(RUNS_OUT, free_at=NOW + CLAIM_S - late_s)
    decision = HEIR.but(claimed_at=None, leases=leases).step()
    assert decision.edge is None
    assert decision.memory.claimed_at == (NOW if is_due else None)
    # It looks again at once, to publish that.
    assert decision.wake_at == (NOW if is_due else NOW - late_s)


def test_it_says_so_while_the_owners_record_still_looks_alive() -> None:
    scene = HEIR.but(claimed_at=None, scores={1: 2400, 9: 2400}, engine_on=9, leases=RUNS_OUT)
    decision = scene.step()
    assert (decision.placement.engine_on, decision.memory.claimed_at) == (9, NOW)
    assert 9 in decision.liveness.alive


def test_an_owner_whose_lease_has_run_out_is_dead_whatever_its_record_says() -> None:
    scene = HEIR.but(scores={1: 2400, 9: 2400}, engine_on=9)
    assert (
        scene.but(leases=attrs.evolve(RAN_OUT, free_at=NOW + 0.125)).step().wake_at == NOW + 0.125
    )
    decision = scene.step()
    assert 9 not in decision.liveness.alive
    assert deeds_of(decision) == (StartVm(),)


@pytest.mark.parametrize(
    "changes",
    [
        {"claims": frozenset({1})},
        {"scores": {1: 2000}},
        {"scores": {1: 2401}},
        {"engine_on": 1},
        {"began_at": NOW - 10},
        {"leases": attrs.evolve(RUNS_OUT, owner_state=OwnerState.LIVE, free_at=None)},
    ],
    ids=["another does", "no equal", "a better one", "engine up", "just began", "owner renews"],
)
def test_nothing_is_said_where_it_is_of_no_use(changes: dict[str, Any]) -> None:
    scene = HEIR.but(claimed_at=None, leases=RUNS_OUT)
    assert scene.step().memory.claimed_at == NOW
    assert scene.but(**changes).step().memory.claimed_at is None


@around
def test_who_claims_first_starts_at_the_moment_at_which_the_lease_is_free(
    late_s: float, is_due: bool
) -> None:
    free = HEIR.but(leases=attrs.evolve(RAN_OUT, free_at=NOW - late_s))
    assert (free.edge() == "best_host") is is_due
    late = HEIR.but(claimed_at=NOW - CLAIM_S - late_s, named_since=NOW - 100)
    assert (late.edge() == "best_host") is is_due


@around
def test_of_a_lease_that_runs_out_the_others_leave_the_first_host_the_time_to_be_seen(
    late_s: float, is_due: bool
) -> None:
    """Hosts see the last renewal up to 2 x io_timeout apart, and sanlock takes a second more."""
    for claimed_at in (None, NOW - 50):
        scene = HEIR.but(claims=frozenset({1}), claimed_at=claimed_at)
        second = scene.but(named_since=NOW - 4 - (2 * 10 + 1) - late_s)
        assert (second.edge() == "best_host") is is_due


def test_of_hosts_that_claim_at_once_the_lowest_id_starts() -> None:
    assert HEIR.but(own_id=1, scores={5: 2400}, claims=frozenset({5})).edge() == "best_host"
    assert HEIR.but(claims=frozenset({1})).edge() is None


@around
def test_many_equal_hosts_share_the_whole_time_of_the_stagger(late_s: float, is_due: bool) -> None:
    policy = attrs.evolve(TALK, stagger_s=4.0, stagger_total_s=10.0)
    scores = dict.fromkeys(range(1, 6), 2400)
    # The turn of the last of six equal hosts is 10 s after the first one's.
    sixth = EQUAL.but(policy=policy, own_id=6, scores=scores, named_since=NOW - 10 - late_s)
    assert (sixth.edge() == "best_host") is is_due


def test_the_turn_is_told_while_it_is_waited_for() -> None:
    decision = EQUAL.but(own_id=5, scores={2: 2400}, named_since=NOW).step()
    assert decision.edge is None
    assert decision.reason == "hosts 2, 5 share the highest score, 2400; this host's turn is in 4 s"
    assert decision.wake_at == NOW + 4


def test_the_wait_for_a_turn_begins_when_the_host_is_named_and_ends_when_it_is_not() -> None:
    begun = EQUAL.but(own_id=5).step()
    assert (begun.edge, begun.memory.named_since) == (None, NOW)
    fresh = BEST.but(leases=LIVE, named_since=NOW - 5)
    assert fresh.step().memory.named_since is None
    assert WATCHING.but(named_since=NOW - 5).step().memory.named_since is None
    refused = BEST.but(refused_at=NOW - 1).step().memory
    assert refused.named_since == NOW
    kept = BEST.but(refused_at=NOW - 1, named_since=NOW - 3).step().memory
    assert kept.named_since == NOW - 3


@around
@pytest.mark.parametrize(
    ("endings", "block_s"),
    [(3, 600), (4, 1200), (5, 2400), (6, 4800), (7, 7200), (500, 7200)],
)
def test_each_bad_ending_blocks_for_twice_as_long_and_none_for_ever(
    late_s: float, is_due: bool, endings: int, block_s: float
) -> None:
    scene = WATCHING.but(failed=FailedStarts(count=endings, last_at=NOW - block_s - late_s))
    decision = scene.step()
    assert (decision.edge is None) is is_due
    assert decision.memory.failed.count == endings


def test_two_bad_endings_do_not_block() -> None:
    assert WATCHING.but(failed=FailedStarts(count=2, last_at=NOW)).edge() is None


def test_a_block_says_how_long_it_lasts_and_an_alarm_tells_people() -> None:
    decision = WATCHING.but(failed=FailedStarts(count=3, last_at=NOW - 100)).step()
    assert decision.reason == "3 failed starts or bad endings: score 0 for 8 min 20 s"
    assert decision.memory.state is State.SCORE_BLOCKED
    assert subjects_of(decision) == []
    blocked = step(decision.memory, WATCHING.but(own_score=0).snapshot(), TALK)
    assert alarms_of(blocked) == ["bad-endings"]


def test_a_superseded_agent_stops() -> None:
    decision = WATCHING.but(is_superseded=True).step()
    assert deeds_of(decision) == (StopAgent("superseded by a newer release"),)
    assert decision.memory.state is State.UNKNOWN


def test_a_vm_that_is_found_is_adopted_and_its_watch_begins_as_not_started_here() -> None:
    decision = WATCHING.but(vm=VmState.UP, health=Health.BAD).step()
    assert decision.memory.vm == VmWatch(since=NOW, started_here=False, bad_since=NOW)
    assert deeds_of(decision) == ()


@pytest.mark.parametrize("outcome", list(Outcome))
def test_results_that_belong_to_another_state_change_nothing(outcome: Outcome) -> None:
    assert WATCHING.but(outcomes=(outcome,)).edge() is None


def test_lesson_b1_a_lone_host_restarts_its_vm_in_one_loop() -> None:
    """The VM died here a moment ago; nobody else is there."""
    lone = Scene(state=HERE, scores={}, since=NOW)
    assert lone.edge() == "best_host"


def test_a_host_that_could_be_better_is_waited_for_until_it_is_known_to_be_dead() -> None:
    scene = BEST.but(own_score=1000, scores={})
    memory = scene.memory()._replace(
        sightings=BEST.but(scores={2: 2400}).memory().sightings,
    )
    pending = {2: memory.sightings[2]._replace(grew_at=None, since=NOW - 59.875)}
    decision = step(memory._replace(sightings=pending), scene.snapshot(), TALK)
    assert decision.edge is None
    assert "host 2 could be better" in decision.reason
    assert decision.wake_at == NOW + 0.125
    pending = {2: pending[2]._replace(since=NOW - 60)}
    decision = step(memory._replace(sightings=pending), scene.snapshot(), TALK)
    assert deeds_of(decision) == (StartVm(),)
