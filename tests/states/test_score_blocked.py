"""`ScoreBlocked`: too many starts failed here; nothing is given up for good."""

from __future__ import annotations

from typing import Any

import pytest

from he_fsm import TABLE, LeaseView, State, VmState
from he_fsm.effects import StopAgent
from he_fsm.remembered import FailedStarts
from he_fsm.testing.scenes import NOW, Scene, around, deeds_of, subjects_of

HERE = State.SCORE_BLOCKED
FAILED = FailedStarts(count=3, last_at=NOW - 200)
BLOCKED = Scene(state=HERE, own_score=0, failed=FAILED)


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
        ("facts_missing", State.UNKNOWN),
        ("global_maintenance", State.GLOBAL_MAINTENANCE),
        ("superseded", State.UNKNOWN),
        ("vm_found_here", State.ENGINE_STARTING),
        ("arrival_lost", HERE),
        ("maintenance_set", State.LOCAL_MAINTENANCE),
        ("block_expired", State.ENGINE_DOWN),
    ]


def test_the_block_is_waited_for_and_said() -> None:
    decision = BLOCKED.step()
    assert (decision.edge, deeds_of(decision)) == (None, ())
    assert decision.reason == "3 failed starts or bad endings: score 0 for 6 min 40 s"


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"can_read": False}, "facts_missing"),
        ({"leases": LeaseView(joined=False)}, "facts_missing"),
        ({"vm": VmState.UNKNOWN}, "facts_missing"),
        ({"global_maintenance": True}, "global_maintenance"),
        ({"is_superseded": True}, "superseded"),
        ({"vm": VmState.UP}, "vm_found_here"),
        ({"local_maintenance": True}, "maintenance_set"),
        ({"failed": FailedStarts()}, "block_expired"),
        ({"failed": FailedStarts(count=2, last_at=NOW)}, "block_expired"),
        ({"vm": VmState.ARRIVING}, None),
    ],
    ids=str,
)
def test_each_row_is_taken_for_its_reason(facts: dict[str, Any], name: str) -> None:
    assert BLOCKED.but(**facts).edge() == name


@pytest.mark.parametrize(
    ("facts", "winner"),
    [
        ({"leases": None, "global_maintenance": True}, "facts_missing"),
        ({"global_maintenance": True, "is_superseded": True}, "global_maintenance"),
        ({"is_superseded": True, "local_maintenance": True}, "superseded"),
        ({"vm": VmState.UP, "local_maintenance": True}, "vm_found_here"),
        ({"local_maintenance": True}, "maintenance_set"),
    ],
    ids=str,
)
def test_of_two_reasons_the_earlier_row_wins(facts: dict[str, Any], winner: str) -> None:
    assert BLOCKED.but(**{"failed": FailedStarts(), **facts}).edge() == winner


@around
def test_lesson_b35_after_the_block_the_host_tries_again(late_s: float, is_due: bool) -> None:
    failed = FailedStarts(count=3, last_at=NOW - 600 - late_s)
    decision = BLOCKED.but(failed=failed).step()
    assert (decision.edge is not None) is is_due
    assert decision.memory.failed == failed
    if is_due:
        assert decision.edge is not None
        assert decision.edge.name == "block_expired"
        assert subjects_of(decision) == []
    else:
        assert decision.wake_at == NOW - late_s


def test_a_superseded_agent_stops() -> None:
    decision = BLOCKED.but(is_superseded=True).step()
    assert deeds_of(decision) == (StopAgent("superseded by a newer release"),)
