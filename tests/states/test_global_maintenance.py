"""`GlobalMaintenance`: hands off, whatever happens."""

from __future__ import annotations

from typing import Any, Optional

import attrs
import pytest

from he_fsm import OVIRT, TABLE, TALK, Health, LeaseView, Policy, State, VmState, step
from he_fsm.memory import FailedStarts, Moves, VmWatch
from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.record import ProblemWord, SlotProblem
from tests.scenes import NOW, Scene

HERE = State.GLOBAL_MAINTENANCE
SET = Scene(state=HERE, global_maintenance=True, remembered_global=True)


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
        ("facts_missing", State.UNKNOWN),
        ("maintenance_over", State.UNKNOWN),
    ]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"vm": VmState.UP, "health": Health.BAD, "watch": VmWatch(since=0.0, bad_since=0.0)},
        {"vm": VmState.PAUSED, "watch": VmWatch(since=0.0, paused_since=0.0)},
        {"vm": VmState.LEAVING},
        {"local_maintenance": True, "vm": VmState.UP},
        {"is_superseded": True},
        {"is_superseded": True, "vm": VmState.UP},
        {"failed": FailedStarts(count=3, last_at=NOW)},
        {"own_score": 0, "vm": VmState.UP, "better_since": 0.0, "moves": Moves()},
        {"leases": LeaseView(owner=3)},
        {"global_maintenance": None},
    ],
    ids=str,
)
def test_hands_off_whatever_happens(facts: dict[str, Any]) -> None:
    decision = SET.but(**facts).step()
    assert (decision.edge, decision.effects) == (None, ())
    assert decision.reason == "global maintenance is set"


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"can_read": False}, "facts_missing"),
        ({"leases": None}, "facts_missing"),
        ({"leases": LeaseView(joined=False)}, "facts_missing"),
        ({"vm": VmState.UNKNOWN}, "facts_missing"),
        ({"vm": VmState.UNKNOWN, "global_maintenance": False}, "facts_missing"),
        ({"global_maintenance": False}, "maintenance_over"),
    ],
    ids=str,
)
def test_each_row_is_taken_for_its_reason(facts: dict[str, Any], name: str) -> None:
    decision = SET.but(**facts).step()
    assert decision.edge is not None
    assert (decision.edge.name, decision.memory.state) == (name, State.UNKNOWN)
    assert decision.effects == ()


def test_what_the_vm_went_through_meanwhile_counts_for_nothing() -> None:
    watch = VmWatch(since=0.0, was_good=True, bad_since=5.0, paused_since=7.0, power_off_at=6.0)
    scene = SET.but(vm=VmState.PAUSED, watch=watch, global_maintenance=False)
    assert scene.step().memory.vm == VmWatch(
        since=NOW, was_good=True, bad_since=NOW, paused_since=NOW, power_off_at=None
    )
    good = SET.but(vm=VmState.UP, health=Health.GOOD, watch=watch, global_maintenance=False)
    assert good.step().memory.vm == VmWatch(since=NOW, was_good=True)
    assert SET.but(global_maintenance=False).step().memory.vm is None


def with_slot_0(
    problem: Optional[SlotProblem], remembered: Optional[bool], policy: Policy, state: State
) -> Any:
    scene = Scene(state=state, remembered_global=remembered, policy=policy)
    snapshot = scene.snapshot()
    assert snapshot.whiteboard is not None
    board = attrs.evolve(snapshot.whiteboard, global_block=GlobalBlock(None, problem))
    return step(scene.memory(), attrs.evolve(snapshot, whiteboard=board), policy)


def damage(word: ProblemWord) -> SlotProblem:
    return SlotProblem(host_id=0, word=word, detail="damaged by this test")


@pytest.mark.parametrize("word", list(ProblemWord))
@pytest.mark.parametrize("remembered", [True, False])
def test_lesson_b11_the_last_good_value_of_slot_0_holds(
    word: ProblemWord, remembered: bool
) -> None:
    decision = with_slot_0(damage(word), remembered, TALK, HERE)
    assert decision.memory.global_maintenance is remembered
    assert decision.memory.global_problem is word
    assert (decision.edge is None) is remembered


@pytest.mark.parametrize(
    ("problem", "word"),
    [
        (damage(ProblemWord.GARBAGE), "garbage"),
        (damage(ProblemWord.EMPTY), "empty"),
        (None, "garbage"),
    ],
)
def test_an_agent_that_never_read_slot_0_acts_as_in_maintenance_and_says_so(
    problem: Optional[SlotProblem], word: str
) -> None:
    decision = with_slot_0(problem, None, TALK, HERE)
    assert (decision.edge, decision.effects) == (None, ())
    assert decision.memory.global_maintenance is None
    assert decision.reason == (f"slot 0 has never been readable ({word}): as in global maintenance")
    from_down = with_slot_0(problem, None, TALK, State.ENGINE_DOWN)
    assert from_down.memory.state is HERE
    assert from_down.reason == decision.reason


def test_where_ovirt_never_wrote_slot_0_it_means_no_maintenance() -> None:
    empty = with_slot_0(damage(ProblemWord.EMPTY), None, OVIRT, HERE)
    assert empty.memory.global_maintenance is False
    garbage = with_slot_0(damage(ProblemWord.GARBAGE), None, OVIRT, HERE)
    assert garbage.memory.global_maintenance is None


def test_a_flag_that_was_set_is_not_ended_by_emptying_slot_0() -> None:
    decision = with_slot_0(damage(ProblemWord.EMPTY), True, OVIRT, HERE)
    assert decision.memory.global_maintenance is True


def test_a_value_that_was_never_read_at_all_is_named_so() -> None:
    scene = Scene(state=State.ENGINE_DOWN, remembered_global=None, can_read=False)
    view_reason = scene.but(state=HERE, vm=VmState.ABSENT).step()
    assert view_reason.edge is not None
    assert view_reason.edge.name == "facts_missing"
    in_maintenance = Scene(
        state=State.LOCAL_MAINTENANCE,
        remembered_global=None,
        can_read=False,
        local_maintenance=True,
    )
    assert in_maintenance.step().reason == (
        "slot 0 has never been readable (never read): as in global maintenance"
    )


@pytest.mark.parametrize("state", [state for state in State if state is not HERE])
def test_every_state_takes_its_hands_off_at_once(state: State) -> None:
    vm = VmState.ABSENT if state in {State.LOCAL_MAINTENANCE, State.SCORE_BLOCKED} else VmState.UP
    scene = Scene(state=state, vm=vm, local_maintenance=True, global_maintenance=True)
    decision = scene.step()
    assert (decision.memory.state, decision.effects) == (HERE, ())
