"""`he-fsm doctor` on a live cluster: from the machine up to what the cluster survives."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from he_fsm.testing.waiting import until
from tests.cli.live.live_cluster import ask, living
from tests.runtime.cluster import AGENT, BROKER, Cluster


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from living(tmp_path_factory.mktemp("doctor"))


def checks(cluster: Cluster, *words: str) -> tuple[int, list[dict[str, Any]]]:
    done = ask(cluster, "doctor", "--json", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)["checks"]


def named(found: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [check for check in found if check["name"] == name]


def test_a_healthy_host_is_well_from_the_storage_to_the_failover(cluster: Cluster) -> None:
    status, found = checks(cluster, "--measure", "0.3s")
    # A machine for tests may have no time service.
    assert status == max((1 for check in found if check["level"] == "warning"), default=0)
    assert {check["name"] for check in found if check["level"] == "warning"} <= {"clock", "storage"}
    [storage] = named(found, "storage")
    assert "an io_timeout of" in storage["text"]
    [engine] = named(found, "engine")
    assert engine["text"].startswith("engine good on host 1 since ")
    asked = [check["text"].partition(",")[0] for check in named(found, "failover")]
    assert asked[:3] == [f"if host {number} loses its power" for number in (1, 2, 3)]
    [memory] = named(found, "memory")
    assert memory["text"] == "12367 MiB of memory free for the VM, which needs 4096"


def test_memory_that_is_not_kept_free_is_named(cluster: Cluster) -> None:
    cluster.hosts[1].measure(memory="1000 0.9")
    _, found = checks(cluster)
    [memory] = named(found, "memory")
    assert memory["level"] == "warning"
    assert memory["text"].endswith("which needs 4096: its score is lower by up to 400")


def test_a_cluster_that_would_not_survive_is_named_with_the_loss(cluster: Cluster) -> None:
    for host_id in (2, 3):
        cluster.hosts[host_id].stop()
    until(lambda: cluster.hosts[1].report().get("alive") == [1], within_s=40.0)
    status, found = checks(cluster)
    assert status == 3
    [lost] = [check for check in named(found, "failover") if check["level"] == "wrong"]
    assert lost["text"].startswith("if host 1 loses its power, the engine does not come back: ")


def test_without_a_broker_the_machine_is_looked_at_and_the_broker_is_named(
    cluster: Cluster,
) -> None:
    cluster.hosts[1].kill(BROKER)
    done = ask(cluster, "doctor")
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ok       configuration")
    assert lines[-1].split()[:2] == ["wrong", "broker"]
    assert lines[-1].endswith("systemctl enable --now he-fsm-broker")


def test_an_agent_that_hangs_is_named(cluster: Cluster) -> None:
    cluster.hosts[1].signal(AGENT, signal.SIGSTOP)
    try:
        until(lambda: cluster.hosts[1].status()["agent"]["age_s"] > 3.0, within_s=40.0)
        status, found = checks(cluster)
    finally:
        cluster.hosts[1].signal(AGENT, signal.SIGCONT)
    assert status == 3
    [agent] = named(found, "agent")
    assert agent["text"].startswith("it reports no more: EngineUp, ")


def test_a_hook_that_can_not_be_run_is_named(cluster: Cluster) -> None:
    [before] = named(checks(cluster)[1], "people")
    assert before["level"] == "ok"
    assert before["text"].startswith("nobody is told of alarms")
    hook = cluster.folder / "hook"
    hook.write_text("#!/bin/sh\n")
    cluster.hosts[1].configure(notify={"hook": [str(hook)]})
    status, found = checks(cluster)
    [people] = named(found, "people")
    assert (status, people["level"], people["mend"]) == (1, "warning", "he-fsm notify test")
    assert people["text"].startswith(f"hook: {hook} can't be run")


@pytest.mark.parametrize("time", ["long", "-1s"])
def test_a_time_that_is_none_is_refused(tmp_path: Path, time: str) -> None:
    done = ask(Cluster(tmp_path, (1,)), "doctor", "--measure", time)
    assert (done.returncode, done.stdout) == (2, "")
    assert time in done.stderr
