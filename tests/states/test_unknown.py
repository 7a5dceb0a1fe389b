"""`Unknown`: hands off until storage, leases and hypervisor answer; then the facts decide."""

from __future__ import annotations

from typing import Any, Optional

import attrs
import pytest

from he_fsm import TABLE, TALK, Health, LeaseView, State, VmState, step
from he_fsm.effects import PowerOffVm
from he_fsm.observe import observe
from he_fsm.remembered import FailedStarts, Moves, VmWatch
from he_fsm.snapshot import Outcome, OwnerState
from he_fsm.states.unknown import facts_are_known
from he_fsm.testing.scenes import NOW, Scene, around, deeds_of

HERE = State.UNKNOWN
UNKNOWN = Scene(state=HERE)
ELSEWHERE = LeaseView(owner=2, owner_state=OwnerState.LIVE)
GOOD_BEFORE = VmWatch(since=NOW - 900, was_good=True)
BLOCKED = FailedStarts(count=3, last_at=NOW - 599)
NOT_READABLE: list[dict[str, Any]] = [
    {"can_read": False},
    {"leases": None},
    {"leases": LeaseView(joined=False)},
    {"leases": LeaseView(joined=False, held_by_other=True)},
    {"vm": VmState.UNKNOWN},
]


def test_the_rows_are_tried_in_this_order() -> None:
    assert [(row.name, row.to) for row in TABLE[HERE]] == [
        ("lease_elsewhere", State.ENGINE_STOPPING),
        ("global_maintenance", State.GLOBAL_MAINTENANCE),
        ("vm_leaving", State.ENGINE_MIGRATING_AWAY),
        ("vm_stopping", State.ENGINE_STOPPING),
        ("vm_up", State.ENGINE_UP),
        ("vm_found_here", State.ENGINE_STARTING),
        ("maintenance_set", State.LOCAL_MAINTENANCE),
        ("starts_blocked", State.SCORE_BLOCKED),
        ("vm_gone", State.ENGINE_DOWN),
        ("vm_absent", State.ENGINE_DOWN),
    ]


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"global_maintenance": True}, "global_maintenance"),
        ({"global_maintenance": None, "remembered_global": None}, "global_maintenance"),
        ({"global_maintenance": None, "remembered_global": True}, "global_maintenance"),
        ({"global_maintenance": None, "remembered_global": False}, "vm_absent"),
        ({"vm": VmState.LEAVING}, "vm_leaving"),
        ({"vm": VmState.STOPPING}, "vm_stopping"),
        ({"vm": VmState.UP, "health": Health.GOOD}, "vm_up"),
        ({"vm": VmState.UP, "health": Health.BAD, "watch": GOOD_BEFORE}, "vm_up"),
        ({"vm": VmState.PAUSED, "watch": GOOD_BEFORE}, "vm_up"),
        ({"vm": VmState.UP, "health": Health.BAD}, "vm_found_here"),
        ({"vm": VmState.UP, "health": Health.UNKNOWN}, "vm_found_here"),
        ({"vm": VmState.STARTING}, "vm_found_here"),
        ({"vm": VmState.PAUSED}, "vm_found_here"),
        ({"local_maintenance": True}, "maintenance_set"),
        ({"failed": BLOCKED}, "starts_blocked"),
        ({}, "vm_absent"),
        ({"vm": VmState.ARRIVING}, "vm_absent"),
        ({"watch": GOOD_BEFORE}, "vm_gone"),
        ({"watch": attrs.evolve(GOOD_BEFORE, is_gone=True)}, "vm_gone"),
        ({"watch": attrs.evolve(GOOD_BEFORE, is_ordered_down=True)}, "vm_absent"),
        ({"watch": GOOD_BEFORE, "leases": ELSEWHERE}, "vm_absent"),
        ({"watch": GOOD_BEFORE, "outcomes": (Outcome.MIGRATION_DONE,)}, "vm_absent"),
        ({"vm": VmState.UP, "watch": GOOD_BEFORE, "leases": ELSEWHERE}, "lease_elsewhere"),
    ],
    ids=str,
)
def test_the_facts_say_which_state_it_is(facts: dict[str, Any], name: str) -> None:
    decision = UNKNOWN.but(**facts).step()
    assert decision.edge is not None
    assert decision.edge.name == name
    assert deeds_of(decision) == ((PowerOffVm(),) if name == "lease_elsewhere" else ())
    assert decision.memory.since == NOW


