"""Orders as data, the broker's queue of them, and what the agent refuses."""

from __future__ import annotations

from typing import Optional

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm import TALK
from he_fsm.errors import HeFsmError
from he_fsm.runtime.vm_orders.by_hand import why_no_lease, why_not_there
from he_fsm.runtime.vm_orders.order import VmOrder, Wanted, order_of
from he_fsm.runtime.vm_orders.queue import VALID_S, OrderQueue
from he_fsm.snapshot import LeaseView, LocalVm, OwnerState, Readings, VmState
from he_fsm.tick import Facts

HERE = 1
by_itself = st.builds(
    VmOrder,
    number=st.integers(0),
    wanted=st.sampled_from(Wanted).filter(lambda wanted: wanted is not Wanted.MOVE),
    by=st.integers(0, 2**32),
)
moves = st.builds(
    VmOrder,
    number=st.integers(0),
    wanted=st.just(Wanted.MOVE),
    by=st.integers(0, 2**32),
    to=st.integers(1, 2000),
)
orders = by_itself | moves


@given(orders)
def test_an_order_arrives_as_it_was_given(order: VmOrder) -> None:
    assert order_of(order.to_json()) == order


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"number": 1, "by": 0, "order": "stop"},
        {"number": "1"},
        {"number": 1, "by": 0, "order": "move"},
        {"number": 1, "by": 0, "order": "move", "to": 0},
        {"number": 1, "by": 0, "order": "move", "to": "2"},
        {"number": 1, "by": 0, "order": "start", "to": 2},
    ],
)
def test_what_is_no_order_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(HeFsmError, match=r"expected (an|the) order"):
        order_of(plain)


def test_each_order_is_taken_once_in_its_turn() -> None:
    queue = OrderQueue(lambda: 0.0)
    numbers = [queue.put(wanted, by=0) for wanted in (Wanted.POWER_OFF, Wanted.START)]
    assert [order.number for order in queue.take()] == numbers
    assert queue.take() == ()


@pytest.mark.parametrize(("after_s", "is_taken"), [(VALID_S, True), (VALID_S + 0.1, False)])
def test_an_order_that_no_agent_took_in_time_is_dropped(after_s: float, is_taken: bool) -> None:
    now = [0.0]
    queue = OrderQueue(lambda: now[0])
    queue.put(Wanted.POWER_OFF, by=0)
    now[0] = after_s
    assert bool(queue.take()) is is_taken


def test_numbers_go_on_growing_when_the_broker_is_started_anew() -> None:
    before = OrderQueue(lambda: 0.0).put(Wanted.START, by=0)
    assert OrderQueue(lambda: 0.0).put(Wanted.START, by=0) > before


@given(
    owner=st.sampled_from([None, 1, 2, 3]),
    free_at=st.sampled_from([None, 90.0, 100.0, 110.0]),
    joined=st.booleans(),
    doomed_until=st.sampled_from([None, 200.0]),
)
def test_a_start_goes_on_only_where_this_host_could_take_the_lease(
    owner: Optional[int], free_at: Optional[float], joined: bool, doomed_until: Optional[float]
) -> None:
    leases = LeaseView(
        owner=owner,
        owner_state=OwnerState.FREE if owner is None else OwnerState.LIVE,
        free_at=free_at,
        joined=joined,
        doomed_until=doomed_until,
        doom="its watchdog fires",
    )
    why = why_no_lease(leases, 100.0, HERE, TALK)
    is_anothers = owner not in (None, HERE) and (free_at is None or free_at > 100.0)
    assert bool(why) is (not joined or doomed_until is not None or is_anothers)
    if joined and doomed_until is None and is_anothers:
        assert f"host {owner} holds the engine's lease" in why


def test_a_host_whose_lease_manager_has_other_times_starts_nothing() -> None:
    leases = LeaseView(watchdog_s=TALK.watchdog_s + 60.0, joined=True)
    assert why_no_lease(leases, 100.0, HERE, TALK) != ""


def test_without_a_lease_manager_nothing_is_started() -> None:
    assert "does not answer" in why_no_lease(None, 100.0, HERE, TALK)


@pytest.mark.parametrize(
    ("to", "state", "live_migration", "said"),
    [
        (2, VmState.UP, True, ""),
        (2, VmState.PAUSED, True, "the VM can't move: it is paused"),
        (2, VmState.UP, False, "the VM can't move while it runs"),
        (HERE, VmState.UP, True, "the VM is on host 1 already"),
        (3, VmState.UP, True, "host 3 is not alive"),
    ],
)
def test_the_agent_moves_a_vm_that_can_move_to_a_host_that_lives_elsewhere(
    to: int, state: VmState, live_migration: bool, said: str
) -> None:
    facts = Facts(0.0, 0.0, Readings.of(), LocalVm(state), LeaseView())
    policy = attrs.evolve(TALK, live_migration=live_migration)
    why = why_not_there(to, facts, HERE, policy, frozenset((HERE, 2)))
    assert why == "" if not said else said in why
