"""`he-fsm maintenance local --wait`: until the host is empty, or why it is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.testing.waiting import until
from tests.cli.live.live_cluster import ask, living
from tests.runtime.cluster import AGENT, Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    yield from living(tmp_path)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Cluster]:
    """A host without another one to go to."""
    cluster = Cluster(tmp_path, (1,))
    try:
        cluster.start()
        cluster.engine_is_up()
        yield cluster
    finally:
        cluster.tear_down()


def test_each_step_is_shown_until_the_host_is_empty(cluster: Cluster) -> None:
    done = ask(cluster, "maintenance", "local", "--wait")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "EngineMigratingAway: migration under way to host 2" in lines
    assert lines[-1] == "this host is empty"
    assert cluster.hosts[1].vm() is None
    until(lambda: cluster.engines() == [2], within_s=40.0)


def test_where_there_is_no_host_to_go_to_that_is_said(alone: Cluster) -> None:
    done = ask(alone, "maintenance", "local", "--wait", "2s", "--json")
    assert done.returncode == 1
    drained = json.loads(done.stdout)["drained"]
    assert not drained["empty"]
    assert drained["text"].startswith(
        "not empty after 2 s: EngineUp: local maintenance is set, but"
    )
    assert alone.engines() == [1]


def test_nobody_moves_the_engine_in_global_maintenance_or_without_an_agent(
    alone: Cluster,
) -> None:
    alone.hosts[1].client.maintenance(everywhere=True)
    until(lambda: alone.hosts[1].state == "GlobalMaintenance")
    done = ask(alone, "maintenance", "local", "--wait")
    assert done.returncode == 1
    assert "he-fsm maintenance global --off" in done.stdout
    alone.hosts[1].kill(AGENT)
    # By then it has missed three loops.
    until(lambda: alone.hosts[1].status()["agent"]["age_s"] > 2.0)
    done = ask(alone, "maintenance", "local", "--wait")
    assert done.returncode == 1
    assert "the agent of this host does not run" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("global", "--wait"), "--wait goes with local"),
        (("local", "--off", "--wait"), "--wait goes with local"),
        (("local", "--wait", "soon"), "expected a time like 60s, got soon"),
    ],
)
def test_a_wait_that_means_nothing_is_refused(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    # No daemon is asked.
    done = ask(Cluster(tmp_path, (1,)), "maintenance", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
