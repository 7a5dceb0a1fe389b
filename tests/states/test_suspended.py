"""A host that was suspended: its monotonic clock did not count that time, and others did."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from he_fsm import TALK, Health, LeaseView, State, VmState, step
from he_fsm.effects import PowerOffVm, StartVm
from he_fsm.remembered import FailedStarts, VmWatch
from he_fsm.snapshot import OwnerState
from he_fsm.testing.scenes import NOW, Scene, deeds_of, subjects_of

OWN = LeaseView(owner=1, owner_state=OwnerState.LIVE)
DOWN = Scene(state=State.ENGINE_DOWN, boot_ahead=3.0, named_since=NOW - 900)
UP = Scene(
    state=State.ENGINE_UP,
    vm=VmState.UP,
    health=Health.BAD,
    watch=VmWatch(since=NOW - 900, was_good=True, bad_since=NOW - 299),
    leases=OWN,
    boot_ahead=3.0,
)
SEES = [state for state in State if state not in {State.UNKNOWN, State.LOCAL_MAINTENANCE}]


@pytest.mark.parametrize("state", SEES)
def test_it_looks_at_everything_anew(state: State) -> None:
    slept = DOWN.but(state=state, boot_ahead_now=203.0, remembered_global=True).step()
    assert slept.memory.state is State.UNKNOWN
    assert slept.reason == "this host was suspended for 3 min 20 s: nothing that it knew is trusted"
    assert slept.effects == ()
    assert slept.liveness.alive == {1}
    assert (slept.memory.began_at, slept.memory.global_is_old) == (NOW, False)


@pytest.mark.parametrize("ahead_s", [None, 3.0, 2.0, 3.9])
def test_clocks_that_run_alike_show_no_suspension(ahead_s: float) -> None:
    decision = DOWN.but(boot_ahead_now=ahead_s).step()
    assert decision.memory.state is not State.UNKNOWN
    assert decision.liveness.alive == {1, 2, 3}
    assert decision.memory.boot_ahead == 3.0


def test_it_starts_nothing_before_it_has_looked_around_again() -> None:
    scene = DOWN.but(boot_ahead_now=203.0, scores={})
    assert deeds_of(scene.but(boot_ahead_now=3.0).step()) == (StartVm(),)
    memory = scene.memory()
    for now in (NOW, NOW, NOW, NOW + 19.875):
        decision = step(memory, scene.snapshot(now), TALK)
        memory = decision.memory
        assert deeds_of(decision) == ()
    assert deeds_of(step(memory, scene.snapshot(NOW + 20), TALK)) == (StartVm(),)


def test_one_sleep_is_noticed_once_and_the_next_one_as_well() -> None:
    scene = DOWN.but(boot_ahead_now=203.0)
    first = scene.step()
    assert first.memory.boot_ahead == 203.0
    found = step(first.memory, scene.snapshot(NOW), TALK)
    assert found.memory.state is State.ENGINE_DOWN
    assert step(found.memory, scene.snapshot(NOW + 10), TALK).edge is None
    again = scene.but(boot_ahead_now=303.0)
    assert step(found.memory, again.snapshot(NOW + 10), TALK).memory.state is State.UNKNOWN


def test_the_time_asleep_adds_nothing_to_a_vms_troubles() -> None:
    assert UP.but(boot_ahead_now=3.0).step().edge is None
    slept = UP.but(boot_ahead_now=90_003.0)
    memory = slept.step().memory
    assert memory.vm == VmWatch(since=NOW - 90_900, was_good=True, bad_since=NOW)
    found = step(memory, slept.snapshot(NOW), TALK)
    assert found.memory.state is State.ENGINE_UP
    assert step(found.memory, slept.snapshot(NOW + 1), TALK).edge is None


def test_blocks_run_on_asleep() -> None:
    failed = FailedStarts(count=3, last_at=NOW - 100)
    awake = Scene(state=State.SCORE_BLOCKED, own_score=0, failed=failed, boot_ahead=3.0)
    assert awake.but(boot_ahead_now=3.0).edge() is None
    slept = awake.but(boot_ahead_now=603.0)
    memory = slept.step().memory
    assert memory.failed.last_at == NOW - 700
    assert step(memory, slept.snapshot(), TALK).memory.state is State.ENGINE_DOWN


def test_its_vm_ends_in_the_first_look_if_others_have_taken_the_lease() -> None:
    elsewhere = LeaseView(owner=2, owner_state=OwnerState.LIVE)
    decision = UP.but(boot_ahead_now=603.0, leases=elsewhere).step()
    assert decision.edge is not None
    assert decision.edge.name == "lease_elsewhere"
    assert deeds_of(decision) == (PowerOffVm(),)
    why = "host 2 holds the lease of the VM that runs here: power off at once"
    assert subjects_of(decision) == [f"EngineUp-EngineStopping: {why}"]


STARTING = Scene(
    state=State.ENGINE_STARTING,
    vm=VmState.STARTING,
    health=Health.BAD,
    watch=VmWatch(since=NOW - 3, started_here=True, bad_since=NOW - 3),
    boot_ahead=3.0,
)
LEAVING = Scene(
    state=State.ENGINE_MIGRATING_AWAY,
    since=NOW - 5,
    vm=VmState.LEAVING,
    health=Health.GOOD,
    watch=VmWatch(since=NOW - 900, was_good=True),
    boot_ahead=3.0,
)


@pytest.mark.parametrize(
    "scene", [STARTING, STARTING.but(vm=VmState.UP), LEAVING], ids=["starting", "up", "leaving"]
)
@pytest.mark.parametrize("owner_state", [OwnerState.LIVE, OwnerState.FAILING])
def test_so_does_one_that_was_starting_or_leaving(scene: Scene, owner_state: OwnerState) -> None:
    elsewhere = LeaseView(owner=2, owner_state=owner_state, free_at=NOW + 30)
    decision = scene.but(boot_ahead_now=603.0, leases=elsewhere).step()
    assert decision.memory.state is State.ENGINE_STOPPING
    assert deeds_of(decision) == (PowerOffVm(),)
    awake = scene.but(boot_ahead_now=3.0, leases=elsewhere).step()
    assert deeds_of(awake) == ()


@pytest.mark.parametrize("remembered_global", [False, True])
def test_so_does_one_whose_lease_is_nobodys_by_now(remembered_global: bool) -> None:
    """Its own host would still have it: others had taken it, and have given it back."""
    free = UP.but(leases=LeaseView(), remembered_global=remembered_global)
    decision = free.but(boot_ahead_now=603.0).step()
    assert deeds_of(decision) == (PowerOffVm(),)
    why = "the lease of the VM that runs here was lost while this host was suspended"
    assert subjects_of(decision) == [f"EngineUp-EngineStopping: {why}: power off at once"]
    for sees in (OWN, LeaseView(joined=False), None):
        assert deeds_of(free.but(boot_ahead_now=603.0, leases=sees).step()) == ()
    assert deeds_of(free.but(boot_ahead_now=3.0).step()) == ()


BLIND: list[dict[str, Any]] = [
    {"leases": None},
    {"leases": LeaseView(joined=False)},
    {"vm": VmState.UNKNOWN},
]


@pytest.mark.parametrize("blind", BLIND, ids=str)
@pytest.mark.parametrize("scene", [UP, LEAVING], ids=["up", "leaving"])
@pytest.mark.parametrize("owner", [None, 2])
def test_what_its_first_look_can_not_see_the_next_one_does(
    owner: Optional[int], scene: Scene, blind: dict[str, Any]
) -> None:
    owner_state = OwnerState.FREE if owner is None else OwnerState.LIVE
    slept = scene.but(boot_ahead_now=603.0, leases=LeaseView(owner=owner, owner_state=owner_state))
    memory = slept.but(**blind).step().memory
    assert memory.state is State.UNKNOWN
    still_blind = step(memory, slept.but(**blind).snapshot(NOW + 10), TALK)
    assert deeds_of(still_blind) == ()
    # The agent is restarted as well.
    restarted = still_blind.memory.after_restart(NOW + 15)
    for memory in (still_blind.memory, restarted):
        assert deeds_of(step(memory, slept.snapshot(NOW + 20), TALK)) == (PowerOffVm(),)


def test_a_lease_that_is_its_own_after_the_sleep_was_not_lost() -> None:
    slept = UP.but(boot_ahead_now=603.0)
    memory = step(slept.step().memory, slept.snapshot(), TALK).memory
    assert memory.state is State.ENGINE_UP
    free = slept.but(leases=LeaseView())
    assert deeds_of(step(memory, free.snapshot(NOW + 10), TALK)) == ()
    assert memory.vm is not None
    assert not memory.vm.has_slept


def test_a_vm_that_came_while_it_slept_may_be_younger_than_what_is_read_of_its_lease() -> None:
    elsewhere = LeaseView(owner=2, owner_state=OwnerState.LIVE)
    scene = STARTING.but(state=State.ENGINE_DOWN, vm=VmState.UP, watch=None, leases=elsewhere)
    slept = scene.but(boot_ahead_now=603.0)
    memory = slept.step().memory
    for now in (NOW, NOW + 9):
        found = step(memory, slept.snapshot(now), TALK)
        memory = found.memory
        assert deeds_of(found) == ()
    assert deeds_of(step(memory, slept.snapshot(NOW + 10), TALK)) == (PowerOffVm(),)


def test_a_sleep_while_no_agent_was_there_is_noticed_by_the_next_one() -> None:
    restarted = UP.memory().after_restart(NOW)
    assert restarted.boot_ahead == 3.0
    scene = UP.but(state=State.UNKNOWN, boot_ahead_now=603.0)
    found = step(restarted, scene.snapshot(), TALK).memory.vm
    assert found == VmWatch(since=NOW - 1500, was_good=True, bad_since=NOW)


def test_where_there_is_no_such_clock_nothing_is_made_of_it() -> None:
    without = DOWN.memory()._replace(boot_ahead=None)
    first = step(without, DOWN.but(boot_ahead_now=900.0).snapshot(), TALK)
    assert first.memory.boot_ahead == 900.0
    assert first.memory.state is not State.UNKNOWN
