"""The what-if page of a cluster of real daemons: what it predicts is what the command predicts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.cli.dashboard.serving import served
from tests.cli.live.live_cluster import ask, living
from tests.runtime.cluster import Cluster

pytestmark = pytest.mark.long
RUNS = 5


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from living(tmp_path_factory.mktemp("live"))


def test_the_loss_of_the_engines_host_comes_to_the_same(cluster: Cluster) -> None:
    done = ask(cluster, "what-if", "--json", "--seeds", str(RUNS), "host: 1, power: off")
    (said,) = json.loads(done.stdout)["questions"]
    with served("--config", cluster.hosts[1].path) as dashboard, requests.Session() as session:
        start = dashboard.get("/api/what-if/start")["starts"][0]
        sign = session.get(f"{dashboard.link}api/session", timeout=60).json()["sign"]
        fault = {"at": 0, "host": 1, "power": "off"}
        question: dict[str, Any] = {
            "text": start["text"],
            "edits": [{"do": "add", "path": ["timeline"], "value": fault}],
            "runs": RUNS,
        }
        answer = session.post(
            f"{dashboard.link}api/what-if",
            json=question,
            headers={"X-He-Fsm-Sign": sign},
            timeout=120,
        ).json()
    found = answer["answer"]["forecast"]
    same = ("runs", "before", "comes_back", "engine_on", "broken", "well")
    assert {key: found[key] for key in same} == {key: said[key] for key in same}
    # Both looked at the cluster, a moment apart: no more than the loads have changed.
    assert {host: each["path"] for host, each in found["hosts"].items()} == {
        host: each["path"] for host, each in said["hosts"].items()
    }
    assert abs(found["median_s"] - said["median_s"]) < 1
