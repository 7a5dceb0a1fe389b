"""A VM that is to arrive here by migration, and does not come."""

from __future__ import annotations

import pytest

from he_fsm import LeaseView, State, VmState
from he_fsm.effects import GiveUpArrival
from he_fsm.policy import TALK
from he_fsm.remembered import FailedStarts
from he_fsm.snapshot import OwnerState
from he_fsm.testing.scenes import NOW, Scene, around, deeds_of, subjects_of

LIMIT_S = TALK.arrival_limit_s
SETTLED_S = TALK.gap_s
COMING = Scene(
    state=State.ENGINE_DOWN,
    vm=VmState.ARRIVING,
    arriving_since=NOW - SETTLED_S,
    engine_on=2,
    leases=LeaseView(owner=2, owner_state=OwnerState.LIVE),
)
WAITING = {
    "down": COMING,
    "out": COMING.but(state=State.LOCAL_MAINTENANCE, own_score=0, local_maintenance=True),
    "blocked": COMING.but(
        state=State.SCORE_BLOCKED, own_score=0, failed=FailedStarts(count=3, last_at=NOW - 10)
    ),
}
# Nobody has the engine any more, and the lease of the host that had it can be acquired.
LOST = COMING.but(
    engine_on=None,
    leases=LeaseView(
        owner=9, owner_state=OwnerState.FAILING, free_at=NOW, dead_hosts=frozenset([9])
    ),
)


@pytest.mark.parametrize("scene", WAITING.values(), ids=WAITING)
@around
def test_an_arrival_has_a_limit(scene: Scene, late_s: float, is_due: bool) -> None:
    decision = scene.but(arriving_since=NOW - LIMIT_S - late_s).step()
    assert deeds_of(decision) == ((GiveUpArrival(),) if is_due else ())
    assert decision.memory.state is scene.state


@around
def test_a_dead_source_is_not_waited_for(late_s: float, is_due: bool) -> None:
    decision = LOST.but(arriving_since=NOW - SETTLED_S - late_s).step()
    assert deeds_of(decision) == ((GiveUpArrival(),) if is_due else ())


@pytest.mark.parametrize(
    "leases",
    [
        LeaseView(owner=9, owner_state=OwnerState.LIVE),
        LeaseView(owner=9, owner_state=OwnerState.FAILING, free_at=NOW + 0.125),
    ],
    ids=["alive", "not yet dead"],
)
def test_a_source_that_may_go_on_is_waited_for(leases: LeaseView) -> None:
    decision = LOST.but(leases=leases).step()
    assert (decision.edge, deeds_of(decision)) == (None, ())


def test_a_vm_between_two_leases_is_waited_for() -> None:
    # The source has put the lease down, and its record still says that it has the VM.
    decision = COMING.but(leases=LeaseView()).step()
    assert (decision.edge, deeds_of(decision)) == (None, ())


def test_people_hear_why() -> None:
    late = COMING.but(arriving_since=NOW - LIMIT_S).step()
    assert subjects_of(late) == [
        "EngineDown-EngineDown: the VM that was to arrive here has not come within 360 s"
    ]
    lost = LOST.step()
    assert subjects_of(lost) == [
        "EngineDown-EngineDown: the VM that was to arrive here does not come: its source is dead"
    ]


def test_it_is_ordered_again_while_the_arrival_does_not_end() -> None:
    first = LOST.step()
    assert first.memory.arriving_since == NOW
    again = LOST.but(arriving_since=first.memory.arriving_since)
    assert deeds_of(again.step()) == ()
    assert again.step().wake_at <= NOW + SETTLED_S


def test_the_wait_begins_with_the_first_look_and_ends_with_the_arrival() -> None:
    assert COMING.but(arriving_since=None).step().memory.arriving_since == NOW
    assert COMING.but(vm=VmState.UP).step().memory.arriving_since is None
    assert COMING.but(vm=VmState.ABSENT).step().memory.arriving_since is None


def test_time_in_which_nobody_looked_is_not_waited() -> None:
    scene = COMING.but(arriving_since=NOW - LIMIT_S, looked_at=NOW - 100)
    assert scene.step().memory.arriving_since == NOW - LIMIT_S + 100


def test_in_global_maintenance_an_arrival_is_left_alone() -> None:
    hands_off = COMING.but(
        state=State.GLOBAL_MAINTENANCE,
        global_maintenance=True,
        remembered_global=True,
        arriving_since=NOW - 10 * LIMIT_S,
    )
    assert deeds_of(hands_off.step()) == ()
