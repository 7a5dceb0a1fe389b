"""Every host that sees the same storage names the same hosts, and exactly those start."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from he_fsm import (
    HostRecord,
    LeaseView,
    LocalVm,
    Memory,
    Placement,
    Policy,
    Snapshot,
    State,
    Step,
    VmState,
    Whiteboard,
    placement,
    step,
)
from he_fsm.effects import StartVm
from he_fsm.memory import Sighting
from he_fsm.metadata.codec import GlobalBlock
from he_fsm.testing.scenes import NONE, NOW
from he_fsm.testing.strategies import Cluster, clusters

# Long enough for every host to have looked around, and for every turn to have come.
PATIENCE_S = 1000.0


def seen_from(
    own_id: int, cluster: Cluster, *, state: State = State.ENGINE_DOWN, order: int = 0
) -> tuple[Memory, Snapshot]:
    """
    Return what one of the hosts remembers and sees of a cluster.

    Those that are alive have grown a moment ago, those that are pending have not grown since this
    host began to look, the others have long been silent. *order* shuffles the slots.
    """
    slots = list(cluster.records.items())
    random.Random(order).shuffle(slots)  # noqa: S311 - an order, no secret
    board = Whiteboard(GlobalBlock(maintenance=False), dict(slots))
    silent_s = 10 * cluster.policy.dead_after_s
    sightings = {}
    for host_id, record in slots:
        if host_id == own_id:
            continue
        grew_at = None
        since = NOW - silent_s
        if host_id in cluster.alive:
            grew_at = NOW
        elif host_id in cluster.pending:
            since = NOW
        sightings[host_id] = Sighting(record, record.timestamp, grew_at, since, record, None)
    memory = Memory(
        state=state,
        since=NOW - PATIENCE_S,
        began_at=NOW - PATIENCE_S,
        sightings=sightings,
        read_at=NOW,
        global_maintenance=False,
        named_since=NOW - PATIENCE_S,
    )
    snapshot = Snapshot(
        now=NOW,
        host_id=own_id,
        vm=LocalVm(VmState.ABSENT),
        own=cluster.records[own_id],
        whiteboard=board,
        leases=LeaseView(),
    )
    return memory, snapshot


def decision_of(own_id: int, cluster: Cluster, **more: Any) -> Step:
    memory, snapshot = seen_from(own_id, cluster, **more)
    return step(memory, snapshot, cluster.policy)


def without_stopped(cluster: Cluster) -> Cluster:
    """Return the cluster with every agent running: one that is stopped decides nothing."""
    records = {i: attrs.evolve(record, stopped=False) for i, record in cluster.records.items()}
    return attrs.evolve(cluster, records=records)


def without_engine(cluster: Cluster) -> Cluster:
    """Return the cluster with the engine down everywhere, as every host says."""
    records = {i: attrs.evolve(record, engine=NONE) for i, record in cluster.records.items()}
    return attrs.evolve(cluster, records=records)


running = clusters().map(without_stopped)
engineless = running.map(without_engine)
orders = st.integers(0, 10_000)


@given(cluster=running, order=orders)
def test_the_placement_is_the_same_seen_from_every_living_host(
    cluster: Cluster, order: int
) -> None:
    expected = placement(cluster.records, cluster.alive, cluster.policy, cluster.pending)
    for own_id in cluster.alive:
        assert decision_of(own_id, cluster, order=order).placement == expected


@given(cluster=running, order=orders)
def test_who_is_alive_is_the_same_seen_from_every_living_host(cluster: Cluster, order: int) -> None:
    for own_id in cluster.alive:
        liveness = decision_of(own_id, cluster, order=order).liveness
        assert (liveness.alive, liveness.pending) == (cluster.alive, cluster.pending)


@given(cluster=clusters(), order=orders)
def test_the_order_of_slots_and_of_hosts_does_not_matter(cluster: Cluster, order: int) -> None:
    def shuffled(values: Any) -> list[Any]:
        mixed = list(values)
        random.Random(order).shuffle(mixed)  # noqa: S311 - an order, no secret
        return mixed

    def place(records: Mapping[int, HostRecord], alive: list[int], pending: list[int]) -> Placement:
        return placement(records, alive, cluster.policy, pending)

    assert place(
        dict(shuffled(cluster.records.items())),
        shuffled(cluster.alive),
        shuffled(cluster.pending),
    ) == place(cluster.records, sorted(cluster.alive), sorted(cluster.pending))


@given(cluster=engineless)
def test_the_hosts_that_start_are_the_ones_that_every_host_names(cluster: Cluster) -> None:
    named = placement(cluster.records, cluster.alive, cluster.policy, cluster.pending).hosts
    starters = {
        own_id for own_id in cluster.alive if StartVm() in decision_of(own_id, cluster).effects
    }
    assert starters == set(named)


def first_moment(own_id: int, cluster: Cluster, policy: Policy) -> float:
    """Return when a host that is eligible from now on starts: its turn, by `idle_until`."""
    memory, snapshot = seen_from(own_id, attrs.evolve(cluster, policy=policy))
    memory = memory._replace(named_since=None)
    decision = step(memory, snapshot, policy)
    if StartVm() in decision.effects:
        return NOW
    return decision.idle_until


@given(cluster=engineless)
def test_equal_hosts_have_their_turns_in_the_order_of_their_ids_within_the_staggers_time(
    cluster: Cluster,
) -> None:
    policy = cluster.policy
    plan = placement(cluster.records, cluster.alive, policy, cluster.pending)
    turns = [first_moment(own_id, cluster, policy) for own_id in plan.hosts]
    assert turns == sorted(turns)
    # The first turn may be that of a pending host.
    if plan.turns and plan.turns[0] in cluster.alive:
        assert turns[0] == NOW
    for turn in turns:
        assert turn - NOW <= policy.stagger_total_s + 1e-6
    if len(turns) > 1 and policy.stagger_s and policy.stagger_total_s:
        assert len(set(turns)) == len(turns)


@given(cluster=engineless, scores=st.data())
def test_lesson_b5_whenever_a_living_host_can_run_the_engine_somebody_starts_it(
    cluster: Cluster, scores: st.DataObject
) -> None:
    """All ties: scores are drawn from two values, and no host is pending."""
    values = st.sampled_from([cluster.policy.score_max, cluster.policy.score_max // 2])
    records = {
        i: attrs.evolve(record, score=scores.draw(values)) for i, record in cluster.records.items()
    }
    settled = attrs.evolve(cluster, records=records, pending=frozenset())
    starters = {
        own_id for own_id in settled.alive if StartVm() in decision_of(own_id, settled).effects
    }
    best = max((records[i].score for i in settled.alive), default=0)
    assert starters == {i for i in settled.alive if records[i].score == best > 0}


@given(cluster=running)
def test_lesson_b6_nobody_is_named_below_the_best_living_score(cluster: Cluster) -> None:
    plan = placement(cluster.records, cluster.alive, cluster.policy, cluster.pending)
    believed = [
        score
        for host_id in cluster.alive
        if (score := cluster.records[host_id].score) <= cluster.policy.score_max
    ]
    for host_id in plan.hosts:
        assert cluster.records[host_id].score == max(believed) > 0


@given(cluster=clusters())
def test_hosts_are_named_or_waited_for_or_the_engine_runs_never_two_of_them(
    cluster: Cluster,
) -> None:
    plan = placement(cluster.records, cluster.alive, cluster.policy, cluster.pending)
    assert [plan.engine_on is not None, bool(plan.hosts), bool(plan.waits_for)].count(True) <= 1
    assert set(plan.hosts) <= cluster.alive
    assert set(plan.waits_for) <= cluster.pending
    assert list(plan.hosts) == sorted(plan.hosts)
    assert list(plan.turns) == sorted(plan.turns)
    as_good = {i for i in cluster.pending if cluster.records[i].score == plan.score}
    assert set(plan.turns) == ({*plan.hosts, *as_good} if plan.hosts else set())
    assert plan.reason
