"""What a host still knows after its agent or its whole machine has started again."""

from __future__ import annotations

from he_fsm import Memory, State
from he_fsm.memory import FailedStarts, Moves, VmWatch
from tests.scenes import NOW, record, sighting

OLD = Memory(
    state=State.ENGINE_UP,
    since=NOW - 500,
    began_at=NOW - 900,
    sightings={2: sighting(record(2))},
    read_at=NOW - 10,
    is_blind=True,
    global_maintenance=True,
    failed=FailedStarts(count=2, last_at=NOW - 100),
    vm=VmWatch(since=NOW - 500, was_good=True, bad_since=NOW - 200),
    moves=Moves(target=3, failures=2, failed_at=NOW - 70, moves=1, moved_at=NOW - 80),
    better_since=NOW - 20,
    named_since=NOW - 5,
    claimed_at=NOW - 4,
    refused_at=NOW - 3,
)


def test_what_is_not_said_is_not_known() -> None:
    assert (FailedStarts().count, FailedStarts().last_at) == (0, 0.0)
    assert Moves() == Moves(target=None, failures=0, failed_at=0.0, moves=0, moved_at=0.0)
    assert VmWatch(since=5.0) == VmWatch(
        since=5.0,
        started_here=False,
        was_good=False,
        bad_since=None,
        paused_since=None,
        power_off_at=None,
    )
    plain = Memory()
    assert (plain.state, plain.since, plain.began_at) == (State.UNKNOWN, 0.0, 0.0)
    assert (plain.is_blind, plain.failed, plain.vm, plain.moves) == (
        False,
        FailedStarts(),
        None,
        Moves(),
    )
    assert not sighting(record(2)).is_newer


def test_a_new_agent_knows_nothing_and_has_just_begun_to_look() -> None:
    new = Memory.beginning(NOW)
    assert new == Memory(state=State.UNKNOWN, since=NOW, began_at=NOW)
    assert (new.sightings, new.read_at, new.global_maintenance) == ({}, None, None)


def test_a_restarted_agent_remembers_failed_starts_the_vms_troubles_and_moves() -> None:
    after = OLD.after_restart(NOW)
    assert after == Memory(
        state=State.UNKNOWN,
        since=NOW,
        began_at=NOW,
        failed=OLD.failed,
        vm=OLD.vm,
        moves=OLD.moves,
    )


def test_a_booted_host_remembers_failed_starts_and_moves_on_its_new_clock() -> None:
    after = OLD.after_boot(5.0, stopped_at=NOW)
    assert after == Memory(
        state=State.UNKNOWN,
        since=5.0,
        began_at=5.0,
        failed=FailedStarts(count=2, last_at=-95.0),
        vm=None,
        moves=Moves(target=None, failures=2, failed_at=-65.0, moves=1, moved_at=-75.0),
    )
