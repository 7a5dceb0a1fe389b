"""What `step` takes in before any row is tried: the storage, the others, the VM, the waits."""

from __future__ import annotations

from typing import Optional

import attrs
import pytest

from he_fsm import (
    TALK,
    Health,
    HostRecord,
    Memory,
    Snapshot,
    State,
    Step,
    VmState,
    step,
)
from he_fsm.effects import StartVm
from he_fsm.liveness import NEVER
from he_fsm.remembered import FailedStarts, VmWatch
from he_fsm.testing.scenes import NOW, Scene, around, record

DOWN = Scene(state=State.ENGINE_DOWN, engine_on=2)
BLIND = Scene(state=State.UNKNOWN, can_read=False)


def look_again(decision: Step, scene: Scene, now: float, *, grown_by: Optional[int] = None) -> Step:
    """Make the same host's next pass at *now*; the others' records have grown, or have not."""
    snapshot = scene.snapshot(now)
    board = snapshot.whiteboard
    if board is not None and grown_by is not None:
        slots = {
            host_id: attrs.evolve(slot, timestamp=slot.timestamp + grown_by)
            for host_id, slot in board.slots.items()
            if isinstance(slot, HostRecord)
        }
        snapshot = attrs.evolve(snapshot, whiteboard=attrs.evolve(board, slots=slots))
    return step(decision.memory, snapshot, scene.policy)


def test_while_this_host_cannot_read_nobody_grows_old_or_is_given_up() -> None:
    seen = DOWN.step()
    blind = look_again(seen, DOWN.but(can_read=False), NOW + 10)
    assert blind.memory.state is State.UNKNOWN
    for waited_s in (50.0, 500.0, 50_000.0):
        later = look_again(blind, BLIND, NOW + waited_s)
        assert later.liveness.alive == {1, 2, 3}
        # There is nothing to wait for but to tell people that it goes on.
        told_at = min(alarm.next_at for alarm in later.memory.alarms)
        assert later.wake_at == later.idle_until == told_at
        assert later.memory.is_blind
        assert later.memory.read_at == NOW


@around
def test_after_blindness_silence_is_counted_from_where_it_stood(
    late_s: float, is_due: bool
) -> None:
    """The others have just grown; 40 s pass unseen, then they stand still."""
    seen = DOWN.step()
    assert seen.memory.sightings[2].grew_at == NOW
    blind = look_again(seen, DOWN.but(can_read=False), NOW + 40)
    back = look_again(blind, DOWN.but(state=State.UNKNOWN), NOW + 40)
    assert back.memory.sightings[2].grew_at == NOW + 40
    assert not back.memory.is_blind
    later = look_again(back, DOWN, NOW + 40 + 60 + late_s)
    assert later.liveness.alive == ({1} if is_due else {1, 2, 3})


def test_an_agent_that_never_read_waits_for_its_first_look() -> None:
    new = Memory.beginning(NOW)
    blind = step(new, BLIND.snapshot(), TALK)
    assert (blind.memory.read_at, blind.memory.global_maintenance) == (None, None)
    assert blind.liveness.alive == {1}
    first = step(blind.memory, DOWN.snapshot(NOW + 10), TALK)
    assert first.memory.read_at == NOW + 10
    assert first.liveness.pending == {2, 3}
    second = look_again(first, DOWN, NOW + 20, grown_by=1)
    assert second.liveness.alive == {1, 2, 3}


def test_a_snapshots_clock_that_stands_still_or_goes_back_makes_nobody_younger() -> None:
    blind = DOWN.step().memory._replace(is_blind=True, read_at=NOW + 100)
    decision = step(blind, DOWN.snapshot(), TALK)
    assert decision.memory.sightings[3].grew_at == NOW