@pytest.mark.parametrize(
    ("facts", "winner"),
    [
        ({"global_maintenance": True, "vm": VmState.LEAVING}, "global_maintenance"),
        ({"vm": VmState.LEAVING, "health": Health.GOOD, "watch": GOOD_BEFORE}, "vm_leaving"),
        ({"vm": VmState.STOPPING, "watch": GOOD_BEFORE}, "vm_stopping"),
        ({"vm": VmState.UP, "watch": GOOD_BEFORE, "local_maintenance": True}, "vm_up"),
        ({"vm": VmState.STARTING, "local_maintenance": True, "failed": BLOCKED}, "vm_found_here"),
        ({"local_maintenance": True, "failed": BLOCKED}, "maintenance_set"),
    ],
    ids=str,
)
def test_of_two_reasons_the_earlier_row_wins(facts: dict[str, Any], winner: str) -> None:
    assert UNKNOWN.but(**facts).edge() == winner


@pytest.mark.parametrize("missing", NOT_READABLE, ids=str)
@pytest.mark.parametrize("row", TABLE[HERE], ids=lambda row: row.name)
def test_nothing_is_done_while_something_cannot_be_read(missing: dict[str, Any], row: Any) -> None:
    for_the_row: dict[str, dict[str, Any]] = {
        "lease_elsewhere": {"vm": VmState.UP, "leases": ELSEWHERE},
        "global_maintenance": {"global_maintenance": True},
        "vm_leaving": {"vm": VmState.LEAVING},
        "vm_stopping": {"vm": VmState.STOPPING},
        "vm_up": {"vm": VmState.UP, "health": Health.GOOD},
        "vm_found_here": {"vm": VmState.STARTING},
        "maintenance_set": {"local_maintenance": True},
        "starts_blocked": {"failed": BLOCKED},
        "vm_gone": {"watch": GOOD_BEFORE},
        "vm_absent": {},
    }
    scene = UNKNOWN.but(**{**for_the_row[row.name], **missing})
    decision = scene.step()
    assert (decision.edge, decision.effects) == (None, ())
    assert decision.memory.state is HERE


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ({"vm": VmState.UNKNOWN, "can_read": False}, "the hypervisor does not answer"),
        ({"can_read": False}, "the storage can't be read"),
        ({"leases": None}, "the lease manager does not answer"),
        ({"leases": LeaseView(joined=False)}, "this host does not hold its host id"),
        (
            {"leases": LeaseView(joined=False, held_by_other=True)},
            "host id 1 is held by another host",
        ),
    ],
    ids=str,
)
def test_what_is_missing_is_said(missing: dict[str, Any], why: str) -> None:
    assert UNKNOWN.but(**missing).step().reason == why


@around
def test_a_block_that_has_expired_is_none(late_s: float, is_due: bool) -> None:
    failed = FailedStarts(count=3, last_at=NOW - 600 - late_s)
    assert UNKNOWN.but(failed=failed).edge() == ("vm_absent" if is_due else "starts_blocked")


def test_fewer_failed_starts_than_the_limit_do_not_block() -> None:
    assert UNKNOWN.but(failed=FailedStarts(count=2, last_at=NOW)).edge() == "vm_absent"


