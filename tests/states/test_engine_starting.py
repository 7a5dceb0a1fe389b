"""`EngineStarting`: what becomes of a start, and which of its ends is a failed start."""

from __future__ import annotations

from typing import Any, Optional

import attrs
import pytest

from he_fsm import TABLE, TALK, Health, LeaseView, Policy, State, VmState
from he_fsm.effects import MigrateVm, PowerOffVm, ShutDownVm
from he_fsm.remembered import FailedStarts, VmWatch
from he_fsm.snapshot import Outcome, OwnerState
from he_fsm.testing.scenes import NOW, Scene, around, deeds_of, subjects_of

HERE = State.ENGINE_STARTING
STARTED = VmWatch(since=NOW - 100, started_here=True)
FOUND = VmWatch(since=NOW - 100, started_here=False)
# The VM that this host started comes up.
STARTING = Scene(state=HERE, vm=VmState.STARTING, health=Health.BAD, watch=STARTED)
REFUSED, FAILED = (Outcome.START_REFUSED,), (Outcome.START_FAILED,)


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
        ("lease_elsewhere", State.ENGINE_STOPPING),
        ("facts_missing", State.UNKNOWN),
        ("global_maintenance", State.GLOBAL_MAINTENANCE),
        ("superseded", State.ENGINE_STOPPING),
        ("lease_held", State.ENGINE_DOWN),
        ("last_start_failed", State.SCORE_BLOCKED),
        ("start_failed", State.ENGINE_DOWN),
        ("vm_gone", State.ENGINE_DOWN),
        ("vm_leaving", State.ENGINE_MIGRATING_AWAY),
        ("health_good", State.ENGINE_UP),
        ("paused", State.ENGINE_STOPPING),
        ("start_timed_out", State.ENGINE_STOPPING),
        ("shutdown", State.ENGINE_STOPPING),
        ("maintenance_set", State.ENGINE_MIGRATING_AWAY),
        ("maintenance_restart", State.ENGINE_STOPPING),
    ]


@pytest.mark.parametrize(
    ("owner_state", "edge"), [(OwnerState.LIVE, "lease_elsewhere"), (OwnerState.FAILING, None)]
)
def test_a_vm_that_starts_is_ended_where_somebody_who_lives_has_its_lease(
    owner_state: OwnerState, edge: Optional[str]
) -> None:
    """A dead host has it until the start has got it."""
    elsewhere = LeaseView(owner=2, owner_state=owner_state, free_at=NOW - 10)
    assert STARTING.but(leases=elsewhere).edge() == edge
    young = attrs.evolve(STARTED, since=NOW - 9)
    assert STARTING.but(leases=elsewhere, watch=young).edge() is None


def test_a_vm_that_comes_up_is_waited_for() -> None:
    decision = STARTING.step()
    assert (decision.edge, decision.effects) == (None, ())
    assert decision.reason == "waiting for the health page to become good"


TWICE = FailedStarts(count=2, last_at=NOW - 300)
GOOD = VmWatch(since=NOW - 100, started_here=True, was_good=True)


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"can_read": False}, "facts_missing"),
        ({"leases": LeaseView(joined=False)}, "facts_missing"),
        ({"vm": VmState.UNKNOWN}, "facts_missing"),
        ({"global_maintenance": True}, "global_maintenance"),
        ({"is_superseded": True}, "superseded"),
        ({"vm": VmState.ABSENT, "outcomes": REFUSED}, "lease_held"),
        ({"vm": VmState.ABSENT, "outcomes": REFUSED, "watch": None}, "lease_held"),
        ({"vm": VmState.ABSENT, "failed": TWICE}, "last_start_failed"),
        ({"vm": VmState.ABSENT, "outcomes": FAILED, "failed": TWICE}, "last_start_failed"),
        ({"vm": VmState.ABSENT}, "start_failed"),
        ({"vm": VmState.ABSENT, "failed": FailedStarts(count=1, last_at=NOW)}, "start_failed"),
        ({"vm": VmState.ABSENT, "outcomes": FAILED}, "start_failed"),
        ({"vm": VmState.ABSENT, "outcomes": FAILED, "watch": None}, "start_failed"),
        ({"vm": VmState.ABSENT, "watch": FOUND}, "vm_gone"),
        ({"vm": VmState.ABSENT, "watch": None}, "vm_gone"),
        ({"vm": VmState.ARRIVING, "watch": None}, "vm_gone"),
        ({"vm": VmState.LEAVING}, "vm_leaving"),
        ({"vm": VmState.UP, "health": Health.GOOD}, "health_good"),
        ({"vm": VmState.UP, "health": Health.UNKNOWN, "watch": GOOD}, "health_good"),
    ],
    ids=str,
)
def test_each_row_is_taken_for_its_reason(facts: dict[str, Any], name: str) -> None:
    assert STARTING.but(**facts).edge() == name


