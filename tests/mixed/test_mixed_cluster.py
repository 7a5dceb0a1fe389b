"""oVirt's agents and ours in one cluster: they leave each other in peace, and the engine moves."""

from __future__ import annotations

import pytest

from he_fsm import State
from tests.mixed.mixed_cluster import BOOTS_S, LEASE_EXPIRES_S, Cluster, OldHost, OwnHost

OLD, OWN = 1, 2
MINUTE = 60.0


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster()
    cluster.set_global(is_on=False)
    return cluster


@pytest.fixture
def old(cluster: Cluster) -> OldHost:
    return OldHost(cluster, OLD)


@pytest.fixture
def own(cluster: Cluster) -> OwnHost:
    return OwnHost(cluster, OWN)


def comes_up(cluster: Cluster, within_s: float = 5 * MINUTE) -> int:
    """Run until the engine is good; return where."""
    until = cluster.now + within_s
    while cluster.is_good_on is None:
        assert cluster.now < until, f"the engine is not up after {within_s:g} s: {cluster.orders}"
        cluster.run(1.0)
    return cluster.is_good_on


def runs_on(cluster: Cluster, host_id: int) -> None:
    """Begin with the engine on one host, which takes part alone at first."""
    other = cluster.hosts[OLD if host_id == OWN else OWN]
    other.is_on = False
    assert comes_up(cluster) == host_id
    other.is_on, other.next_look = True, cluster.now
    cluster.run(3 * MINUTE)
    assert cluster.since(cluster.now - 3 * MINUTE) == []


@pytest.mark.parametrize("first", [OLD, OWN])
@pytest.mark.usefixtures("old", "own")
def test_where_the_engine_runs_nobody_else_does_anything(cluster: Cluster, first: int) -> None:
    runs_on(cluster, first)
    began = cluster.now
    cluster.run(30 * MINUTE)
    assert cluster.since(began) == []
    assert cluster.is_good_on == first


@pytest.mark.usefixtures("old", "own")
def test_of_a_cold_cluster_one_host_starts_the_engine(cluster: Cluster) -> None:
    comes_up(cluster)
    cluster.run(10 * MINUTE)
    assert [what for _, what in cluster.since(0.0) if what == "start"] == ["start"]


def test_scores_mean_the_same(cluster: Cluster, old: OldHost, own: OwnHost) -> None:
    runs_on(cluster, OLD)
    assert cluster.record(OLD).score == cluster.record(OWN).score == 3400
    for network, score in ((0.8, 3081), (0.2, 2120), (0.0, 1800)):
        old.network = own.network = network
        cluster.run(30.0)
        assert cluster.record(OLD).score == cluster.record(OWN).score == score
    assert cluster.is_good_on == OLD


def test_the_engine_moves_from_one_kind_to_the_other_and_back(
    cluster: Cluster, old: OldHost, own: OwnHost
) -> None:
    runs_on(cluster, OLD)
    began = cluster.now
    old.network = 0.0
    cluster.run(MINUTE + BOOTS_S)
    assert comes_up(cluster) == OWN
    assert cluster.since(began) == [(OLD, "shutdown"), (OWN, "start")]
    old.network = 1.0
    # Moves are damped: an earlier one is not forgotten at once.
    cluster.run(90 * MINUTE)
    began = cluster.now
    own.network = 0.0
    cluster.run(2 * MINUTE)
    assert comes_up(cluster) == OLD
    assert cluster.since(began) == [(OWN, "shutdown"), (OLD, "start")]


@pytest.mark.parametrize("first", [OLD, OWN])
@pytest.mark.usefixtures("old")
def test_in_global_maintenance_both_kinds_keep_their_hands_off(
    cluster: Cluster, own: OwnHost, first: int
) -> None:
    runs_on(cluster, first)
    cluster.set_global(is_on=True)
    cluster.run(MINUTE)
    assert own.state is State.GLOBAL_MAINTENANCE
    assert cluster.record(OLD).text.endswith("state=GlobalMaintenance")
    cluster.stop(first, 0.0, "by hand")
    began = cluster.now + 1.0
    cluster.run(20 * MINUTE)
    assert cluster.since(began) == []
    cluster.set_global(is_on=False)
    comes_up(cluster)
    cluster.run(10 * MINUTE)
    assert [what for _, what in cluster.since(began)] == ["start"]