def test_the_own_record_is_the_published_one_not_what_the_slot_shows() -> None:
    scene = Scene(state=State.ENGINE_DOWN, own_score=1000, scores={2: 2000})
    snapshot = scene.snapshot()
    assert scene.edge() is None
    better = attrs.evolve(snapshot, own=record(1, 2400))
    decision = step(scene.memory(), better, TALK)
    assert StartVm() in decision.effects
    unpublished = step(scene.memory(), attrs.evolve(snapshot, own=None), TALK)
    assert unpublished.placement.hosts == (2,)


def test_a_host_that_can_publish_nothing_has_no_score_to_be_compared() -> None:
    scene = Scene(state=State.ENGINE_UP, vm=VmState.UP, own_score=0)
    assert scene.step().memory.better_since == NOW
    snapshot = attrs.evolve(scene.snapshot(), own=None)
    assert step(scene.memory(), snapshot, TALK).memory.better_since is None


def test_a_snapshot_without_leases_reports_nobody_dead() -> None:
    assert DOWN.but(leases=None).step().liveness.alive == {1, 2, 3}
    assert DOWN.leases is not None
    dead = DOWN.but(leases=attrs.evolve(DOWN.leases, dead_hosts=frozenset({3})))
    assert dead.step().liveness.alive == {1, 2}


@pytest.mark.parametrize("vm", [VmState.UNKNOWN, VmState.ABSENT, VmState.ARRIVING])
def test_a_vm_that_cannot_be_seen_is_remembered_and_one_that_is_gone_is_not(vm: VmState) -> None:
    watch = VmWatch(since=NOW - 100, was_good=True)
    after = Scene(state=State.ENGINE_UP, vm=vm, watch=watch).step().memory.vm
    assert after == (watch if vm is VmState.UNKNOWN else None)


@pytest.mark.parametrize("vm", [VmState.ABSENT, VmState.ARRIVING])
def test_a_vm_that_was_started_is_remembered_until_its_end_is_judged(vm: VmState) -> None:
    watch = VmWatch(since=NOW - 100, started_here=True)
    scene = Scene(state=State.ENGINE_STARTING, vm=vm, watch=watch, can_read=False)
    assert scene.step().memory.vm == attrs.evolve(watch, is_gone=True)


def test_a_look_at_which_nothing_about_the_vm_is_new_keeps_its_watch_as_it_is() -> None:
    watch = VmWatch(since=NOW - 100, was_good=True)
    scene = Scene(state=State.ENGINE_UP, vm=VmState.UP, health=Health.GOOD, watch=watch)
    assert scene.step().memory.vm is watch


def test_failed_starts_without_a_count_are_left_alone() -> None:
    failed = FailedStarts(count=0, last_at=NOW - 5000)
    assert DOWN.but(failed=failed).step().memory.failed is failed


def test_an_edge_ends_the_waits_of_the_state_before() -> None:
    scene = Scene(
        state=State.ENGINE_UP,
        vm=VmState.LEAVING,
        better_since=NOW - 10,
        named_since=NOW - 10,
    )
    memory = scene.step().memory
    assert (memory.better_since, memory.named_since, memory.since) == (None, None, NOW)


@pytest.mark.parametrize("state", [state for state in State if state is not State.ENGINE_UP])
def test_only_the_host_that_runs_the_engine_asks_whether_another_is_better(state: State) -> None:
    scene = Scene(state=state, vm=VmState.UP, own_score=0, better_since=NOW - 10)
    assert scene.step().memory.better_since is None


def test_a_step_that_stays_wakes_for_the_next_silence_too_and_an_idle_one_does_not() -> None:
    decision = DOWN.step()
    assert decision.wake_at == decision.liveness.changes_at == NOW + 60
    assert decision.idle_until == NEVER


def test_a_snapshot_of_a_host_alone_has_nothing_to_wake_for() -> None:
    snapshot: Snapshot = Scene(state=State.LOCAL_MAINTENANCE, scores={}).snapshot()
    alone = attrs.evolve(snapshot, local_maintenance=True)
    memory = Memory(state=State.LOCAL_MAINTENANCE, global_maintenance=False)
    assert step(memory, alone, TALK).wake_at == NEVER