@pytest.mark.parametrize(
    "facts",
    [
        {"outcomes": REFUSED},
        {"outcomes": FAILED},
        {"vm": VmState.UP},
        {"vm": VmState.UP, "health": Health.UNKNOWN},
        {"vm": VmState.PAUSED, "health": Health.GOOD},
        {"vm": VmState.STARTING, "health": Health.GOOD},
        {"vm": VmState.STOPPING},
        {"local_maintenance": True},
        {"failed": FailedStarts(count=3, last_at=NOW)},
        {"own_score": 0},
        {"engine_on": 3},
    ],
    ids=str,
)
def test_nothing_else_ends_a_start(facts: dict[str, Any]) -> None:
    decision = STARTING.but(**facts).step()
    assert (decision.edge, deeds_of(decision)) == (None, ())


@pytest.mark.parametrize(
    ("facts", "winner"),
    [
        ({"vm": VmState.ABSENT, "outcomes": REFUSED, "can_read": False}, "facts_missing"),
        ({"is_superseded": True, "global_maintenance": True}, "global_maintenance"),
        ({"vm": VmState.UP, "health": Health.GOOD, "is_superseded": True}, "superseded"),
        ({"vm": VmState.ABSENT, "outcomes": (*FAILED, *REFUSED)}, "lease_held"),
        ({"vm": VmState.ABSENT, "outcomes": REFUSED, "failed": TWICE}, "lease_held"),
        ({"vm": VmState.ABSENT, "is_superseded": True}, "start_failed"),
        (
            {"vm": VmState.UP, "health": Health.GOOD, "watch": VmWatch(since=NOW - 5000)},
            "health_good",
        ),
        (
            {"vm": VmState.PAUSED, "watch": VmWatch(since=NOW - 5000, paused_since=NOW - 60)},
            "paused",
        ),
    ],
    ids=str,
)
def test_of_two_reasons_the_earlier_row_wins(facts: dict[str, Any], winner: str) -> None:
    assert STARTING.but(**facts).edge() == winner


def test_lesson_b2_a_refused_start_is_no_failed_start_and_the_next_one_waits() -> None:
    decision = STARTING.but(vm=VmState.ABSENT, outcomes=REFUSED, watch=None).step()
    assert decision.edge is not None
    assert not decision.edge.counts_failed_start
    assert decision.reason == "start refused: told by the test; no failed start"
    assert decision.memory.failed == FailedStarts()
    assert (decision.memory.refused_at, decision.memory.vm) == (NOW, None)
    assert decision.effects == ()


def test_a_vm_that_dies_before_it_was_ever_good_is_a_failed_start() -> None:
    decision = STARTING.but(vm=VmState.ABSENT).step()
    assert decision.memory.failed == FailedStarts(count=1, last_at=NOW)
    assert decision.memory.vm is None
    assert decision.reason == "failed start 1: the VM died before it was ever good"
    assert subjects_of(decision) == [f"EngineStarting-EngineDown: {decision.reason}"]
    assert deeds_of(decision) == ()


