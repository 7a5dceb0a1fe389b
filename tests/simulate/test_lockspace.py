from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.policy import TALK
from he_fsm.simulate.clock import HostClock
from he_fsm.simulate.lockspace import Lockspace, Member

LATENCY_S = 0.5
PERIOD_S = 2 * TALK.io_timeout_s
EXPIRY_S = TALK.lease_expiry_s


def member(host_id: int, *, renewed_at: float = 0.0, name: str = "", rate: float = 1.0) -> Member:
    clock = HostClock(1000.0, 0.0)
    clock.run_at(0.0, rate)
    return Member(host_id, name or str(host_id), clock, PERIOD_S, renewed_at=renewed_at)


def lockspace_of(*members: Member) -> Lockspace:
    space = Lockspace(TALK, LATENCY_S)
    space.holders = {each.host_id: each for each in members}
    return space


# Renewals.


def test_renewals_come_in_a_row_until_they_end() -> None:
    one = member(1, renewed_at=-5.0)
    assert [one.last_renewal(time) for time in (0.0, 14.9, 15.0, 40.0)] == [-5, -5, 15, 35]
    one.stop_renewing(40.0)
    assert not one.renews
    assert one.last_renewal(1000.0) == 35.0
    one.renew_again(1000.0)
    assert one.last_renewal(1019.0) == 1000.0
    assert one.last_renewal(1020.0) == 1020.0


@given(phase=st.floats(0.0, PERIOD_S), time=st.floats(0.0, 1e6))
def test_the_last_renewal_is_less_than_a_period_ago(phase: float, time: float) -> None:
    last = member(1, renewed_at=-phase).last_renewal(time)
    assert time - PERIOD_S - 1e-6 <= last <= time


# Host ids.


def test_a_free_id_is_taken_and_a_held_one_is_not() -> None:
    space = lockspace_of()
    first, second = member(1, name="first"), member(1, name="second")
    first.is_joined = second.is_joined = second.renews = False
    assert space.join(first, 100.0)
    assert (first.is_joined, first.generation, first.joined_at) == (True, 2, 100.0)
    assert space.holders == {1: first}
    assert not space.join(second, 101.0)
    assert space.holders == {1: first}
    assert not second.is_joined


def test_an_id_is_taken_when_its_holders_lease_has_run_out_and_not_before() -> None:
    first, second = member(1, name="first"), member(1, name="second")
    space = lockspace_of(first)
    space.lapse(first, 100.0)
    assert first.renewed_at == 100.0
    assert not space.join(second, 100.0 + EXPIRY_S - 0.1)
    assert space.join(second, 100.0 + EXPIRY_S)
    assert space.holders[1] is second
    assert not first.is_joined


def test_who_left_cleanly_leaves_the_id_at_once() -> None:
    first, second = member(1, name="first"), member(1, name="second")
    space = lockspace_of(first)
    space.leave(first, 100.0)
    assert (first.is_joined, first.renews, first.has_left) == (False, False, True)
    assert space.join(second, 100.0)
    assert not space.join(first, 101.0)


def test_joining_anew_frees_what_the_former_generation_held() -> None:
    one = member(1)
    space = lockspace_of(one)
    space.set_owner(one, 50.0)
    assert space.owns(one)
    space.lapse(one, 100.0)
    assert space.join(one, 130.0)
    assert space.owner is None
    assert not space.owns(one)
    assert one.last_renewal(131.0) == 130.0
    assert space.dead_hosts(member(2), 1e6) == frozenset()


def test_renewals_that_go_on_in_time_change_nothing() -> None:
    one = member(1)
    space = lockspace_of(one)
    space.set_owner(one, 50.0)
    space.lapse(one, 100.0)
    space.resume(one, 130.0)
    assert space.owns(one)
    assert one.renews
    assert space.lapsed == {}
    assert one.generation == 1


# The engine's lease.


def test_a_lease_is_taken_by_one_and_given_back() -> None:
    one, two = member(1), member(2)
    space = lockspace_of(one, two)
    assert space.can_take(one, 10.0)
    space.set_owner(one, 10.0)
    assert space.can_take(one, 10.0)
    assert not space.can_take(two, 10.0)
    space.set_owner(None, 20.0)
    assert space.can_take(two, 20.0)


def test_others_see_a_change_of_owner_after_the_latency() -> None:
    one, two = member(1), member(2)
    space = lockspace_of(one, two)
    space.set_owner(one, 10.0)
    space.set_owner(two, 20.0)
    assert space.seen_owner(20.0 + LATENCY_S - 0.01) is one
    assert space.seen_owner(20.0 + LATENCY_S) is two


@pytest.mark.parametrize("broken", ["renews", "is_joined"])
def test_who_is_not_in_the_lockspace_takes_nothing(broken: str) -> None:
    one = member(1)
    setattr(one, broken, False)
    assert not lockspace_of(one).can_take(one, 10.0)


@given(phase=st.floats(0.0, PERIOD_S), lapsed_at=st.floats(0.0, 1e4), rate=st.floats(0.9, 1.1))
def test_a_dead_owners_lease_is_free_so_long_after_its_last_renewal(
    phase: float, lapsed_at: float, rate: float
) -> None:
    one, two = member(1, renewed_at=-phase), member(2, rate=rate)
    space = lockspace_of(one, two)
    space.set_owner(one, -3600.0)
    space.lapse(one, lapsed_at)
    # Each host measures the time with its own clock.
    free_at = one.renewed_at + EXPIRY_S / rate
    assert space.free_at(one, lapsed_at, two) == pytest.approx(free_at)
    assert not space.can_take(two, free_at - 0.001)
    assert space.can_take(two, free_at)
    # Whatever rounding does to a time that was computed on the host's own clock.
    assert space.can_take(two, two.clock.true_time(two.clock.monotonic(free_at)))


