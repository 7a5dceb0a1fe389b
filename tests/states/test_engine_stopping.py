"""`EngineStopping`: the guest has its time, then the power goes, as often as it takes."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from he_fsm import TABLE, Health, LeaseView, State, VmState
from he_fsm.effects import PowerOffVm, StopAgent
from he_fsm.observe import observe
from he_fsm.remembered import FailedStarts, VmWatch
from he_fsm.states import remembering
from he_fsm.testing.scenes import NOW, Scene, around, deeds_of

HERE = State.ENGINE_STOPPING
WATCH = VmWatch(since=NOW - 3000, was_good=True, bad_since=NOW - 350)
STOPPING = Scene(state=HERE, since=NOW - 50, vm=VmState.STOPPING, health=Health.BAD, watch=WATCH)
BLOCKED = FailedStarts(count=3, last_at=NOW - 599)
GONE: dict[str, Any] = {"vm": VmState.ABSENT}


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
        ("lease_elsewhere", State.ENGINE_STOPPING),
        ("facts_missing", State.UNKNOWN),
        ("global_maintenance", State.GLOBAL_MAINTENANCE),
        ("superseded", State.UNKNOWN),
        ("maintenance_set", State.LOCAL_MAINTENANCE),
        ("starts_blocked", State.SCORE_BLOCKED),
        ("vm_gone", State.ENGINE_DOWN),
        ("paused", State.ENGINE_STOPPING),
        ("deadline_passed", State.ENGINE_STOPPING),
    ]


@pytest.mark.parametrize("vm", [VmState.STOPPING, VmState.UP, VmState.STARTING, VmState.LEAVING])
@pytest.mark.parametrize("health", list(Health))
def test_a_vm_that_goes_down_is_waited_for(vm: VmState, health: Health) -> None:
    decision = STOPPING.but(vm=vm, health=health).step()
    assert (decision.edge, decision.effects) == (None, ())
    assert decision.reason == "waiting for the VM to go down"


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"can_read": False}, "facts_missing"),
        ({"leases": LeaseView(joined=False)}, "facts_missing"),
        ({"vm": VmState.UNKNOWN}, "facts_missing"),
        ({"global_maintenance": True}, "global_maintenance"),
        ({**GONE, "is_superseded": True}, "superseded"),
        ({**GONE, "local_maintenance": True}, "maintenance_set"),
        ({**GONE, "failed": BLOCKED}, "starts_blocked"),
        (GONE, "vm_gone"),
        ({"vm": VmState.ARRIVING}, "vm_gone"),
        ({"is_superseded": True}, None),
        ({"local_maintenance": True}, None),
        ({"failed": BLOCKED}, None),
    ],
    ids=str,
)
def test_each_row_is_taken_for_its_reason(facts: dict[str, Any], name: str) -> None:
    assert STOPPING.but(**facts).edge() == name


@pytest.mark.parametrize(
    ("facts", "winner"),
    [
        ({**GONE, "can_read": False, "global_maintenance": True}, "facts_missing"),
        ({**GONE, "global_maintenance": True, "is_superseded": True}, "global_maintenance"),
        ({**GONE, "is_superseded": True, "local_maintenance": True}, "superseded"),
        ({**GONE, "local_maintenance": True, "failed": BLOCKED}, "maintenance_set"),
        ({**GONE, "failed": BLOCKED}, "starts_blocked"),
        ({"vm": VmState.ABSENT, "since": NOW - 5000}, "vm_gone"),
        (
            {
                "vm": VmState.PAUSED,
                "since": NOW - 5000,
                "watch": attrs.evolve(WATCH, paused_since=0),
            },
            "paused",
        ),
    ],
    ids=str,
)
def test_of_two_reasons_the_earlier_row_wins(facts: dict[str, Any], winner: str) -> None:
    assert STOPPING.but(**facts).edge() == winner


@around
def test_a_guest_that_does_not_go_down_is_powered_off_at_the_deadline(
    late_s: float, is_due: bool
) -> None:
    decision = STOPPING.but(since=NOW - 300 - late_s).step()
    assert (decision.edge is not None) is is_due
    if is_due:
        assert deeds_of(decision) == (PowerOffVm(),)
        assert decision.memory.vm == attrs.evolve(WATCH, power_off_at=NOW, is_ordered_down=True)
        assert decision.memory.state is HERE
    else:
        assert decision.wake_at == NOW - late_s


@around
def test_powering_off_is_tried_again_after_a_while(late_s: float, is_due: bool) -> None:
    watch = attrs.evolve(WATCH, power_off_at=NOW - 30 - late_s)
    decision = STOPPING.but(since=NOW - 10, watch=watch).step()
    assert (deeds_of(decision) == (PowerOffVm(),)) is is_due
    assert is_due or decision.wake_at == NOW - late_s


@around
def test_a_paused_guest_cannot_shut_itself_down(late_s: float, is_due: bool) -> None:
    watch = attrs.evolve(WATCH, paused_since=NOW - 60 - late_s)
    decision = STOPPING.but(vm=VmState.PAUSED, watch=watch).step()
    assert (decision.edge is not None) is is_due
    if is_due:
        assert decision.edge is not None
        assert decision.edge.name == "paused"
        assert deeds_of(decision) == (PowerOffVm(),)
        assert decision.memory.vm is not None
        assert decision.memory.vm.power_off_at == NOW


def test_a_paused_vm_that_was_just_powered_off_is_given_its_time() -> None:
    watch = attrs.evolve(WATCH, paused_since=NOW - 100, power_off_at=NOW - 1)
    decision = STOPPING.but(vm=VmState.PAUSED, watch=watch).step()
    assert decision.edge is None
    assert decision.wake_at == NOW + 29


def test_a_vm_of_which_nothing_is_remembered_is_powered_off_at_the_deadline() -> None:
    decision = STOPPING.but(watch=None, since=NOW - 300).step()
    assert deeds_of(decision) == (PowerOffVm(),)
    assert decision.memory.vm is not None
    assert decision.memory.vm.power_off_at == NOW


def test_where_no_vm_is_watched_there_is_nothing_to_remember_of_it() -> None:
    gone = STOPPING.but(vm=VmState.UNKNOWN, watch=None)
    view = observe(gone.memory(), gone.snapshot(), gone.policy)
    assert remembering.remember_power_off(view, view.memory) is view.memory


def test_a_vm_that_is_gone_is_forgotten() -> None:
    memory = STOPPING.but(**GONE).step().memory
    assert (memory.state, memory.vm) == (State.ENGINE_DOWN, None)


def test_a_superseded_agent_stops_when_its_vm_is_gone() -> None:
    decision = STOPPING.but(**GONE, is_superseded=True).step()
    assert deeds_of(decision) == (StopAgent("superseded by a newer release"),)


@around
def test_a_block_that_has_expired_meanwhile_is_none(late_s: float, is_due: bool) -> None:
    failed = FailedStarts(count=3, last_at=NOW - 600 - late_s)
    decision = STOPPING.but(**GONE, failed=failed).step()
    expected = State.ENGINE_DOWN if is_due else State.SCORE_BLOCKED
    assert decision.memory.state is expected
    assert is_due or decision.reason == "3 failed starts or bad endings: score 0 for 0 s"
