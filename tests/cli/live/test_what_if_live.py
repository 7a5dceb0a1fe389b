"""`he-fsm what-if` on a live cluster: real daemons answer, the simulator plays on from there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from he_fsm.runtime.config import load_config
from tests.cli.live import live_cluster
from tests.cli.live.live_cluster import living
from tests.runtime.cluster import Cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from living(tmp_path_factory.mktemp("what-if"))


def ask(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    return live_cluster.ask(cluster, "what-if", *words)


def answer(cluster: Cluster, *words: str) -> tuple[int, list[dict[str, Any]]]:
    done = ask(cluster, "--json", *words)
    return done.returncode, json.loads(done.stdout)["questions"]


def test_the_loss_of_the_engines_host_is_predicted_and_nothing_is_touched(cluster: Cluster) -> None:
    before = cluster.hosts[1].vm()
    status, [found] = answer(cluster, "host: 1, power: off", "--seeds", "5")
    assert status == 0
    assert found["comes_back"] == found["runs"] == 5
    assert found["engine_on"] == {"2": 5}
    # The live policy's lease, 8 x io_timeout and the watchdog, and then the boot.
    expiry_s = load_config(cluster.hosts[1].path).policy.lease_expiry_s
    assert expiry_s < found["median_s"] <= found["worst_s"] < expiry_s + 90
    assert found["hosts"]["1"]["path"] == ["EngineUp", "no power"]
    assert found["hosts"]["2"]["path"][0] == "EngineDown"
    assert found["hosts"]["2"]["path"][-1] == "EngineUp"
    assert cluster.hosts[1].vm() == before
    assert cluster.engines() == [1]


def test_people_read_a_sentence_and_a_line_for_each_host(cluster: Cluster) -> None:
    done = ask(cluster, "host: 1, set: {gateway: 0}", "--seeds", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "What if host: 1, set: {gateway: 0}?"
    assert lines[1].startswith("the engine moves to host 2, and is never down")
    assert [line.split()[:2] for line in lines[2:5]] == [["host", name] for name in "123"]


def test_a_loss_that_the_cluster_does_not_survive_is_named(cluster: Cluster) -> None:
    status, [found] = answer(cluster, "hosts: [1-3], power: off", "--seeds", "2")
    assert status == 1
    assert found["comes_back"] == 0
    assert found["stays"] == "the engine stays down: hosts 1-3 have no power"


def test_every_loss_is_asked_about_at_once(cluster: Cluster) -> None:
    done = ask(cluster, "--any", "--seeds", "2")
    asked = [line for line in done.stdout.splitlines() if line.startswith("What if ")]
    assert asked == [
        "What if host 1 loses its power?",
        "What if host 2 loses its power?",
        "What if host 3 loses its power?",
        "What if the gateway is lost for all hosts?",
        "What if the storage is lost for all hosts, for 10 min?",
    ]
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what happens, like 'host: 1, power: off', or --any"),
        (("--any", "host: 1, power: off"), "or --any"),
        (("host: 1, power: out",), "unknown word 'out'; known: off"),
        (("host: 7, power: off",), "7"),
        (("host: 1, powr: off",), "did you mean 'power'?"),
        (("host: 1, power: off", "--at", "soon"), "soon"),
    ],
)
def test_a_question_that_can_not_be_read_is_one_sentence(
    cluster: Cluster, words: tuple[str, ...], said: str
) -> None:
    done = ask(cluster, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
