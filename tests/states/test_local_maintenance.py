"""`LocalMaintenance`: the administrator took this host out."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from he_fsm import TABLE, LeaseView, State, VmState
from he_fsm.effects import StopAgent
from he_fsm.remembered import FailedStarts
from he_fsm.testing.scenes import NOW, Scene, deeds_of, subjects_of

HERE = State.LOCAL_MAINTENANCE
OUT = Scene(state=HERE, own_score=0, local_maintenance=True)


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
        ("hypervisor_silent", State.UNKNOWN),
        ("global_maintenance", State.GLOBAL_MAINTENANCE),
        ("superseded", State.UNKNOWN),
        ("vm_found_here", State.ENGINE_STARTING),
        ("arrival_lost", HERE),
        ("maintenance_over", State.ENGINE_DOWN),
    ]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"own_score": 2400},
        {"failed": FailedStarts(count=3, last_at=NOW - 10)},
        {"vm": VmState.ARRIVING},
        # Lesson B19: storage that is taken away from a host in maintenance changes nothing.
        {"can_read": False},
        {"leases": None},
        {"leases": LeaseView(joined=False)},
    ],
    ids=str,
)
def test_the_host_stays_out(facts: dict[str, Any]) -> None:
    decision = OUT.but(**facts).step()
    assert (decision.edge, deeds_of(decision)) == (None, ())
    assert decision.reason == "local maintenance is set"


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"vm": VmState.UNKNOWN}, "hypervisor_silent"),
        ({"global_maintenance": True}, "global_maintenance"),
        ({"is_superseded": True}, "superseded"),
        ({"vm": VmState.UP}, "vm_found_here"),
        ({"vm": VmState.STARTING}, "vm_found_here"),
        ({"local_maintenance": False}, "maintenance_over"),
    ],
    ids=str,
)
def test_each_row_is_taken_for_its_reason(facts: dict[str, Any], name: str) -> None:
    assert OUT.but(**facts).edge() == name


@pytest.mark.parametrize(
    ("facts", "winner"),
    [
        ({"vm": VmState.UNKNOWN, "global_maintenance": True}, "hypervisor_silent"),
        ({"global_maintenance": True, "is_superseded": True}, "global_maintenance"),
        ({"is_superseded": True}, "superseded"),
        ({"vm": VmState.UP}, "vm_found_here"),
    ],
    ids=str,
)
def test_of_two_reasons_the_earlier_row_wins(facts: dict[str, Any], winner: str) -> None:
    assert OUT.but(local_maintenance=False, **facts).edge() == winner


def test_people_are_told_when_the_host_is_back() -> None:
    decision = OUT.but(local_maintenance=False).step()
    assert subjects_of(decision) == [
        "LocalMaintenance-EngineDown: local maintenance is no longer set"
    ]
    assert deeds_of(decision) == ()


def test_a_superseded_agent_stops() -> None:
    decision = OUT.but(is_superseded=True).step()
    assert deeds_of(decision) == (StopAgent("superseded by a newer release"),)


@pytest.mark.parametrize(
    ("local", "set_globally", "to"),
    [
        (True, True, State.GLOBAL_MAINTENANCE),
        (True, False, HERE),
        (False, True, State.GLOBAL_MAINTENANCE),
        (False, False, State.ENGINE_DOWN),
    ],
)
def test_lesson_b18_the_two_flags_are_independent(
    local: bool, set_globally: bool, to: Optional[State]
) -> None:
    decision = OUT.but(local_maintenance=local, global_maintenance=set_globally).step()
    assert decision.memory.state is to