@pytest.mark.parametrize("out", [OLD, OWN])
@pytest.mark.usefixtures("old", "own")
def test_a_host_in_local_maintenance_gets_nothing(cluster: Cluster, out: int) -> None:
    other = OLD if out == OWN else OWN
    runs_on(cluster, other)
    cluster.hosts[out].is_local = True
    cluster.run(2 * MINUTE)
    assert (cluster.record(out).score, cluster.record(out).local_maintenance) == (0, True)
    cluster.hosts[other].network = 0.0
    cluster.run(10 * MINUTE)
    # No host is better by the threshold.
    assert cluster.is_good_on == other


@pytest.mark.parametrize("gone", [OLD, OWN])
@pytest.mark.usefixtures("old", "own")
def test_after_a_power_cut_the_other_kind_takes_over(cluster: Cluster, gone: int) -> None:
    other = OLD if gone == OWN else OWN
    runs_on(cluster, gone)
    cluster.power_off(gone)
    crashed_at = cluster.now
    assert comes_up(cluster, LEASE_EXPIRES_S + 3 * MINUTE) == other
    refused = [what for _, what in cluster.since(crashed_at) if what == "refused"]
    # Ours waits for the lease; the original runs into it, and tries again.
    assert bool(refused) is (other == OLD)
    assert cluster.vm is not None
    assert cluster.vm.began - crashed_at < LEASE_EXPIRES_S + 45.0


def test_a_stopped_agent_of_the_original_is_out_at_once(
    cluster: Cluster, old: OldHost, own: OwnHost
) -> None:
    runs_on(cluster, OWN)
    old.stop()
    own.network = 0.0
    cluster.run(5 * MINUTE)
    assert cluster.is_good_on == OWN
    assert old.agent.state != "AgentStopped"
    assert cluster.record(OLD).stopped
    decision = own.memory
    assert decision.sightings[OLD].record is not None
    assert decision.sightings[OLD].record.stopped


@pytest.mark.usefixtures("old")
def test_a_stopped_agent_of_ours_is_out_when_it_has_been_silent(
    cluster: Cluster, own: OwnHost
) -> None:
    runs_on(cluster, OLD)
    own.stop()
    cluster.run(5 * MINUTE)
    assert cluster.is_good_on == OLD
    cluster.stop(OLD, 0.0, "dies")
    assert comes_up(cluster, 15 * MINUTE) == OLD


def test_beside_a_vm_whose_agent_was_stopped_the_lease_refuses_the_original(
    cluster: Cluster, old: OldHost, own: OwnHost
) -> None:
    runs_on(cluster, OWN)
    own.stop()
    stopped_at = cluster.now
    cluster.run(10 * MINUTE)
    # It ignores the flag, and takes a silent host for dead.
    tries = cluster.since(stopped_at)
    assert tries
    assert set(tries) == {(OLD, "refused")}
    first = next(t for t, _, what in cluster.orders if t >= stopped_at and what == "refused")
    assert 60.0 <= first - stopped_at <= 100.0
    assert cluster.is_good_on == OWN
    # The agent is started again, as after an upgrade: then the other leaves it alone.
    own.is_on, own.next_look = True, cluster.now
    cluster.run(2 * MINUTE)
    began = cluster.now
    cluster.run(10 * MINUTE)
    assert cluster.since(began) == []
    assert own.state is State.ENGINE_UP
    assert old.agent.state == "EngineDown"


def test_beside_a_vm_whose_original_agent_was_stopped_ours_waits(
    cluster: Cluster, old: OldHost, own: OwnHost
) -> None:
    runs_on(cluster, OLD)
    old.stop()
    stopped_at = cluster.now
    cluster.run(30 * MINUTE)
    assert cluster.since(stopped_at) == []
    assert (cluster.is_good_on, own.state) == (OLD, State.ENGINE_DOWN)
