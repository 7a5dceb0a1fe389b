"""`he-fsm maintenance`: the two flags, each on its own, before and after."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from he_fsm.cli.main import cli
from he_fsm.errors import StorageError
from he_fsm.live.summary import summary
from he_fsm.testing.waiting import until
from tests.runtime.cluster import Cluster, ClusterHost, served, storage_away


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), speed=1.0)
    with served(cluster.hosts[1]):
        until(cluster.hosts[1].reads_storage)
        yield cluster
    cluster.tear_down()


@pytest.fixture
def host(cluster: Cluster) -> ClusterHost:
    """A host whose flags are not set."""
    host = cluster.hosts[1]
    host.client.maintenance(local=False, everywhere=False)
    return host


def call(host: ClusterHost, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["maintenance", *arguments, "--config", str(host.path)])


def said(host: ClusterHost, *arguments: str) -> list[str]:
    result = call(host, *arguments)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_each_flag_is_set_and_ended_without_the_other(host: ClusterHost, cluster: Cluster) -> None:
    assert said(host, "local") == ["before: local off, global off", "after:  local on, global off"]
    assert said(host, "global") == ["before: local on, global off", "after:  local on, global on"]
    assert cluster.read().global_block.maintenance is True
    assert said(host, "local", "--off") == [
        "before: local on, global on",
        "after:  local off, global on",
    ]
    assert said(host) == ["local off, global on"]
    assert said(host, "local")[1] == "after:  local on, global on"
    assert said(host, "global", "--off")[1] == "after:  local on, global off"
    assert cluster.read().global_block.maintenance is False


def test_none_ends_both(host: ClusterHost) -> None:
    host.client.maintenance(local=True, everywhere=True)
    assert said(host, "none") == ["before: local on, global on", "after:  local off, global off"]


def test_show_changes_nothing(host: ClusterHost) -> None:
    host.client.maintenance(local=True)
    assert said(host, "show") == said(host) == ["local on, global off"]


def test_both_are_printed_as_json(host: ClusterHost) -> None:
    found = json.loads("\n".join(said(host, "global", "--json")))
    assert found == {
        "before": {"local": False, "global": False},
        "after": {"local": False, "global": True},
    }


def test_off_needs_a_flag(host: ClusterHost) -> None:
    for arguments in (["--off"], ["none", "--off"], ["show", "--off"]):
        result = call(host, *arguments)
        assert result.exit_code == 2
        assert "--off goes with local or global" in result.output


def test_the_local_flag_needs_no_storage(host: ClusterHost, cluster: Cluster) -> None:
    unknown = "global unknown (slot 0 can't be read, or holds no flag)"
    with storage_away(cluster):
        assert said(host, "local") == [
            f"before: local off, {unknown}",
            f"after:  local on, {unknown}",
        ]
        result = call(host, "none")
        assert isinstance(result.exception, StorageError)
        assert str(result.exception).startswith("global maintenance stays as it is: ")
        # The flag that could be ended is.
        assert said(host) == [f"local off, {unknown}"]


def test_an_empty_slot_0_holds_no_flag_until_one_is_set(
    host: ClusterHost, cluster: Cluster
) -> None:
    with (cluster.shared / "whiteboard").open("r+b") as file:
        file.write(bytes(4096))
    assert "global unknown" in said(host)[0]
    assert said(host, "global", "--off")[1] == "after:  local off, global off"


def test_the_agent_is_woken(host: ClusterHost) -> None:
    seen = host.client.wake(0, 0.0)
    said(host, "local")
    assert host.client.wake(seen, 10.0) == seen + 1


# With an end.


def test_a_flag_that_ends_says_when(host: ClusterHost, cluster: Cluster) -> None:
    for mode in ("local", "global"):
        [_, after] = said(host, mode, "--for", "2h")
        assert re.search(rf"{mode} on until \w+ .* UTC \((2 h|1 h 59 min) left\)", after)
    block = cluster.read().global_block
    assert block.maintenance is True
    assert block.until is not None
    assert abs(block.until - time.time() - 7200) < 30
    assert said(host)[0].count("UTC") == 2
    shown = json.loads("\n".join(said(host, "--json")))["after"]
    assert set(shown) == {"local", "global", "local_until", "global_until"}
    status = host.client.status()["maintenance"]
    assert status["global_until"] == block.until
    assert " left)" in summary(host.client.status())[-3]


def test_setting_it_again_replaces_the_end(host: ClusterHost, cluster: Cluster) -> None:
    host.client.maintenance(local=True, everywhere=True, until=2_000_000_000)
    longer = host.client.maintenance(local=True, everywhere=True, until=2_000_000_900)
    assert (longer.local_until, longer.everywhere_until) == (2_000_000_900, 2_000_000_900)
    endless = host.client.maintenance(local=True, everywhere=True)
    assert (endless.local_until, endless.everywhere_until) == (None, None)
    assert (endless.local, endless.everywhere) == (True, True)
    assert said(host, "none")[1] == "after:  local off, global off"
    assert cluster.read().global_block.until is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["none", "--for", "1h"], "--for goes with local or global, and not with --off"),
        (["local", "--off", "--for", "1h"], "--for goes with local or global, and not with --off"),
        (["--for", "1h"], "--for goes with local or global"),
        (["global", "--for", "0s"], "expected a time of 1s or more, like 2h"),
        (["global", "--for", "soon"], "soon"),
    ],
    ids=str,
)
def test_an_end_that_makes_no_sense_is_refused(
    host: ClusterHost, words: list[str], says: str
) -> None:
    result = call(host, *words)
    assert result.exit_code == 2
    assert says in result.output
    assert said(host) == ["local off, global off"]


def test_cancel_is_another_word_for_off(host: ClusterHost) -> None:
    host.client.maintenance(local=True, until=2_000_000_000)
    assert said(host, "local", "--cancel")[1] == "after:  local off, global off"
