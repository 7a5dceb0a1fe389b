"""`GlobalMaintenance`: hands off, whatever happens."""

from __future__ import annotations

from typing import Any, Optional

import attrs
import pytest

from he_fsm import OVIRT, TABLE, TALK, Health, LeaseView, LocalVm, Policy, State, VmState, step
from he_fsm.effects import EndGlobal, WriteGlobal
from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.record import ProblemWord, SlotProblem
from he_fsm.remembered import FailedStarts, Moves, VmWatch
from he_fsm.testing.scenes import NOW, Scene, alarms_of, around, deeds_of, subjects_of
from he_fsm.tick import engine_status

HERE = State.GLOBAL_MAINTENANCE
SET = Scene(state=HERE, global_maintenance=True, remembered_global=True)


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
        ("lease_elsewhere", State.ENGINE_STOPPING),
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
    assert (decision.edge, deeds_of(decision)) == (None, ())
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
    assert deeds_of(decision) == ()


def test_what_the_vm_went_through_meanwhile_counts_for_nothing() -> None:
    watch = VmWatch(
        since=0.0,
        was_good=True,
        bad_since=5.0,
        bad_before_s=50.0,
        paused_since=7.0,
        paused_before_s=70.0,
        power_off_at=6.0,
    )
    over = SET.but(vm=VmState.UP, health=Health.BAD, watch=watch, global_maintenance=False)
    assert over.step().memory.vm == VmWatch(since=0.0, was_good=True, bad_since=NOW)
    paused = over.but(vm=VmState.PAUSED)
    assert paused.step().memory.vm == VmWatch(since=0.0, was_good=True, paused_since=NOW)
    good = over.but(health=Health.GOOD)
    assert good.step().memory.vm == VmWatch(since=0.0, was_good=True)
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
    assert (decision.edge, deeds_of(decision)) == (None, ())
    assert alarms_of(decision) == ["slot-0"]
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
    assert (decision.memory.state, deeds_of(decision)) == (HERE, ())


# Host 3 of three runs the engine; host 1 has the lowest id.
SEEN_BY_1 = Scene(state=State.ENGINE_DOWN, engine_on=3)
ON_3 = Scene(
    state=State.ENGINE_UP,
    own_id=3,
    scores={1: 2400, 2: 2400},
    vm=VmState.UP,
    health=Health.GOOD,
    watch=VmWatch(since=NOW - 900, was_good=True),
)
NOWHERE = {"engine_on": None, "vm": VmState.ABSENT, "watch": None}


@pytest.mark.parametrize(
    ("scene", "tells"),
    [
        # The lowest id that lives tells, wherever the engine is or was.
        (SEEN_BY_1, True),
        (ON_3, False),
        (ON_3.but(scores={}), True),
        (SEEN_BY_1.but(**NOWHERE, moves=Moves(seen_on=3)), True),
        (SEEN_BY_1.but(**NOWHERE, own_id=2, scores={1: 2400, 3: 2400}), False),
        (SEEN_BY_1.but(**NOWHERE, own_id=2, scores={3: 2400}, moves=Moves(seen_on=3)), True),
    ],
)
def test_people_are_told_by_one_host_that_global_maintenance_is_set_and_that_it_is_over(
    scene: Scene, tells: bool
) -> None:
    begun = scene.but(global_maintenance=True).step()
    over = scene.but(state=HERE, remembered_global=True).step()
    assert (begun.memory.state, over.memory.state) == (HERE, State.UNKNOWN)
    for decision in (begun, over):
        assert len(subjects_of(decision)) == (1 if tells else 0)


def test_a_host_whose_hypervisor_is_silent_is_not_the_one_that_tells() -> None:
    """It sees no edge and no alarm: its own trouble keeps it from deciding anything."""
    scene = SEEN_BY_1.but(**NOWHERE, own_id=2, scores={1: 0, 3: 2400}, global_maintenance=True)
    lost = engine_status(LocalVm(VmState.UNKNOWN))
    memory, snapshot = scene.memory(), scene.snapshot()
    assert snapshot.whiteboard is not None
    slots = {
        host_id: attrs.evolve(content, engine=lost if host_id == 1 else content.engine)
        for host_id, content in snapshot.whiteboard.records.items()
    }
    board = attrs.evolve(snapshot.whiteboard, slots=slots)
    assert subjects_of(step(memory, snapshot, TALK)) == []
    assert len(subjects_of(step(memory, attrs.evolve(snapshot, whiteboard=board), TALK))) == 1


ENDS = Scene(
    state=HERE, global_maintenance=True, remembered_global=True, global_until=int(NOW), own_id=1
)


@around
def test_the_first_host_ends_a_maintenance_whose_time_is_over(late_s: float, is_due: bool) -> None:
    decision = ENDS.step(NOW + late_s)
    assert deeds_of(decision) == ((EndGlobal(int(NOW)),) if is_due else ())
    if not is_due:
        assert decision.wake_at == NOW
        assert decision.reason == "global maintenance is set; 0 s left until it ends by itself"


def test_each_further_host_waits_a_loop_longer() -> None:
    third = ENDS.but(own_id=3, scores={1: 2400, 2: 2400})
    assert deeds_of(third.step(NOW + 2 * TALK.loop_s - 0.1)) == ()
    assert deeds_of(third.step(NOW + 2 * TALK.loop_s)) == (EndGlobal(int(NOW)),)


def test_its_end_is_ordered_again_a_loop_later_if_it_could_not_be_written() -> None:
    first = ENDS.step()
    again = step(first.memory, ENDS.snapshot(NOW + 1), TALK)
    assert deeds_of(again) == ()
    later = step(first.memory, ENDS.snapshot(NOW + TALK.loop_s), TALK)
    assert deeds_of(later) == (EndGlobal(int(NOW)),)


@pytest.mark.parametrize(
    "facts",
    [
        {"global_until": None},
        {"can_read": False},
        {"leases": LeaseView(joined=False)},
        {"global_maintenance": None},
    ],
    ids=str,
)
def test_what_is_not_known_to_be_over_is_not_ended(facts: dict[str, Any]) -> None:
    decision = ENDS.but(**facts).step(NOW + 5)
    assert not any(isinstance(effect, EndGlobal) for effect in decision.effects)


def test_another_end_that_somebody_has_set_counts() -> None:
    before = ENDS.step(NOW - 100).memory
    longer = ENDS.but(global_until=int(NOW) + 500)
    decision = step(before, longer.snapshot(NOW + 5), TALK)
    assert deeds_of(decision) == ()
    assert decision.memory.global_until == int(NOW) + 500


def test_a_damaged_slot_is_written_again_with_its_end() -> None:
    before = ENDS.but(global_until=int(NOW) + 900).step(NOW - 100).memory
    damaged = ENDS.but(global_maintenance=None, global_until=None)
    decision = step(before, damaged.snapshot(NOW), TALK)
    healed = step(decision.memory, damaged.snapshot(NOW + 60), TALK)
    assert WriteGlobal(True, int(NOW) + 900) in healed.effects
