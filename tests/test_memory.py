"""What a host still knows after its agent or its whole machine has started again."""

from __future__ import annotations

from he_fsm import Memory, State
from he_fsm.metadata.record import ProblemWord
from he_fsm.remembered import FailedStarts, Moves, RaisedAlarm, VmWatch
from he_fsm.testing.scenes import NOW, record, sighting

OLD = Memory(
    state=State.ENGINE_UP,
    since=NOW - 500,
    began_at=NOW - 900,
    looked_at=NOW - 10,
    boot_ahead=3.0,
    sightings={2: sighting(record(2))},
    read_at=NOW - 10,
    is_blind=True,
    global_maintenance=True,
    global_problem=ProblemWord.GARBAGE,
    global_problem_since=NOW - 30,
    failed=FailedStarts(count=2, last_at=NOW - 100, good_runs=1, time_outs=1),
    well_since=NOW - 90,
    vm=VmWatch(
        since=NOW - 500,
        started_here=True,
        was_good=True,
        bad_since=NOW - 200,
        bad_before_s=7.0,
        power_off_at=NOW - 6,
        is_ordered_down=True,
    ),
    moves=Moves(
        target=3,
        failures=2,
        failed_at=NOW - 70,
        refused_by=3,
        moves=1,
        moved_at=NOW - 80,
        seen_on=2,
    ),
    better_since=NOW - 20,
    named_since=NOW - 5,
    arriving_since=NOW - 6,
    claimed_at=NOW - 4,
    refused_at=NOW - 3,
    draining_since=NOW - 50,
    alarms=(
        RaisedAlarm(name="bad-endings", since=NOW - 60, told=2, next_at=NOW + 540, is_open=True),
        RaisedAlarm(name="doom", since=NOW - 360, told=1, next_at=NOW + 240, ended_at=NOW - 20),
    ),
)


def test_what_is_not_said_is_not_known() -> None:
    assert (FailedStarts().count, FailedStarts().last_at) == (0, 0.0)
    none = FailedStarts()
    assert (none.good_runs, none.time_outs, none.penalised) == (0, 0, 0)
    assert Moves() == Moves(
        target=None,
        failures=0,
        failed_at=0.0,
        refused_by=None,
        moves=0,
        moved_at=0.0,
        seen_on=None,
    )
    assert VmWatch(since=5.0) == VmWatch(
        since=5.0,
        started_here=False,
        was_good=False,
        bad_since=None,
        bad_before_s=0.0,
        paused_since=None,
        paused_before_s=0.0,
        power_off_at=None,
        is_ordered_down=False,
        is_gone=False,
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
        looked_at=NOW - 10,
        boot_ahead=3.0,
        global_maintenance=True,
        global_is_old=True,
        failed=OLD.failed,
        well_since=NOW - 90,
        vm=OLD.vm,
        moves=OLD.moves,
        alarms=OLD.alarms,
    )


# What was a moment ago on the old clock, on one that shows 5 s after 200 s without power.
AFTER_BOOT = Memory(
    state=State.UNKNOWN,
    since=5.0,
    began_at=5.0,
    global_maintenance=True,
    global_is_old=True,
    failed=FailedStarts(count=2, last_at=-295.0, good_runs=1, time_outs=1),
    well_since=-285.0,
    vm=None,
    moves=Moves(
        target=None,
        failures=2,
        failed_at=-265.0,
        refused_by=3,
        moves=1,
        moved_at=-275.0,
        seen_on=2,
    ),
    alarms=(
        RaisedAlarm(name="bad-endings", since=-255.0, told=2, next_at=345.0, is_open=True),
        RaisedAlarm(name="doom", since=-555.0, told=1, next_at=45.0, ended_at=-215.0),
    ),
)


def test_a_booted_host_remembers_endings_and_moves_on_its_new_clock() -> None:
    """Blocks and waits run on, the time without power included; what was seen is nothing now."""
    assert OLD.after_boot(5.0, stopped_at=NOW, off_s=200.0) == AFTER_BOOT


def test_a_clock_on_the_wall_that_was_set_back_lengthens_no_block() -> None:
    assert OLD.after_boot(5.0, stopped_at=NOW, off_s=-9000.0) == OLD.after_boot(5.0, NOW)


def test_a_suspended_host_trusts_nothing_that_it_saw_and_keeps_its_state_and_its_vm() -> None:
    after = OLD.after_suspend(NOW, 200.0)
    assert after == OLD.after_boot(NOW, stopped_at=NOW, off_s=200.0)._replace(
        state=State.ENGINE_UP,
        vm=VmWatch(
            since=NOW - 700, started_here=True, was_good=True, is_ordered_down=True, has_slept=True
        ),
    )
    without_vm = OLD._replace(vm=None)
    assert without_vm.after_suspend(NOW, 200.0).vm is None