def test_an_owner_that_left_cleanly_is_no_obstacle() -> None:
    one, two = member(1), member(2)
    space = lockspace_of(one, two)
    space.set_owner(one, 10.0)
    space.leave(one, 20.0)
    assert space.can_take(two, 20.0)


def test_an_owner_is_failing_when_others_should_have_seen_a_renewal() -> None:
    one = member(1)
    space = lockspace_of(one)
    # It renews, and others look, every 2 x io_timeout.
    overdue_s = 2 * PERIOD_S + TALK.io_timeout_s
    assert not space.is_failing(one, 1e6)
    space.lapse(one, 100.0)
    assert not space.is_failing(one, 100.0 + overdue_s)
    assert space.is_failing(one, 100.0 + overdue_s + 0.1)


# Who is dead.


def test_hosts_are_reported_dead_when_their_leases_have_run_out() -> None:
    one, two, three = member(1), member(2), member(3)
    space = lockspace_of(one, two, three)
    space.lapse(one, 100.0)
    assert space.dead_hosts(two, 100.0 + EXPIRY_S - 0.1) == frozenset()
    assert space.dead_hosts(two, 100.0 + EXPIRY_S) == {1}
    space.leave(three, 300.0)
    assert space.dead_hosts(two, 300.0) == {1, 3}


def test_a_viewer_that_joined_late_watches_for_the_whole_time() -> None:
    one, two = member(1), member(2)
    space = lockspace_of(one, two)
    space.lapse(one, 100.0)
    two.joined_at = 500.0
    assert space.dead_hosts(two, 500.0 + EXPIRY_S - 0.1) == frozenset()
    assert space.dead_hosts(two, 500.0 + EXPIRY_S) == {1}


def test_an_id_that_another_host_holds_by_now_is_not_dead() -> None:
    one, other, two = member(1), member(1, name="other"), member(2)
    space = lockspace_of(one, two)
    space.leave(one, 100.0)
    space.join(other, 110.0)
    assert space.dead_hosts(two, 1000.0) == frozenset()


# What a host reads of the leases, and when that changes by itself.

ALL = frozenset({1, 2, 3})
NOBODY: frozenset[int] = frozenset()


def seen(space: Lockspace, viewer: Member, time: float) -> object:
    """Return all that a host reads of the leases."""
    owner = space.seen_owner(time)
    fails = owner is not None and space.is_failing(owner, time)
    return owner and owner.name, fails, space.dead_hosts(viewer, time)


def test_with_nobody_overdue_nothing_changes_by_itself() -> None:
    one, two = member(1), member(2)
    space = lockspace_of(one, two)
    space.set_owner(one, 0.0)
    assert space.changes_at(two, LATENCY_S, ALL, NOBODY) is None


@given(
    rate=st.sampled_from([0.5, 1.0, 1.01]),
    joined_at=st.sampled_from([0.0, 30.0]),
    starts_at=st.floats(0.0, 300.0),
)
def test_between_the_times_that_are_named_a_host_reads_the_same(
    rate: float, joined_at: float, starts_at: float
) -> None:
    owner, lost, viewer = member(1), member(3), member(2, rate=rate)
    viewer.joined_at = joined_at
    space = lockspace_of(owner, lost, viewer)
    space.set_owner(owner, 3.0)
    space.lapse(owner, 10.0)
    space.lapse(lost, 20.0)
    found = space.changes_at(viewer, starts_at, ALL, NOBODY)
    ends_at, is_after = (1000.0, False) if found is None else found
    before = seen(space, viewer, starts_at)
    for share in (0.25, 0.5, 0.999):
        assert seen(space, viewer, starts_at + share * (ends_at - starts_at)) == before
    if found is not None:
        assert seen(space, viewer, ends_at + (1e-6 if is_after else 0.0)) != before


def test_the_death_of_one_who_is_dead_already_is_no_change() -> None:
    lost, viewer = member(1), member(2)
    space = lockspace_of(lost, viewer)
    space.lapse(lost, 0.0)
    assert space.changes_at(viewer, 1.0, frozenset({2}), NOBODY) is None
    assert space.changes_at(viewer, 1.0, frozenset({2}), frozenset({1})) == (EXPIRY_S, False)


def test_all_that_changes_what_hosts_read_is_told() -> None:
    told: list[bool] = []
    one, two = member(1), member(2)
    space = lockspace_of(one, two)
    space.on_change = told.append

    def since() -> list[bool]:
        news, told[:] = list(told), []
        return news

    space.set_owner(one, 10.0)
    assert since() == [False]
    # Of two changes within the latency the first is hidden at once.
    space.set_owner(two, 10.2)
    assert since() == [False, True]
    space.lapse(one, 20.0)
    assert since() == [False]
    space.resume(one, 30.0)
    assert since() == [True]
    space.leave(one, 40.0)
    assert since() == [True]
    assert space.join(one, 50.0)
    assert since() == [True]
