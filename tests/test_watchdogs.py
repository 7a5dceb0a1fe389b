"""The watchdog's time is each host's own: what is told of it, waited for and complained of."""

from __future__ import annotations

from typing import Optional

import attrs
import pytest

from he_fsm.memory import Memory
from he_fsm.metadata.record import ProblemWord
from he_fsm.policy import TALK
from he_fsm.snapshot import LeaseView, LocalVm, OwnerState, Readings, VmState
from he_fsm.states.names import State
from he_fsm.testing.scenes import NOW, Scene, alarms_of, around, record, sighting
from he_fsm.tick import Facts, Identity, make_record, rate_host
from he_fsm.watchdogs import others_unlike, time_of, time_to_tell, why_unlike

SHORT = attrs.evolve(TALK, watchdog_s=10.0, kill_grace_s=0.0)
# Host 1, whose watchdog takes 10 s, waits for the lease of host 9, whose watchdog it reads of.
OWNER = LeaseView(owner=9, owner_state=OwnerState.FAILING, free_at=NOW)
HEIR = Scene(
    state=State.ENGINE_DOWN,
    policy=SHORT,
    scores={9: 2400},
    named_since=None,
    leases=attrs.evolve(OWNER, dead_hosts=frozenset({9})),
)


def heir(told_s: Optional[float], free_at: float) -> Scene:
    assert HEIR.leases is not None
    told = {} if told_s is None else {9: told_s}
    return HEIR.but(told_s=told, leases=attrs.evolve(HEIR.leases, free_at=free_at))


@around
@pytest.mark.parametrize(("told_s", "longer_s"), [(60.0, 50.0), (None, 50.0), (45.5, 35.5)])
def test_a_host_waits_for_the_longer_watchdog_of_a_dead_owner(
    told_s: Optional[float], longer_s: float, late_s: float, is_due: bool
) -> None:
    scene = heir(told_s, NOW - longer_s - late_s)
    assert (scene.edge() == "best_host") is is_due
    if not is_due:
        assert scene.step().wake_at == NOW - late_s


@around
@pytest.mark.parametrize("told_s", [10.0, 5.0])
def test_a_shorter_watchdog_of_the_owner_shortens_nothing(
    told_s: float, late_s: float, is_due: bool
) -> None:
    assert (heir(told_s, NOW - late_s).edge() == "best_host") is is_due


def test_a_host_with_the_longer_watchdog_waits_for_its_own_sanlock_alone() -> None:
    own_60 = heir(10.0, NOW).but(policy=TALK)
    assert own_60.edge() == "best_host"


@pytest.mark.parametrize(
    ("told_s", "problem", "expected_s"),
    [
        (10.0, None, 10.0),
        (None, None, 60.0),
        # What was believed last may be out of date.
        (10.0, ProblemWord.CRC, 60.0),
        (10.0, ProblemWord.REPLAYED, 60.0),
        (90.0, ProblemWord.GARBAGE, 90.0),
    ],
)
def test_of_a_slot_that_tells_nothing_or_is_damaged_sanlocks_own_time_counts(
    told_s: Optional[float], problem: Optional[ProblemWord], expected_s: float
) -> None:
    seen = sighting(record(2, watchdog_s=told_s), problem=problem)
    assert time_of(seen, SHORT) == expected_s


def test_of_a_host_that_was_never_seen_sanlocks_own_time_counts() -> None:
    assert time_of(None, SHORT) == 60.0
    assert time_of(sighting(None), SHORT) == 60.0


@pytest.mark.parametrize(
    ("watchdog_s", "kill_grace_s", "told_s"),
    [(None, None, 10.0), (10.0, 0.0, 10.0), (60.0, 40.0, 60.0), (5.0, None, 10.0), (5, 15.0, 15.0)],
)
def test_a_record_tells_the_longest_time_for_which_a_vm_may_run_on(
    watchdog_s: Optional[float], kill_grace_s: Optional[float], told_s: float
) -> None:
    leases = LeaseView(watchdog_s=watchdog_s, kill_grace_s=kill_grace_s)
    assert time_to_tell(leases, SHORT) == told_s
    facts = Facts(NOW, 0.0, Readings.of(), LocalVm(VmState.ABSENT), leases)
    identity = Identity(host_id=1, hostname="host1")
    assert make_record(facts, identity, 0, SHORT).watchdog_s == told_s


@pytest.mark.parametrize(
    ("watchdog_s", "kill_grace_s", "says"),
    [
        (None, None, ""),
        (10.0 + 1e-9, 0.0, ""),
        (60.0, None, "sanlock's watchdog_fire_timeout is 60 s, the policy's watchdog_s is 10 s"),
        (10.0, 5.0, "sanlock's kill_grace_seconds is 5 s, the policy's kill_grace_s is 0 s"),
    ],
)
def test_a_host_whose_sanlock_has_other_times_is_worth_0_and_starts_nothing(
    watchdog_s: Optional[float], kill_grace_s: Optional[float], says: str
) -> None:
    leases = LeaseView(watchdog_s=watchdog_s, kill_grace_s=kill_grace_s)
    assert why_unlike(leases, SHORT) == says
    facts = Facts(NOW, 0.0, Readings.of(), LocalVm(VmState.ABSENT), leases)
    identity = Identity(host_id=1, hostname="host1")
    assert rate_host(Memory(), facts, identity, SHORT).zero_because == says
    # Also while its record still has the score of before.
    scene = Scene(state=State.ENGINE_DOWN, policy=SHORT, scores={}, leases=leases)
    assert scene.edge() == (None if says else "best_host")


def test_hosts_with_other_watchdogs_are_named_and_oldest_releases_count_as_60_s() -> None:
    sightings = {
        4: sighting(record(4, watchdog_s=30.0)),
        3: sighting(record(3)),
        2: sighting(record(2, watchdog_s=10.0)),
    }
    assert others_unlike(sightings, SHORT) == [(3, 60.0), (4, 30.0)]
    assert others_unlike(sightings, TALK) == [(2, 10.0), (4, 30.0)]


def test_a_cluster_of_hosts_that_tell_nothing_raises_no_alarm() -> None:
    scene = Scene(state=State.ENGINE_DOWN, engine_on=2, scores={2: 2400, 3: 2400})
    assert alarms_of(scene.step(NOW + 100)) == []
