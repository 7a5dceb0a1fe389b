"""`EngineStarting`: what becomes of a start, and which of its ends is a failed start."""

from __future__ import annotations

from typing import Any

import pytest

from he_fsm import TABLE, Health, LeaseView, State, VmState
from he_fsm.effects import PowerOffVm, ShutDownVm
from he_fsm.memory import FailedStarts, VmWatch
from he_fsm.snapshot import Outcome
from tests.scenes import NOW, Scene, around, deeds_of, subjects_of

HERE = State.ENGINE_STARTING
STARTED = VmWatch(since=NOW - 100, started_here=True)
FOUND = VmWatch(since=NOW - 100, started_here=False)
# The VM that this host started comes up.
STARTING = Scene(state=HERE, vm=VmState.STARTING, health=Health.BAD, watch=STARTED)
REFUSED, FAILED = (Outcome.START_REFUSED,), (Outcome.START_FAILED,)


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
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
    ]


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
    assert (decision.edge, decision.effects) == (None, ())


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


@around
def test_lesson_0_failed_starts_add_up_until_they_are_forgotten(
    late_s: float, is_due: bool
) -> None:
    before = FailedStarts(count=2, last_at=NOW - 600 - late_s)
    decision = STARTING.but(vm=VmState.ABSENT, failed=before).step()
    assert decision.memory.failed.count == (1 if is_due else 3)
    assert decision.memory.state is (State.ENGINE_DOWN if is_due else State.SCORE_BLOCKED)


def test_a_vm_that_this_host_did_not_start_is_no_failed_start_of_it() -> None:
    decision = STARTING.but(vm=VmState.ABSENT, watch=FOUND).step()
    assert decision.memory.failed == FailedStarts()
    assert decision.effects == ()


def test_success_forgets_failed_starts() -> None:
    decision = STARTING.but(vm=VmState.UP, health=Health.GOOD, failed=TWICE).step()
    assert decision.memory.state is State.ENGINE_UP
    assert decision.memory.failed == FailedStarts()
    assert decision.memory.vm == VmWatch(since=NOW - 100, started_here=True, was_good=True)
    assert deeds_of(decision) == ()


def test_a_vm_that_appears_in_this_state_was_started_here() -> None:
    decision = STARTING.but(watch=None).step()
    assert decision.memory.vm == VmWatch(since=NOW, started_here=True, bad_since=NOW)


@around
@pytest.mark.parametrize("vm", [VmState.STARTING, VmState.UP, VmState.STOPPING, VmState.PAUSED])
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
        assert decision.memory.failed == FailedStarts(count=1, last_at=NOW)
        assert decision.memory.state is State.ENGINE_STOPPING
        assert "not healthy 600 s after the start" in decision.reason
    else:
        assert decision.wake_at <= NOW - late_s


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
        assert decision.memory.failed == FailedStarts()


def test_a_superseded_agent_shuts_its_vm_down() -> None:
    decision = STARTING.but(is_superseded=True).step()
    assert deeds_of(decision) == (ShutDownVm(),)
    assert decision.memory.state is State.ENGINE_STOPPING
    assert decision.memory.failed == FailedStarts()