def test_a_start_that_failed_says_how() -> None:
    decision = STARTING.but(vm=VmState.ABSENT, outcomes=FAILED, failed=TWICE).step()
    assert decision.reason == "failed start 3: told by the test"
    assert decision.memory.failed == FailedStarts(count=3, last_at=NOW)
    assert decision.memory.state is State.SCORE_BLOCKED


@pytest.mark.parametrize("ago_s", [1, 600, 100_000])
def test_lesson_0_failed_starts_add_up_however_long_ago_they_were(ago_s: float) -> None:
    before = FailedStarts(count=2, last_at=NOW - ago_s)
    decision = STARTING.but(vm=VmState.ABSENT, failed=before).step()
    assert decision.memory.failed == FailedStarts(count=3, last_at=NOW)
    assert decision.memory.state is State.SCORE_BLOCKED


def test_a_vm_that_came_from_elsewhere_and_dies_is_a_bad_ending_and_no_failed_start() -> None:
    decision = STARTING.but(vm=VmState.ABSENT, watch=FOUND).step()
    assert decision.edge is not None
    assert not decision.edge.counts_failed_start
    assert decision.memory.failed == FailedStarts(count=1, last_at=NOW)
    assert len(subjects_of(decision)) == 1
    assert deeds_of(decision) == ()


MOVED: list[dict[str, Any]] = [
    {"outcomes": (Outcome.MIGRATION_DONE,)},
    # Nobody saw it leave; its lease is another's.
    {"leases": LeaseView(owner=2, owner_state=OwnerState.LIVE)},
]


@pytest.mark.parametrize("facts", MOVED, ids=str)
@pytest.mark.parametrize("watch", [STARTED, FOUND])
def test_a_vm_that_has_moved_on_ended_neither_badly_nor_failed(
    facts: dict[str, Any], watch: VmWatch
) -> None:
    decision = STARTING.but(vm=VmState.ABSENT, watch=watch, **facts).step()
    assert decision.memory.state is State.ENGINE_DOWN
    assert decision.memory.failed == FailedStarts()


def test_one_good_page_forgets_nothing() -> None:
    decision = STARTING.but(vm=VmState.UP, health=Health.GOOD, failed=TWICE).step()
    assert decision.memory.state is State.ENGINE_UP
    assert decision.memory.failed == TWICE
    assert decision.memory.vm == VmWatch(since=NOW - 100, started_here=True, was_good=True)
    assert deeds_of(decision) == ()


def test_a_vm_that_appears_in_this_state_was_started_here() -> None:
    decision = STARTING.but(watch=None).step()
    assert decision.memory.vm == VmWatch(since=NOW, started_here=True, bad_since=NOW)


@around
@pytest.mark.parametrize("vm", [VmState.STARTING, VmState.UP, VmState.STOPPING])
def test_lesson_b4_a_booting_vm_is_left_alone_until_its_time_is_up(
    late_s: float, is_due: bool, vm: VmState
) -> None:
    watch = VmWatch(since=NOW - 600 - late_s, started_here=True, bad_since=NOW - 600 - late_s)
    decision = STARTING.but(vm=vm, watch=watch).step()
    assert (decision.edge is not None) is is_due
    if is_due:
        assert decision.edge is not None
        assert decision.edge.name == "start_timed_out"
        assert deeds_of(decision) == (ShutDownVm(),)
        assert decision.memory.failed == FailedStarts(count=1, last_at=NOW, time_outs=1)
        assert decision.memory.state is State.ENGINE_STOPPING
        assert decision.reason == (
            "not healthy 600 s after the start: shut down; that is a failed start, "
            "and the next one here may take 1200 s"
        )
    else:
        assert decision.wake_at <= NOW - late_s


