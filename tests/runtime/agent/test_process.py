"""The real daemons: what they do when parts of a host are killed, stopped, reloaded, superseded."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest

from he_fsm import __version__
from he_fsm.cli import daemons
from he_fsm.metadata import EngineStatus, HostRecord, encode_slot
from he_fsm.runtime.hypervisors.process.vm.witness import DOUBLE
from he_fsm.testing.waiting import until
from tests.runtime.cluster import AGENT, BROKER, Cluster, ClusterHost

DAEMONS = (AGENT, BROKER)


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[ClusterHost]:
    """A cluster of one host; nothing runs yet."""
    cluster = Cluster(tmp_path, ids=(1,))
    yield cluster.hosts[1]
    cluster.tear_down()


# Two hosts, on which things are killed.


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two hosts with all their daemons; each test leaves them so."""
    cluster = Cluster(tmp_path_factory.mktemp("pair"))
    cluster.start()
    yield cluster
    cluster.tear_down()


def said(host: ClusterHost, daemon: str, sentence: str) -> bool:
    return sentence in host.log(daemon)


def vm_of(host: ClusterHost) -> int:
    record = host.vm()
    assert record is not None
    return record.pid


def test_a_killed_agent_is_followed_by_one_that_adopts_the_vm(pair: Cluster) -> None:
    host = pair.engine_is_up()
    vm = vm_of(host)
    host.kill(AGENT)
    host.start(AGENT)
    until(lambda: "EngineUp" in host.log(AGENT).rpartition(" looks every ")[2])
    assert pair.engine_is_up() is host
    assert vm_of(host) == vm


def test_a_killed_broker_is_missed_for_as_long_as_it_is_away(pair: Cluster) -> None:
    host = pair.engine_is_up()
    vm, socket_path = vm_of(host), host.run_dir / "broker.sock"
    host.kill(BROKER)
    until(lambda: "broker.sock does not answer" in host.log(AGENT))
    assert socket_path.is_socket()
    # It replaces the socket that the killed one left.
    host.start(BROKER)
    until(lambda: "the broker answers again" in host.log(AGENT))
    assert pair.engine_is_up() is host
    assert vm_of(host) == vm


def test_a_killed_storage_worker_is_replaced(pair: Cluster) -> None:
    host = pair.engine_is_up()
    vm, worker = vm_of(host), host.worker()
    worker.kill()
    until(lambda: host.worker().pid != worker.pid)
    until(lambda: "is started anew" in host.log(BROKER))
    assert pair.engine_is_up() is host
    assert vm_of(host) == vm


def test_a_killed_vm_is_started_again(pair: Cluster) -> None:
    host = pair.engine_is_up()
    vm = vm_of(host)
    os.kill(vm, signal.SIGKILL)
    # The agent may not have noticed it yet.
    until(lambda: host.vm() is None or vm_of(host) != vm)
    assert vm_of(pair.engine_is_up()) != vm
    assert DOUBLE not in pair.witnessed()


def test_a_host_that_loses_everything_is_taken_over_from(pair: Cluster) -> None:
    host = pair.engine_is_up()
    vm = vm_of(host)
    for daemon in DAEMONS:
        host.signal(daemon, signal.SIGKILL)
    os.kill(vm, signal.SIGKILL)
    for daemon in DAEMONS:
        host.wait(daemon)
    other = next(each for each in pair.hosts.values() if each is not host)
    until(lambda: other.state == "EngineUp", within_s=40.0)
    host.start()
    assert pair.engine_is_up() is other
    assert DOUBLE not in pair.witnessed()


def test_the_last_calls_of_an_agent_are_served_by_a_broker_that_is_stopped_too(
    pair: Cluster,
) -> None:
    holder = pair.engine_is_up()
    idle = next(each for each in pair.hosts.values() if each is not holder)
    vm = vm_of(holder)
    workers = [host.worker() for host in (idle, holder)]
    logs = {(host.id, daemon): host.log(daemon) for host in (idle, holder) for daemon in DAEMONS}
    assert idle.stop() == [0, 0]
    assert holder.stop() == [0, 0]
    records = pair.read().records
    assert [(records[i].stopped, records[i].score) for i in (1, 2)] == [(True, 0)] * 2
    # The VM runs on, and its host keeps its id; the other gave its id back.
    assert vm_of(holder) == vm
    left = {
        host.id: json.loads((pair.shared / "leases" / f"host-{host.id}").read_bytes())["left"]
        for host in (idle, holder)
    }
    assert left == {idle.id: True, holder.id: False}
    for (host_id, daemon), before in logs.items():
        since = pair.hosts[host_id].log(daemon).removeprefix(before)
        assert "warning" not in since
        assert "error" not in since
    assert [process.pid for process in pair.left_over()] == [vm]
    assert not any(worker.is_running() for worker in workers)
    # They come back to a VM that still runs, and to a host id that was given away.
    pair.start()
    assert pair.engine_is_up() is holder
    assert vm_of(holder) == vm


# One host.


def test_an_agent_that_starts_before_its_broker_waits_for_it(lone: ClusterHost) -> None:
    lone.start(AGENT)
    until(lambda: "broker.sock does not answer" in lone.log(AGENT))
    lone.start(BROKER)
    until(lambda: lone.state == "EngineUp")
    # Said once, however often it was met.
    assert lone.log(AGENT).count("does not answer") == 1


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(20)
        yield server


