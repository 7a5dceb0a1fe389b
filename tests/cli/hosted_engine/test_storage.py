"""`hosted-engine` and `he-fsm`: the storage, its slots and its leases, on real daemons."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from he_fsm.cli.hosted_engine import CONFIG_VARIABLE
from he_fsm.cli.hosted_engine import run as hosted_engine
from he_fsm.metadata import EngineStatus, HostRecord, encode_slot
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.runtime.leases.files import records
from he_fsm.testing.waiting import until
from tests.cli.conftest import Ran
from tests.runtime.cluster import AGENT, BROKER, Cluster, ClusterHost, storage_away

DOWN = EngineStatus("down", "bad", "unknown", "vm not running on this host")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two hosts with all their daemons, in global maintenance; each test leaves them so."""
    cluster = Cluster(tmp_path_factory.mktemp("pair"), ids=(1, 2, 3))
    host = cluster.hosts[1]
    host.start(BROKER)
    until(host.reads_storage)
    host.client.maintenance(everywhere=True)
    for each in (1, 2):
        cluster.hosts[each].start(*((AGENT,) if each == 1 else ()))
    until(lambda: all(cluster.hosts[each].state == "GlobalMaintenance" for each in (1, 2)))
    yield cluster
    cluster.tear_down()


Command = Callable[..., Ran]


