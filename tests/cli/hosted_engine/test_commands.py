"""`hosted-engine`: oVirt's options, exit statuses and outputs, on a cluster of he_fsm's daemons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.cli.hosted_engine import CONFIG_VARIABLE, run
from he_fsm.metadata import HostRecord, encode_slot
from he_fsm.metadata.record import EngineStatus
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.vm_orders.asking import what_follows
from he_fsm.runtime.vm_orders.order import Wanted
from he_fsm.testing.waiting import until
from tests.runtime.cluster import Cluster, ClusterHost, served, storage_away

GOOD = EngineStatus("up", "good", "Up")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), speed=1.0)
    with served(cluster.hosts[1]):
        until(cluster.hosts[1].reads_storage)
        yield cluster
    cluster.tear_down()


@pytest.fixture
def host(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> ClusterHost:
    """A host whose flags are not set, and whose configuration the command reads."""
    host = cluster.hosts[1]
    monkeypatch.setenv(CONFIG_VARIABLE, str(host.path))
    host.client.maintenance(local=False, everywhere=False)
    return host


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which nothing is configured."""
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "none.yaml"))


def writes(cluster: Cluster, host_id: int, *, text: str = "") -> None:
    record = HostRecord(
        host_id=host_id, timestamp=7, score=2400, engine=GOOD, hostname=f"host{host_id}"
    )
    with (cluster.shared / "whiteboard").open("r+b") as file:
        file.seek(host_id * 4096)
        file.write(encode_slot(record, text))


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert run(words) == status
    return capsys.readouterr().out


def test_the_status_is_printed_as_ovirt_does(
    host: ClusterHost, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    writes(cluster, 2, text="state=EngineUp")
    host.client.report({"state": "EngineDown", "why": "all is well", "alive": [1, 2]})
    out = said(capsys, "--vm-status")
    assert (
        "\n\n--== Host host2 (id: 2) status ==--\n\nHost ID                            : 2\n" in out
    )
    assert "Status up-to-date                  : True\n" in out
    assert "Extra metadata (valid at timestamp):\n\tstate=EngineUp\n" in out
    found = json.loads(said(capsys, "--vm-status", "--json"))
    assert found["2"]["engine-status"] == {"vm": "up", "health": "good", "detail": "Up"}
    assert found["2"]["live-data"] is True
    assert found["global_maintenance"] is False


def test_without_news_from_the_agent_nobody_is_up_to_date(
    host: ClusterHost, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    writes(cluster, 2)
    host.client.report({"state": "EngineDown", "why": "all is well", "alive": []})
    assert "Engine status                      : unknown stale-data\n" in said(
        capsys, "--vm-status"
    )


@pytest.mark.usefixtures("host")
def test_global_maintenance_is_said_first_and_last(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    writes(cluster, 2)
    assert said(capsys, "--set-maintenance", "--mode=global") == ""
    out = said(capsys, "--vm-status")
    assert out.startswith("\n\n!! Cluster is in GLOBAL MAINTENANCE mode !!\n\n")
    assert out.endswith("\n\n!! Cluster is in GLOBAL MAINTENANCE mode !!\n\n")
    assert json.loads(said(capsys, "--vm-status", "--json"))["global_maintenance"] is True


def test_the_flags_leave_each_other_alone(host: ClusterHost) -> None:
    assert run(["--set-maintenance", "--mode=global"]) == 0
    assert run(["--set-maintenance", "--mode=local"]) == 0
    flags = host.client.maintenance()
    assert (flags.local, flags.everywhere) == (True, True)
    assert run(["--set-maintenance", "--mode=none"]) == 0
    flags = host.client.maintenance()
    assert (flags.local, flags.everywhere) == (False, False)


@pytest.mark.parametrize("words", [(), ("--mode=everywhere",), ("--mode=",), ("local",)])
@pytest.mark.usefixtures("host")
def test_a_mode_that_is_none_is_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--set-maintenance", *words]) == 1
    assert "MODE is one of global, local, none" in capsys.readouterr().err


@pytest.mark.usefixtures("host")
def test_an_error_is_json_where_json_is_asked_for(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    with storage_away(cluster):
        out = said(capsys, "--vm-status", "--json", status=1)
    assert list(json.loads(out)) == ["error"]


@pytest.mark.usefixtures("nobody")
def test_what_needs_a_deployment_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--vm-status", status=1) == "You must run deploy first\n"
    assert said(capsys, "--check-deployed", status=1) == (
        "The hosted engine has not been deployed\n"
    )
    assert run(["--check-liveliness"]) == 2


@pytest.mark.usefixtures("host")
def test_a_configured_host_is_deployed(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--check-deployed") == "The hosted engine has been deployed\n"


@pytest.mark.usefixtures("host")
def test_an_engine_that_does_not_answer_is_not_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--check-liveliness", status=1) == "Hosted Engine is not up!\n"


def test_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    usage = said(capsys, status=1)
    assert usage.startswith("Usage: hosted-engine")
    assert said(capsys, "--help") == usage
    assert run(["--vm-stop"]) == 1
    found = capsys.readouterr()
    assert (found.out, found.err) == (usage, "Invalid option '--vm-stop'\n")


@pytest.mark.parametrize("words", [("--help", "vm-status"), ("--vm-status", "--help")])
def test_the_help_of_one_command(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, *words).startswith("Usage: hosted-engine --vm-status [--json]\n")


@pytest.mark.usefixtures("host")
def test_an_unknown_word_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--vm-status", "--xml"]) == 1
    assert capsys.readouterr().err == "hosted-engine: Invalid option '--xml'; known: --json\n"


# What the agents do about an order.


@pytest.mark.parametrize(
    ("wanted", "everywhere", "local", "what"),
    [
        (Wanted.SHUT_DOWN, True, False, ""),
        (Wanted.SHUT_DOWN, False, False, "an agent starts the VM again as soon as it has ended"),
        (Wanted.POWER_OFF, False, True, "an agent starts the VM again as soon as it has ended"),
        (Wanted.START, True, False, "no agent starts the VM again if it ends"),
        (Wanted.START, False, False, ""),
        (Wanted.START, False, True, "its agent moves the VM to another host"),
        (Wanted.START_PAUSED, False, False, "the agent powers off a VM that stays paused"),
        (Wanted.START_PAUSED, True, False, "no agent starts the VM again if it ends"),
    ],
)
def test_what_the_agents_do_about_an_order_is_said(
    host: ClusterHost, wanted: Wanted, everywhere: bool, local: bool, what: str
) -> None:
    host.client.maintenance(local=local, everywhere=everywhere)
    said = what_follows(wanted, host.client)
    assert what in said
    assert bool(said) is bool(what)


def test_where_the_broker_is_away_it_is_said_that_nobody_knows(tmp_path: Path) -> None:
    broker = BrokerClient(str(tmp_path / "none.sock"), 1.0)
    assert "not known what the agents do next" in what_follows(Wanted.START, broker)


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    "words",
    [("--add-console-password", "--password=s3cret"), ("--add-console-password=s3cret",)],
)
def test_a_password_among_the_words_is_taken_as_today_and_as_in_2013(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 1
    said = capsys.readouterr().err
    assert "every user of this host can read a password in the list of processes" in said
    assert "has no screen" in said
    assert "s3cret" not in said