def test_the_service_manager_hears_of_start_reload_life_and_end(
    lone: ClusterHost, manager: socket.socket
) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "400000"}
    for daemon in (BROKER, AGENT):
        heard: list[str] = []

        def hear(word: str, heard: list[str] = heard) -> None:
            while not any(line.startswith(word) for line in heard):
                heard.extend(manager.recv(4096).decode().split("\n"))

        lone.start(daemon, environ=environ)
        hear("READY=1")
        hear("WATCHDOG=1")
        del heard[:]
        lone.signal(daemon, signal.SIGHUP)
        hear("RELOADING=1")
        hear("READY=1")
        lone.signal(daemon, signal.SIGTERM)
        hear("STOPPING=1")
        assert lone.wait(daemon) == 0
    assert any(line.startswith("STATUS=") for line in heard)


def test_a_reload_takes_a_good_file_and_refuses_a_bad_one(lone: ClusterHost) -> None:
    lone.start()
    until(lambda: lone.state in {"EngineDown", "EngineUp"})
    lone.configure(policy={"gateway_weight": 700}, engine={"memory": 2048})
    for daemon in DAEMONS:
        lone.signal(daemon, signal.SIGHUP)
        until(partial(said, lone, daemon, f"reloaded {lone.path}"))
    # Only now: without a gateway the score is the same by both files, and is not said again.
    lone.measure(network="0")
    until(lambda: "score 1400: -700 gateway" in lone.log(AGENT))
    good = lone.path.read_text()
    fixed = good.replace("hostname: host1", "hostname: another")
    for text, sentence in (("host: [", "not reloaded: "), (fixed, "another host needs a restart")):
        lone.path.write_text(text)
        for daemon in DAEMONS:
            lone.signal(daemon, signal.SIGHUP)
            until(partial(said, lone, daemon, sentence))
    assert lone.log(AGENT).count("not reloaded") == 2
    assert all(process.poll() is None for process in lone.processes.values())


def test_a_second_daemon_of_a_host_is_refused(lone: ClusterHost) -> None:
    lone.start()
    until(lone.report)
    for daemon, name in ((AGENT, "agent"), (BROKER, "broker")):
        second = lone.run(daemon)
        assert second.returncode == 4
        lock = lone.run_dir / f"{name}.lock"
        # Where standard error is no journal, a line begins with the time.
        assert second.stderr.endswith(f" error: another {name} runs here: it holds {lock}\n")
    until(lambda: lone.state == "EngineUp")


def test_an_agent_that_a_newer_release_has_superseded_ends_with_status_3(
    lone: ClusterHost,
) -> None:
    lone.start()
    until(lone.report)
    whiteboard = lone.storage / "whiteboard"
    record = HostRecord(
        host_id=2,
        timestamp=1,
        score=2400,
        engine=EngineStatus("down", "bad", "unknown"),
        hostname="host2",
        parse_version=2,
        feature_version=2,
    )

    def grow() -> bool:
        nonlocal record
        record = attrs.evolve(record, timestamp=record.timestamp + 1)
        with whiteboard.open("r+b") as file:
            file.seek(2 * 4096)
            file.write(encode_slot(record, "", version=2))
        time.sleep(0.3)
        return lone.processes[AGENT].poll() is not None

    until(grow)
    assert lone.wait(AGENT) == 3
    assert "stopped: " in lone.log(AGENT)
    until(lambda: not lone.vm())


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_configuration_is_checked(
    lone: ClusterHost,
    daemon: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", [daemon, "--config", str(lone.path), *arguments])
        with pytest.raises(SystemExit) as ended:
            getattr(daemons, daemon)()
        return (ended.value.code, *capsys.readouterr())

    status, out, err = run("--check-config")
    assert (status, err) == (0, "")
    assert out.endswith(": OK\n")
    lone.configure(host={"id": 0})
    for arguments in (["--check-config"], []):
        status, out, err = run(*arguments)
        assert (status, out) == (2, "")
        assert err.startswith(f"he-fsm-{daemon}: ")
        assert "host.id" in err
        assert err.count("\n") == 1
    assert run("--no-such-option")[0] == 2
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    assert "Exit statuses:\n    0  ended by" in out
    status, out, err = run("--version")
    assert (status, out) == (0, f"he-fsm-{daemon}, version {__version__}\n")


def test_an_agent_looks_once(lone: ClusterHost) -> None:
    lone.start(BROKER)
    until(lone.reads_storage)
    once = lone.run(AGENT, "--once")
    assert once.returncode == 0
    found = json.loads(once.stdout)
    assert found["state"] == "EngineDown"
    assert found["effects"] == []
    status = lone.client.status()
    assert status["hosts"]["1"]["stopped"]
    assert not status["lease"]["joined"]


def test_an_agent_with_its_broker_inside_needs_no_socket(lone: ClusterHost) -> None:
    lone.configure(broker="embedded")
    lone.start(AGENT)
    until(lambda: "EngineStarting -> EngineUp" in lone.log(AGENT))
    assert not (lone.run_dir / "broker.sock").exists()
    lone.configure(policy={"gateway_weight": 700})
    lone.signal(AGENT, signal.SIGHUP)
    until(lambda: "reloaded" in lone.log(AGENT))
    assert lone.stop() == [0]
    assert lone.vm()


def test_damaged_files_are_one_line_in_the_log_each(lone: ClusterHost) -> None:
    for name in ("memory.json", "flags.json"):
        (lone.state_dir / name).write_bytes(b'{"\xff')
    lone.start()
    until(lambda: lone.state == "LocalMaintenance")
    assert lone.log(AGENT).count("memory.json") == 1
    assert lone.log(BROKER).count("flags.json") == 1
    assert all(process.poll() is None for process in lone.processes.values())