@around
@pytest.mark.parametrize(("time_outs", "limit_s"), [(0, 600), (1, 1200), (3, 4800), (4, 7200)])
def test_each_next_start_may_take_twice_as_long_up_to_a_bound(
    late_s: float, is_due: bool, time_outs: int, limit_s: float
) -> None:
    """A limit that was too short for the engine would be too short for ever."""
    began_at = NOW - limit_s - late_s
    watch = VmWatch(since=began_at, started_here=True, bad_since=began_at)
    failed = FailedStarts(count=time_outs, last_at=NOW - 9000, time_outs=time_outs)
    decision = STARTING.but(vm=VmState.UP, watch=watch, failed=failed).step()
    assert (decision.edge is not None) is is_due
    assert is_due or decision.wake_at <= NOW - late_s


@pytest.mark.parametrize("health", list(Health))
def test_a_start_whose_vm_is_paused_is_judged_by_its_pause_alone(health: Health) -> None:
    watch = VmWatch(since=NOW - 5000, started_here=True, bad_since=NOW - 5000)
    assert STARTING.but(vm=VmState.PAUSED, health=health, watch=watch).edge() is None


def test_a_start_of_which_no_page_can_tell_is_left_alone() -> None:
    """The page is silent, and this host can reach nothing: that says nothing about the engine."""
    watch = VmWatch(since=NOW - 5000, started_here=True, bad_since=NOW - 100)
    decision = STARTING.but(vm=VmState.UP, health=Health.UNKNOWN, watch=watch).step()
    assert decision.edge is None
    assert decision.memory.vm == attrs.evolve(watch, bad_since=None, bad_before_s=90.0)


@around
def test_lesson_b21_a_vm_that_is_paused_too_long_is_powered_off(
    late_s: float, is_due: bool
) -> None:
    watch = VmWatch(since=NOW - 100, started_here=True, paused_since=NOW - 60 - late_s)
    decision = STARTING.but(vm=VmState.PAUSED, watch=watch).step()
    assert (decision.edge is not None) is is_due
    if is_due:
        assert deeds_of(decision) == (PowerOffVm(),)
        assert decision.reason == "paused for 60 s: power off, start again by score"
        assert decision.memory.vm is not None
        assert decision.memory.vm.power_off_at == NOW
        assert decision.memory.failed == FailedStarts(count=1, last_at=NOW)


TAKEN_OUT = STARTING.but(vm=VmState.UP, own_score=0, local_maintenance=True)
BY_RESTART = attrs.evolve(TALK, move_by_restart=True)


def test_a_host_on_which_the_engine_still_starts_is_emptied_too() -> None:
    decision = TAKEN_OUT.step()
    assert decision.edge is not None
    assert decision.edge.name == "maintenance_set"
    assert deeds_of(decision) == (MigrateVm(2),)
    assert decision.memory.state is State.ENGINE_MIGRATING_AWAY


@pytest.mark.parametrize("vm", [VmState.STARTING, VmState.UP])
def test_where_the_policy_moves_by_a_restart_a_start_is_ended_here_and_begun_there(
    vm: VmState,
) -> None:
    decision = TAKEN_OUT.but(vm=vm, policy=BY_RESTART).step()
    assert decision.edge is not None
    assert decision.edge.name == "maintenance_restart"
    assert deeds_of(decision) == (ShutDownVm(),)
    assert decision.memory.state is State.ENGINE_STOPPING
    assert decision.memory.failed == FailedStarts()


@pytest.mark.parametrize("policy", [TALK, BY_RESTART])
def test_a_start_goes_on_where_there_is_no_other_host(policy: Policy) -> None:
    decision = TAKEN_OUT.but(scores={2: 0, 3: 0}, policy=policy).step()
    assert decision.edge is None
    assert decision.reason == (
        "local maintenance is set, but there is no host to go to: the engine stays"
    )


def test_a_superseded_agent_shuts_its_vm_down() -> None:
    decision = STARTING.but(is_superseded=True).step()
    assert deeds_of(decision) == (ShutDownVm(),)
    assert decision.memory.state is State.ENGINE_STOPPING
    assert decision.memory.failed == FailedStarts()