@pytest.mark.parametrize("vm", [VmState.UP, VmState.PAUSED, VmState.STARTING])
def test_lesson_b21_an_agent_that_restarts_beside_a_vm_in_trouble_keeps_its_deadline(
    vm: VmState,
) -> None:
    watch = VmWatch(since=NOW - 900, was_good=True, bad_since=NOW - 200, paused_since=NOW - 30)
    saved = UNKNOWN.memory()._replace(state=State.ENGINE_UP, vm=watch)
    after = saved.after_restart(NOW)
    scene = UNKNOWN.but(vm=vm, health=Health.BAD, watch=after.vm)
    found = scene.step().memory.vm
    assert found is not None
    if vm is VmState.PAUSED:
        assert (found.paused_since, found.bad_since, found.bad_before_s) == (NOW - 30, None, 190)
    else:
        assert (found.paused_since, found.bad_since, found.bad_before_s) == (None, NOW - 200, 0)


@pytest.mark.parametrize(
    ("watch", "count", "good_runs"),
    [
        (GOOD_BEFORE, 1, 1),
        (attrs.evolve(GOOD_BEFORE, was_good=False), 1, 0),
        (attrs.evolve(GOOD_BEFORE, is_ordered_down=True), 0, 0),
        (None, 0, 0),
    ],
)
@pytest.mark.parametrize("local_maintenance", [False, True])
def test_a_vm_that_went_while_nobody_looked_and_by_no_order_ended_badly(
    watch: Optional[VmWatch], count: int, good_runs: int, local_maintenance: bool
) -> None:
    decision = UNKNOWN.but(watch=watch, local_maintenance=local_maintenance).step()
    failed = decision.memory.failed
    assert (failed.count, failed.good_runs) == (count, good_runs)
    assert decision.memory.vm is None


def test_a_vm_that_died_in_the_look_in_which_sight_was_lost_is_judged_when_sight_is_back() -> None:
    up = Scene(state=State.ENGINE_UP, watch=GOOD_BEFORE, can_read=False)
    lost = up.step()
    assert lost.memory.state is HERE
    found = step(lost.memory, UNKNOWN.snapshot(), TALK)
    assert found.edge is not None
    assert found.edge.name == "vm_gone"
    assert found.memory.failed == FailedStarts(count=1, last_at=NOW, good_runs=1)


def test_another_vm_that_comes_meanwhile_is_watched_anew() -> None:
    gone = attrs.evolve(GOOD_BEFORE, is_gone=True)
    found = UNKNOWN.but(vm=VmState.UP, health=Health.BAD, watch=gone).step()
    assert found.memory.vm == VmWatch(since=NOW, bad_since=NOW)
    assert found.memory.state is State.ENGINE_STARTING


def test_a_vm_that_is_first_seen_in_this_state_was_not_started_here() -> None:
    found = UNKNOWN.but(vm=VmState.STARTING).step().memory.vm
    assert found == VmWatch(since=NOW, started_here=False, bad_since=NOW)


@pytest.mark.parametrize("owner", [None, 1, 2])
def test_who_holds_the_engines_lease_does_not_matter_here(owner: Optional[int]) -> None:
    leases = LeaseView(owner=owner, owner_state=OwnerState.LIVE)
    assert UNKNOWN.but(leases=leases).edge() == "vm_absent"


@pytest.mark.parametrize(("missing"), [{}, *NOT_READABLE], ids=str)
def test_the_facts_are_known_only_if_all_of_them_are(missing: dict[str, Any]) -> None:
    scene = UNKNOWN.but(**missing)
    view = observe(scene.memory(), scene.snapshot(), scene.policy)
    assert facts_are_known(view) is (missing == {})


@pytest.mark.parametrize("facts", [{}, *NOT_READABLE], ids=str)
@pytest.mark.parametrize("state", [State.UNKNOWN, State.ENGINE_MIGRATING_AWAY])
def test_a_failed_migration_counts_whatever_can_be_read_when_it_is_told(
    state: State, facts: dict[str, Any]
) -> None:
    told = {"vm": VmState.UP, "outcomes": (Outcome.MIGRATION_FAILED,), **facts}
    before = Moves(target=3, failures=1, failed_at=NOW - 100)
    after = Scene(state=state).but(moves=before, **told).step().memory.moves
    assert (after.failures, after.failed_at) == (2, NOW)
