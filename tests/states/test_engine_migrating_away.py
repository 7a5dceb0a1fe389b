"""`EngineMigratingAway`: how a migration ends, and what the next one has to wait for."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from he_fsm import TABLE, Health, LeaseView, State, VmState
from he_fsm.effects import CancelMigration
from he_fsm.remembered import Moves, VmWatch
from he_fsm.snapshot import Outcome, OwnerState
from he_fsm.testing.scenes import NOW, Scene, around, deeds_of

HERE = State.ENGINE_MIGRATING_AWAY
WATCH = VmWatch(since=NOW - 3000, was_good=True)
NEVER_GOOD = VmWatch(since=NOW - 100, started_here=True, bad_since=NOW - 90)
TO_3 = Moves(target=3, moves=1, moved_at=NOW - 20)
LEAVING = Scene(
    state=HERE, since=NOW - 20, vm=VmState.LEAVING, health=Health.GOOD, watch=WATCH, moves=TO_3
)


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
        ("lease_elsewhere", State.ENGINE_STOPPING),
        ("facts_missing", State.UNKNOWN),
        ("global_maintenance", State.GLOBAL_MAINTENANCE),
        ("left_for_maintenance", State.LOCAL_MAINTENANCE),
        ("left", State.ENGINE_DOWN),
        ("start_stays", State.ENGINE_STARTING),
        ("migration_failed", State.ENGINE_UP),
        ("migration_timed_out", State.ENGINE_MIGRATING_AWAY),
    ]


@pytest.mark.parametrize(
    ("target", "reason"),
    [(3, "migration under way to host 3"), (None, "migration under way")],
)
def test_a_migration_under_way_is_waited_for(target: Optional[int], reason: str) -> None:
    decision = LEAVING.but(moves=Moves(target=target)).step()
    assert (decision.edge, decision.effects) == (None, ())
    assert decision.reason == reason


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"can_read": False}, "facts_missing"),
        ({"leases": LeaseView(joined=False)}, "facts_missing"),
        ({"vm": VmState.UNKNOWN}, "facts_missing"),
        ({"global_maintenance": True}, "global_maintenance"),
        ({"vm": VmState.ABSENT, "local_maintenance": True}, "left_for_maintenance"),
        ({"vm": VmState.ARRIVING, "local_maintenance": True}, "left_for_maintenance"),
        ({"vm": VmState.ABSENT}, "left"),
        ({"vm": VmState.ARRIVING}, "left"),
        ({"vm": VmState.UP}, "migration_failed"),
        ({"vm": VmState.PAUSED}, "migration_failed"),
        ({"vm": VmState.STOPPING}, "migration_failed"),
        ({"vm": VmState.UP, "health": Health.BAD, "watch": NEVER_GOOD}, "start_stays"),
        ({"vm": VmState.PAUSED, "watch": NEVER_GOOD}, "start_stays"),
        ({"vm": VmState.UP, "outcomes": (Outcome.MIGRATION_FAILED,)}, "migration_failed"),
        ({"since": NOW - 300}, "migration_timed_out"),
    ],
    ids=str,
)
def test_each_row_is_taken_for_its_reason(facts: dict[str, Any], name: str) -> None:
    assert LEAVING.but(**facts).edge() == name


@pytest.mark.parametrize(
    "facts",
    [
        {"outcomes": (Outcome.MIGRATION_FAILED,)},
        {"outcomes": (Outcome.MIGRATION_DONE,)},
        {"local_maintenance": True},
        {"is_superseded": True},
        {"health": Health.BAD},
    ],
    ids=str,
)
def test_nothing_else_ends_a_migration(facts: dict[str, Any]) -> None:
    decision = LEAVING.but(**facts).step()
    assert (decision.edge, decision.effects) == (None, ())


@pytest.mark.parametrize(
    ("facts", "winner"),
    [
        ({"vm": VmState.ABSENT, "leases": None, "global_maintenance": True}, "facts_missing"),
        ({"vm": VmState.ABSENT, "global_maintenance": True}, "global_maintenance"),
        ({"vm": VmState.ABSENT, "local_maintenance": True}, "left_for_maintenance"),
        ({"vm": VmState.UP}, "migration_failed"),
    ],
    ids=str,
)
def test_of_two_reasons_the_earlier_row_wins(facts: dict[str, Any], winner: str) -> None:
    assert LEAVING.but(since=NOW - 5000, **facts).edge() == winner


@around
def test_lesson_b8_a_migration_that_does_not_end_is_cancelled_again_and_again(
    late_s: float, is_due: bool
) -> None:
    decision = LEAVING.but(since=NOW - 300 - late_s).step()
    assert (decision.edge is not None) is is_due
    if is_due:
        assert deeds_of(decision) == (CancelMigration(),)
        assert (decision.memory.state, decision.memory.since) == (HERE, NOW)
    else:
        assert decision.wake_at == NOW - late_s


def test_a_migration_that_arrived_is_said_to_have() -> None:
    arrived = LEAVING.but(vm=VmState.ABSENT, outcomes=(Outcome.MIGRATION_DONE,)).step()
    assert arrived.reason == "migrated: told by the test"
    assert LEAVING.but(vm=VmState.ABSENT).step().reason == "the VM is gone"


@pytest.mark.parametrize("local_maintenance", [True, False])
def test_lesson_b15_a_migration_that_arrived_forgets_failures_and_keeps_the_count_of_moves(
    local_maintenance: bool,
) -> None:
    moves = Moves(
        target=3, failures=4, failed_at=NOW - 500, refused_by=2, moves=2, moved_at=NOW - 20
    )
    gone = LEAVING.but(vm=VmState.ABSENT, moves=moves, local_maintenance=local_maintenance)
    assert gone.step().memory.moves == Moves(
        target=None, failures=0, failed_at=NOW - 500, moves=2, moved_at=NOW - 20
    )
    assert gone.step().memory.vm is None


@pytest.mark.parametrize(("outcomes", "refused_at"), [((Outcome.MIGRATION_DONE,), NOW), ((), None)])
def test_a_vm_that_arrived_is_given_time_to_be_seen_there(
    outcomes: tuple[Outcome, ...], refused_at: Optional[float]
) -> None:
    memory = LEAVING.but(vm=VmState.ABSENT, outcomes=outcomes).step().memory
    assert memory.refused_at == refused_at


@pytest.mark.parametrize(
    ("failures", "ago_s", "after"),
    [(0, 0, 1), (1, 100, 2), (5, 7199.875, 6), (5, 7200, 1), (5, 7200.125, 1)],
)
def test_failures_in_a_row_add_up_until_a_long_peace(
    failures: int, ago_s: float, after: int
) -> None:
    moves = Moves(target=3, failures=failures, failed_at=NOW - ago_s, seen_on=1)
    decision = LEAVING.but(vm=VmState.UP, moves=moves).step()
    assert decision.memory.moves == Moves(
        target=None, failures=after, failed_at=NOW, refused_by=3, seen_on=1
    )
    assert decision.memory.state is State.ENGINE_UP
    assert deeds_of(decision) == ()


@pytest.mark.parametrize(
    ("outcomes", "why"),
    [((Outcome.MIGRATION_FAILED,), "told by the test"), ((), "it is no longer leaving")],
)
def test_why_a_migration_failed_is_said(outcomes: tuple[Outcome, ...], why: str) -> None:
    decision = LEAVING.but(vm=VmState.UP, outcomes=outcomes).step()
    assert decision.reason == f"migration failed: {why}; the VM stays, the next try waits"


@pytest.mark.parametrize(
    ("facts", "count"),
    [
        ({}, 1),
        ({"outcomes": (Outcome.MIGRATION_DONE,)}, 0),
        ({"leases": LeaseView(owner=3, owner_state=OwnerState.LIVE)}, 0),
    ],
    ids=str,
)
def test_a_vm_that_went_without_having_arrived_ended_badly(
    facts: dict[str, Any], count: int
) -> None:
    failed = LEAVING.but(vm=VmState.ABSENT, **facts).step().memory.failed
    assert (failed.count, failed.good_runs) == (count, count)


def test_a_start_whose_migration_failed_goes_on_with_its_own_limit() -> None:
    decision = LEAVING.but(vm=VmState.UP, health=Health.BAD, watch=NEVER_GOOD).step()
    assert decision.memory.state is State.ENGINE_STARTING
    assert decision.memory.vm == NEVER_GOOD
    assert decision.memory.moves.failures == 1


def test_the_watch_over_the_vm_goes_on_while_it_leaves() -> None:
    assert LEAVING.step().memory.vm == WATCH
