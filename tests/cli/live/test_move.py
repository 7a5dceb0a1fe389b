"""`he-fsm move`: the engine goes where a person wants it, or it is said why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.runtime.hypervisors.process.faults import Faults
from he_fsm.testing.waiting import until
from tests.cli.live.live_cluster import ask, living
from tests.runtime.cluster import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    yield from living(tmp_path)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The same for all that is refused."""
    yield from living(tmp_path_factory.mktemp("calm"))


def test_the_engine_moves_to_the_host_that_is_named(cluster: Cluster) -> None:
    done = ask(cluster, "move", "--to", "3", "--wait", "40s")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "the engine moves to host 3",
        "the engine is good on host 3",
    ]
    until(lambda: cluster.engines() == [3], within_s=40.0)
    again = ask(cluster, "move")
    assert again.returncode == 2
    assert "the engine is on host 3: run this command there" in again.stderr


def test_the_best_other_host_is_taken_where_none_is_named(cluster: Cluster) -> None:
    done = ask(cluster, "move")
    assert (done.returncode, done.stdout) == (0, "the engine moves to host 2\n")
    until(lambda: cluster.engines() == [2], within_s=40.0)


def test_a_host_from_which_the_engine_moves_back_is_warned_of(cluster: Cluster) -> None:
    cluster.hosts[3].measure(network="0")
    until(lambda: cluster.hosts[1].status()["hosts"]["3"]["score"] == 1300)
    done = ask(cluster, "move", "--to", "3")
    assert done.returncode == 0
    assert "host 3 is worse by 1100: the engine moves back after 1.5 s" in done.stderr
    until(lambda: cluster.engines() == [3], within_s=40.0)
    until(lambda: 3 not in cluster.engines() and cluster.engines(), within_s=40.0)


def test_a_move_that_fails_says_so(cluster: Cluster) -> None:
    Faults(cluster.hosts[1].run_dir).set(migrations="fail")
    done = ask(cluster, "move", "--to", "2", "--wait", "40s")
    assert done.returncode == 1
    assert "migration failed: " in done.stdout
    assert cluster.engines() == [1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "1"), "the engine is on host 1 already"),
        (("--to", "9"), "host 9 can't take the engine: it has no slot on the whiteboard"),
        (("--to", "first"), "expected a host id from 1 to 2000"),
        (("--wait", "soon"), "expected a time like 60s, got soon"),
    ],
)
def test_what_can_not_be_done_is_one_sentence(
    calm: Cluster, words: tuple[str, ...], said: str
) -> None:
    done = ask(calm, "move", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert calm.engines() == [1]


def test_a_host_in_maintenance_is_no_target(calm: Cluster) -> None:
    calm.hosts[2].client.maintenance(local=True)
    until(lambda: calm.hosts[1].status()["hosts"]["2"]["maintenance"])
    done = ask(calm, "move", "--to", "2")
    assert done.returncode == 2
    assert "host 2 can't take the engine: it is in local maintenance" in done.stderr
