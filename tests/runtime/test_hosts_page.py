"""docs/hosts.md on real daemons: a host is added, removed and replaced while the engine runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from he_fsm.cli.main import cli
from he_fsm.testing.waiting import until
from tests.runtime.cluster import AGENT, BROKER, Cluster, ClusterHost

PAGES = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two hosts with all their daemons, and a third one that nobody knows yet."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    cluster.start()
    cluster.engine_is_up()
    host = ClusterHost(cluster, 3)
    host.configure(host={"id": 3, "hostname": "host3.example.com"})
    cluster.hosts[3] = host
    yield cluster
    cluster.tear_down()


def call(host: ClusterHost, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--config", str(host.path)])


def verdict(host: ClusterHost) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(host, "status", "--json").output)["verdict"]
    return found


def is_good(host: ClusterHost) -> bool:
    return verdict(host)["level"] == "good"


def shown(host: ClusterHost) -> list[str]:
    return sorted(host.status()["hosts"])


def on_page(name: str, line: str) -> bool:
    lines = (PAGES / name).read_text(encoding="utf-8").splitlines()
    return line in [each.strip() for each in lines]


def test_a_host_is_added(cluster: Cluster) -> None:
    before, new = cluster.hosts[cluster.engines()[0]], cluster.hosts[3]
    checked = call(new, "config", "check", "--deep").output
    assert "it has no room for host id 3: he-fsm storage init --hosts 3 says how" in checked
    size = 4 * 4096
    room = str(call(new, "storage", "init", "--hosts", "3").exception)
    board = cluster.shared / "whiteboard"
    assert room.endswith(f"to make it longer: truncate -s {size} {new.storage}/whiteboard")
    os.truncate(board, size)
    assert "no room" not in call(new, "config", "check", "--deep").output
    new.start()
    until(lambda: 3 in before.report().get("alive", ()))
    until(lambda: is_good(before))
    until(lambda: is_good(new))
    assert before.vm() is not None


def test_a_host_that_lives_keeps_its_slot(cluster: Cluster) -> None:
    one, other = cluster.hosts[1], cluster.hosts[3]
    refused = call(one, "storage", "clear-slot", "3")
    assert "slot 3 stays as it is: host 3 is alive" in str(refused.exception)
    assert shown(other) == ["1", "2", "3"]


def test_a_host_is_removed(cluster: Cluster) -> None:
    stays, leaves = cluster.hosts[1], cluster.hosts[3]
    call(leaves, "maintenance", "local")
    until(lambda: leaves.state == "LocalMaintenance")
    assert leaves.stop(AGENT) == [0]
    assert leaves.stop(BROKER) == [0]
    until(lambda: 3 not in stays.report().get("alive", (3,)))
    cleared = call(stays, "storage", "clear-slot", "3", "--yes")
    assert cleared.output == "slot 3 (host3.example.com): emptied\n"
    assert on_page("hosts.md", cleared.output.strip())
    until(lambda: shown(stays) == ["1", "2"])
    until(lambda: "slot 3: empty" in stays.log(AGENT))
    until(lambda: is_good(stays))


def test_a_removed_host_comes_back(cluster: Cluster) -> None:
    other, back = cluster.hosts[1], cluster.hosts[3]
    back.start()
    until(lambda: back.state == "LocalMaintenance")
    call(back, "maintenance", "local", "--off")
    until(lambda: 3 in other.report().get("alive", ()))
    until(lambda: is_good(other))


def test_a_host_that_died_is_silent_until_its_slot_is_emptied(cluster: Cluster) -> None:
    lives, dies = cluster.hosts[1], cluster.hosts[3]
    until(lambda: dies.vm() is None)
    dies.kill(AGENT)
    dies.kill(BROKER)
    until(lambda: "host 3 is silent" in verdict(lives)["line"])
    assert verdict(lives)["exit_status"] == 1
    assert call(lives, "storage", "clear-slot", "3", "--yes").exit_code == 0
    until(lambda: is_good(lives))


def test_a_host_is_replaced(cluster: Cluster) -> None:
    other, new = cluster.hosts[1], cluster.hosts[3]
    # A new machine has nothing of the old one, and another name.
    for folder in (new.run_dir, new.state_dir):
        shutil.rmtree(folder)
        folder.mkdir()
    new.configure(host={"hostname": "host3b.example.com"})
    new.start()
    until(lambda: 3 in other.report().get("alive", ()), within_s=60.0)
    assert other.status()["hosts"]["3"]["hostname"] == "host3b.example.com"
    until(lambda: is_good(other))


def test_a_whiteboard_is_written_anew_while_the_engine_runs(cluster: Cluster) -> None:
    host = cluster.engine_is_up()
    pid = host.vm()
    board = cluster.shared / "whiteboard"
    board.rename(cluster.shared / "whiteboard.old")
    until(lambda: host.state == "Unknown")
    made = call(host, "storage", "init", "--hosts", "64").output.splitlines()
    assert made[1] == f"whiteboard in {host.storage}/whiteboard: made for host ids 1 to 64"
    line = made[1].replace(str(host.storage), "/srv/he-fsm")
    assert on_page("backup.md", line)
    assert cluster.engine_is_up() is host
    until(lambda: is_good(host))
    until(lambda: shown(host) == ["1", "2", "3"])
    assert host.vm() == pid
