"""`he-fsm why` on a live cluster: what its hosts decide, and what would change that."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from he_fsm.testing.waiting import until
from tests.cli.live.live_cluster import ask, living
from tests.runtime.cluster import Cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from living(tmp_path_factory.mktemp("why"))


def test_each_host_is_explained_with_its_score_and_what_would_change_its_decision(
    cluster: Cluster,
) -> None:
    done = ask(cluster, "why")
    assert done.returncode == 0, done.stderr
    blocks = [block.splitlines() for block in done.stdout.strip().split("\n\n")]
    assert [block[0].split(":")[:2] for block in blocks] == [
        ["host 1", " EngineUp"],
        ["host 2", " EngineDown"],
        ["host 3", " EngineDown"],
    ]
    # The agent's own words, where they are known.
    assert cluster.hosts[1].report()["why"] in blocks[0][0]
    assert "cpu load 0 of 100 (90% of capacity)" in blocks[2][1]
    assert any("host 2 has the highest score" in line for line in blocks[1])


def test_one_host_is_explained_to_a_program(cluster: Cluster) -> None:
    found = json.loads(ask(cluster, "why", "2", "--json").stdout)["hosts"]
    assert list(found) == ["2"]
    [falls] = [each for each in found["2"]["moves_here"] if "score fell" in each["if"]]
    assert falls["host"] == 1
    assert falls["then"]["target"] == 2
    assert sum(part["points"] for part in found["2"]["parts"]) == found["2"]["score"]


def test_what_it_says_of_a_score_comes_true(cluster: Cluster) -> None:
    done = ask(cluster, "why", "1")
    assert "the loss of gateway or of bridge" in done.stdout
    cluster.hosts[1].measure(network="0")
    until(lambda: cluster.engines() == [2], within_s=40.0)


@pytest.mark.parametrize(
    ("word", "said"), [("9", "there are 1-3"), ("first", "expected a host id from 1 to 2000")]
)
def test_a_host_that_is_not_there_is_one_sentence(cluster: Cluster, word: str, said: str) -> None:
    done = ask(cluster, "why", word)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
