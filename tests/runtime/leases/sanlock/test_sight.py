"""What a host makes of what it sees of the others, with any numbers; no daemon is needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.daemon.command import Leader, SeenHost, Space
from he_fsm.runtime.leases.sanlock.view import JoinedView
from he_fsm.runtime.leases.sanlock.watching.id_watch import IdWatch
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.snapshot import OwnerState

RULES = Rules(io_timeout_s=10.0, watchdog_s=60.0)
NOW = 5000.0
THEN = 70_000


def space(host_id: int = 1) -> Space:
    return Space(
        name="he",
        host_id=host_id,
        path="/leases",
        offset=0,
        generation=3,
        io_timeout=10,
        renewed_at=THEN - 7,
        is_kept=True,
        is_lost=False,
    )


def seen(age: int, *, generation: int = 5, timestamp: int = 123, io_timeout: int = 10) -> SeenHost:
    return SeenHost(
        generation=generation, timestamp=timestamp, last_live=THEN - age, io_timeout=io_timeout
    )


def status(
    hosts: dict[int, SeenHost], *, owner: int = 2, timestamp: int = 99, rate: float = 1.0
) -> LeaseStatus:
    rules = Rules(io_timeout_s=10.0 / rate, watchdog_s=60.0 / rate)
    view = JoinedView(hosts=hosts, space=space(), then=THEN, now=NOW, rules=rules, clock_rate=rate)
    return view.status(Leader(owner=owner, generation=5, timestamp=timestamp, name="engine"))


@pytest.mark.parametrize(
    ("age", "state", "is_dead"),
    [
        (0, OwnerState.LIVE, False),
        # It renews, and others look, every 20 s; and there is one I/O timeout for both.
        (50, OwnerState.LIVE, False),
        (51, OwnerState.FAILING, False),
        (140, OwnerState.FAILING, False),
        (141, OwnerState.FAILING, True),
    ],
)
@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_the_age_of_a_renewal(age: int, state: OwnerState, is_dead: bool, rate: float) -> None:
    found = status({2: seen(age)}, rate=rate)
    assert (found.view.owner, found.view.owner_state) == (2, state)
    assert (2 in found.view.dead_hosts) == is_dead
    renewed_at = NOW - age / rate
    assert found.renewed_at == pytest.approx(renewed_at)
    if state is OwnerState.LIVE:
        assert found.view.free_at is None
    else:
        assert found.view.free_at == pytest.approx(renewed_at + 140 / rate)


@given(io_timeout=st.integers(1, 60), age=st.integers(0, 1000))
def test_an_owners_own_io_timeout_counts(io_timeout: int, age: int) -> None:
    found = status({2: seen(age, io_timeout=io_timeout)})
    assert (found.view.owner_state is OwnerState.FAILING) == (age > 5 * io_timeout)
    if found.view.free_at is not None:
        assert found.view.free_at == pytest.approx(NOW - age + 8 * io_timeout + 60)


@pytest.mark.parametrize(
    "found",
    [
        status({2: seen(10)}, timestamp=0),
        status({2: seen(500)}, timestamp=0),
        # It gave its id back, or joined anew: its old lease is nobody's.
        status({2: seen(10, timestamp=0)}),
        status({2: seen(10, generation=6)}),
    ],
)
def test_a_lease_that_was_let_go(found: LeaseStatus) -> None:
    assert (found.view.owner, found.view.owner_state) == (None, OwnerState.FREE)
    assert (found.owner_generation, found.renewed_at) == (None, None)


def test_an_owner_that_was_not_seen_yet_counts_as_living() -> None:
    found = status({})
    assert (found.view.owner, found.view.owner_state) == (2, OwnerState.LIVE)
    assert (found.owner_generation, found.renewed_at, found.view.free_at) == (5, None, None)


def test_ones_own_lease_is_as_old_as_ones_own_renewal() -> None:
    found = status({1: seen(500), 3: seen(500), 4: seen(3, timestamp=0)}, owner=1)
    assert (found.view.owner, found.view.owner_state) == (1, OwnerState.LIVE)
    assert found.renewed_at == NOW - 7
    # Nobody is dead to himself.
    assert found.view.dead_hosts == {3, 4}
    assert found.view.joined


# An id that is not held.


def lease(timestamp: int, *, generation: int = 1, name: str = "host1") -> Leader:
    return Leader(owner=1, generation=generation, timestamp=timestamp, name=name)


def watched(*looks: tuple[float, Leader]) -> IdWatch:
    watch = IdWatch(RULES)
    for now, each in looks:
        watch.look(each, now)
    return watch


def test_an_id_that_nobody_ever_had() -> None:
    watch = watched((0.0, lease(0, generation=0, name="")))
    assert not watch.is_of_another("host2")
    assert not watch.is_dead(1000.0)
    assert watch.is_silent(0.0)
    assert not IdWatch(RULES).is_of_another("host2")


def test_an_id_that_was_given_back_is_dead() -> None:
    watch = watched((0.0, lease(7)), (1.0, lease(0)))
    assert watch.is_dead(1.0)
    assert not watch.is_of_another("host2")
    assert not watch.has_grown


def test_an_id_under_ones_own_name_is_ones_own() -> None:
    assert not watched((0.0, lease(7))).is_of_another("host1")


def test_a_lease_that_grows_is_a_living_hosts_until_it_is_silent() -> None:
    watch = watched((0.0, lease(7)))
    assert watch.is_of_another("host2")
    assert not watch.has_grown
    watch.look(lease(8), 20.0)
    assert watch.has_grown
    watch.look(lease(8), 70.0)
    assert watch.has_grown
    assert not watch.is_silent(70.0)
    watch.look(lease(8), 70.1)
    assert not watch.has_grown
    assert watch.is_silent(70.1)
    assert not watch.is_dead(160.0)
    assert watch.is_dead(160.1)


@pytest.mark.parametrize(
    "later", [lease(8, generation=2), lease(8, name="host2"), lease(1, generation=2, name="x")]
)
def test_another_generation_is_no_sign_that_the_one_before_lives(later: Leader) -> None:
    watch = watched((0.0, lease(7)), (10.0, later))
    assert not watch.has_grown
    assert not watch.is_silent(60.0)
