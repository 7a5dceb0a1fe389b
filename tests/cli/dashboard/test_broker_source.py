"""A broker as a source: its word for a change, and a broker that gives none."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from he_fsm.dashboard.sources import broker as module
from he_fsm.dashboard.sources.broker import BrokerSource
from he_fsm.errors import BrokerError, RefusedRequestError
from he_fsm.runtime.broker.client import BrokerClient
from tests.runtime.cluster import Cluster, served


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, (1,), speed=1.0)
    yield cluster
    cluster.tear_down()


def test_a_source_waits_for_the_brokers_word(cluster: Cluster) -> None:
    host = cluster.hosts[1]
    with served(host) as service:
        source = BrokerSource(host.run_dir / "broker.sock")
        source.wait(30.0)
        with ThreadPoolExecutor(1) as waiting:
            found = waiting.submit(source.wait, 30.0)
            service.report({"state": "EngineDown", "why": "no VM here"})
            found.result(20)
        assert source.status()["agent"]["state"] == "EngineDown"
    with pytest.raises(BrokerError, match="does not answer"):
        source.wait(0.1)


def test_a_broker_that_tells_no_changes_is_asked_now_and_then(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: BrokerClient, after: int, timeout_s: float) -> int:
        msg = f"GET /v1/watch?after={after}&timeout={timeout_s}: Not Found"
        raise RefusedRequestError(msg)

    monkeypatch.setattr(BrokerClient, "watch", refuse)
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    BrokerSource(cluster.hosts[1].run_dir / "broker.sock").wait(5.0)
    assert slept == [1.0]