@pytest.fixture
def hosted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Run `hosted-engine` on a host."""

    def ran(host: ClusterHost, *words: str) -> Ran:
        monkeypatch.setenv(CONFIG_VARIABLE, str(host.path))
        status = hosted_engine(words)
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return ran


def writes(cluster: Cluster, host_id: int, *, stopped: bool) -> None:
    record = HostRecord(
        host_id=host_id, timestamp=7, score=0, engine=DOWN, hostname="gone", stopped=stopped
    )
    cluster.whiteboard.write_slot(host_id, encode_slot(record, ""))


def slot(cluster: Cluster, host_id: int) -> bytes:
    data = cluster.whiteboard.read()
    # It ends with the last slot that is in use.
    return data[host_id * SLOT_BYTES : (host_id + 1) * SLOT_BYTES].ljust(SLOT_BYTES, b"\0")


def sees(host: ClusterHost, host_id: int) -> bool:
    """Whether the host knows whether another one is alive."""
    report = host.report()
    return str(host_id) in host.status()["hosts"] and host_id not in report["pending"]


# Slots.


def test_the_slot_of_a_host_that_lives_stays(pair: Cluster, hosted: Command) -> None:
    until(lambda: 2 in pair.hosts[1].report().get("alive", ()))
    for words in (("--host-id=2",), ("--host-id=2", "--force-cleanup")):
        done = hosted(pair.hosts[1], "--clean-metadata", *words)
        assert done.status == 1
        assert "slot 2 stays as it is: host 2 is alive" in done.err
    done = hosted(pair.hosts[1], "--clean-metadata", "--force-cleanup")
    assert "the agent of this host runs, and would write it again" in done.err
    assert slot(pair, 1).strip(b"\0")
    assert slot(pair, 2).strip(b"\0")


def test_the_slot_of_a_removed_host_is_emptied(
    pair: Cluster, hosted: Command, run: Command
) -> None:
    host = pair.hosts[1]
    writes(pair, 3, stopped=True)
    until(lambda: sees(host, 3))
    done = hosted(host, "--clean-metadata", "--host-id=3")
    assert (done.status, done.out) == (0, "slot 3 (gone): emptied\n")
    assert slot(pair, 3) == bytes(SLOT_BYTES)
    until(lambda: "3" not in host.status()["hosts"])
    done = run("clean", "--host-id", "3", "--config", host.path)
    assert (done.status, done.out) == (0, "slot 3: empty already, left alone\n")


def test_a_slot_is_emptied_only_where_somebody_agrees(pair: Cluster, run: Command) -> None:
    host = pair.hosts[1]
    writes(pair, 3, stopped=True)
    until(lambda: sees(host, 3))
    words = ("clean", "--host-id", "3", "--config", host.path)
    rehearsed = run(*words, "--dry-run")
    assert (rehearsed.status, rehearsed.out.startswith("would empty slot 3 (gone) ")) == (0, True)
    refused = run(*words)
    assert (refused.status, "add --yes" in refused.err) == (2, True)
    assert slot(pair, 3).strip(b"\0")
    assert run(*words, "--yes") == Ran(0, "slot 3 (gone): emptied\n", "")
    assert slot(pair, 3) == bytes(SLOT_BYTES)
    until(lambda: "3" not in host.status()["hosts"])


def test_a_host_that_has_not_said_that_it_stopped_needs_force(
    pair: Cluster, hosted: Command
) -> None:
    host = pair.hosts[1]
    writes(pair, 3, stopped=False)
    until(lambda: sees(host, 3))
    done = hosted(host, "--clean-metadata", "--host-id=3")
    assert done.status == 1
    assert "host 3 has not said that it stopped; if it is gone or dead, add --force-cleanup" in (
        done.err
    )
    assert slot(pair, 3).strip(b"\0")
    assert hosted(host, "--clean-metadata", "--host-id=3", "--force-cleanup").status == 0
    assert slot(pair, 3) == bytes(SLOT_BYTES)


def test_a_host_empties_its_own_slot_when_its_agent_is_stopped(
    pair: Cluster, hosted: Command, run: Command
) -> None:
    host = pair.hosts[2]
    host.stop(AGENT)
    until(lambda: host.status()["hosts"]["2"]["stopped"])
    assert hosted(host, "--clean-metadata") == Ran(0, "slot 2 (host2): emptied\n", "")
    assert slot(pair, 2) == bytes(SLOT_BYTES)
    # The host id is given back.
    assert not records.host_is_held(pair.shared / "leases", 2)
    host.start(AGENT)
    until(lambda: host.state == "GlobalMaintenance" and slot(pair, 2).strip(b"\0") != b"")
    assert run("clean", "--host-id", "0", "--config", host.path).status == 2


def test_without_a_broker_nothing_is_cleaned(pair: Cluster, hosted: Command) -> None:
    done = hosted(pair.hosts[3], "--clean-metadata")
    assert done.status == 254
    assert "does not answer" in done.err


@pytest.mark.parametrize("number", ["0", "2001", "x", ""])
def test_what_is_no_host_id_is_refused(pair: Cluster, hosted: Command, number: str) -> None:
    done = hosted(pair.hosts[1], "--clean-metadata", f"--host-id={number}")
    assert done.status == 1
    assert "expected --host-id=" in done.err


# The leases.


def test_the_leases_stay_while_hosts_live(pair: Cluster, hosted: Command, run: Command) -> None:
    host = pair.hosts[1]
    before = (pair.shared / "leases" / "host-1").stat().st_ino
    done = hosted(host, "--reinitialize-lockspace")
    assert done.status == 1
    assert done.err.startswith("hosted-engine: the leases stay as they are: host 1 (host1) has not")
    done = hosted(host, "--reinitialize-lockspace", "--force")
    assert done.status == 1
    assert done.out.startswith("host ids that were not given back: 1, 2; watching for ")
    assert "lives: it renews its host id" in done.err
    assert run("lockspace", "reset", "--config", host.path).status == 2
    assert (pair.shared / "leases" / "host-1").stat().st_ino == before


def test_the_leases_are_written_anew_when_all_have_stopped(
    pair: Cluster, hosted: Command, run: Command
) -> None:
    for each in (1, 2):
        pair.hosts[each].stop(AGENT)
    words = ("lockspace", "reset", "--config", pair.hosts[1].path)
    place = pair.shared / "leases"
    assert run(*words, "--dry-run").out.startswith(
        f"would write the leases of all host ids in {pair.hosts[1].storage}/{place.name} anew, "
    )
    assert "add --yes" in run(*words).err
    assert (pair.shared / "leases" / "host-1").exists()
    done = hosted(pair.hosts[1], "--reinitialize-lockspace")
    assert done == Ran(
        0, "the leases of all host ids were written anew, and the engine's with them\n", ""
    )
    assert not (pair.shared / "leases" / "host-1").exists()
    for each in (1, 2):
        pair.hosts[each].start(AGENT)
    until(lambda: all(pair.hosts[each].state == "GlobalMaintenance" for each in (1, 2)))


# The storage.


def test_the_storage_is_said_to_be_readable_or_what_to_do(pair: Cluster, hosted: Command) -> None:
    host = pair.hosts[1]
    done = hosted(host, "--connect-storage")
    assert (done.status, done.err) == (0, "")
    assert "has the records of 2 hosts" in done.out
    assert hosted(host, "--disconnect-storage").status == 0
    with storage_away(pair):
        done = hosted(host, "--connect-storage")
        assert done.status == 1
        assert "look at `findmnt -T " in done.err
    whiteboard = pair.shared / "whiteboard"
    content = whiteboard.read_bytes()
    whiteboard.write_bytes(b"something else")
    done = hosted(host, "--connect-storage")
    whiteboard.write_bytes(content)
    assert (done.status, "holds no whiteboard: he-fsm storage init" in done.err) == (1, True)


# Deployments.


def test_deploy_is_that_of_he_fsm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "none.yaml"))
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"state_dir: {tmp_path}/state\novirt: {{dir: {tmp_path}/ovirt}}\n")
    answers = tmp_path / "answers.conf"
    answers.write_text(
        "[environment:default]\nHE_FSM/hypervisor=str:embedded\n"
        f"OVEHOSTED_STORAGE/storageDomainConnection=str:{tmp_path}/shared\n"
        "OVEHOSTED_STORAGE/domainType=str:directory\nOVEHOSTED_NETWORK/gateway=str:127.0.0.1\n"
        "OVEHOSTED_NETWORK/fqdn=str:engine.example.com\n"
    )
    words = ["--deploy", f"--config-append={answers}", f"--settings={settings}", "--yes"]
    assert hosted_engine([*words, "--dry-run"]) == 0
    assert f"write {tmp_path}/none.yaml" in capsys.readouterr().out
    assert hosted_engine(["--deploy", "--ansible-extra-vars=a"]) == 1
    assert capsys.readouterr().err.startswith("FATAL: Invalid option '--ansible-extra-vars=a'")
    assert hosted_engine([*words, "--gateway=gate"]) == 1
    assert "'gate' is no IP address" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("virsh") is None, reason="virsh is not installed")
@pytest.mark.parametrize(("name", "status"), [("HostedEngineLocal", 2), ("Other", 1)])
def test_a_deployment_that_is_not_finished_is_said(
    name: str,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # libvirt's own test driver, with a domain of this name.
    node = tmp_path / "node.xml"
    node.write_text(
        f"<node><domain type='test'><name>{name}</name><memory>1024</memory>"
        "<os><type>hvm</type></os></domain></node>"
    )
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", f"test://{node}")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "none.yaml"))
    assert hosted_engine(["--vm-status"]) == status
    said = capsys.readouterr().out
    if status == 1:
        assert said == "You must run deploy first\n"
    else:
        assert said.startswith("The VM HostedEngineLocal is on this host: a deployment is going on")
    assert hosted_engine(["--vm-status", "--json"]) == status
    assert capsys.readouterr().out.startswith('{"error": "')


def test_without_virsh_there_is_no_such_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "none.yaml"))
    assert hosted_engine(["--vm-status"]) == 1
    assert capsys.readouterr().out == "You must run deploy first\n"
