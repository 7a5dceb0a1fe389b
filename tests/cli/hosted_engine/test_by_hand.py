"""The VM by hand on real daemons: what the commands do, and what the agents do about it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Callable

import pytest

from he_fsm.cli.hosted_engine import CONFIG_VARIABLE
from he_fsm.cli.hosted_engine import run as hosted_engine
from he_fsm.testing.waiting import until
from tests.cli.conftest import Ran
from tests.runtime.cluster import AGENT, Cluster, ClusterHost


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two hosts with all their daemons; each test leaves them so."""
    cluster = Cluster(tmp_path_factory.mktemp("pair"))
    cluster.start()
    yield cluster
    cluster.tear_down()


@pytest.fixture
def engine(pair: Cluster) -> Iterator[ClusterHost]:
    """The host that runs the engine, which is up; afterwards no flag is set."""
    yield pair.engine_is_up()
    for host in pair.hosts.values():
        host.client.maintenance(local=False, everywhere=False)


def other_than(cluster: Cluster, host: ClusterHost) -> ClusterHost:
    [other] = [each for each in cluster.hosts.values() if each is not host]
    return other


def keeps_hands_off(cluster: Cluster, host: ClusterHost) -> None:
    host.client.maintenance(everywhere=True)
    until(lambda: all(each.state == "GlobalMaintenance" for each in cluster.hosts.values()))


Command = Callable[..., Ran]


@pytest.fixture
def vm(run: Command) -> Command:
    """Run `he-fsm vm` on a host; what it asks is agreed to beforehand."""

    def ran(host: ClusterHost, *words: str) -> Ran:
        agreed = () if words[0] == "start" else ("--yes",)
        return run("vm", *words, *agreed, "--config", host.path)

    return ran


def is_gone(host: ClusterHost) -> bool:
    return host.vm() is None and host.report().get("vm") == "absent"


def test_a_vm_that_is_ended_by_hand_in_global_maintenance_stays_down(
    pair: Cluster, engine: ClusterHost, vm: Command
) -> None:
    keeps_hands_off(pair, engine)
    done = vm(engine, "shutdown")
    assert (done.status, done.err) == (0, "")
    until(lambda: is_gone(engine))
    assert pair.engines() == []
    assert "ordered by hand (user id" in engine.log(AGENT)
    # Either host can start it.
    other = other_than(pair, engine)
    done = vm(other, "start")
    assert (done.status, done.out) == (0, "the VM is on this host: Up\n")
    assert done.err.startswith("global maintenance is on: no agent starts the VM again")
    assert other.vm() is not None
    refused = vm(engine, "start")
    assert refused == Ran(
        2,
        "",
        f"he-fsm: host {other.id} (host{other.id}) holds the engine's lease: the VM runs there\n",
    )
    other.client.maintenance(everywhere=False)
    assert pair.engine_is_up() is other


def test_a_vm_that_is_ended_by_hand_without_maintenance_is_started_again(
    pair: Cluster, engine: ClusterHost, vm: Command
) -> None:
    first = engine.vm()
    assert first is not None
    done = vm(engine, "poweroff")
    assert done.status == 0
    assert done.err.startswith("global maintenance is off: an agent starts the VM again")
    until(lambda: any(each.vm() not in (None, first) for each in pair.hosts.values()), within_s=20)


def test_what_is_not_here_can_not_be_ended(pair: Cluster, engine: ClusterHost, vm: Command) -> None:
    other = other_than(pair, engine)
    for order in ("shutdown", "poweroff"):
        done = vm(other, order)
        assert done.err == (
            "he-fsm: Virtual machine does not exist: it is not on this host; host"
            f" {engine.id} (host{engine.id}) holds its lease\n"
        )
    assert engine.vm() is not None
    assert "is on this host already: Up" in vm(engine, "start").err


def test_the_vm_is_not_ended_unless_somebody_agrees(
    pair: Cluster, engine: ClusterHost, run: Command
) -> None:
    vm = engine.vm()
    other = other_than(pair, engine)
    for order, deed in (("shutdown", "would shut down "), ("poweroff", "would power off ")):
        rehearsed = run("vm", order, "--dry-run", "--config", engine.path)
        assert (rehearsed.status, rehearsed.out[: len(deed)]) == (0, deed)
        refused = run("vm", order, "--config", engine.path)
        assert refused.status == 2
        assert refused.err.endswith("; without a terminal nobody can be asked: add --yes\n")
        not_here = run("vm", order, "--dry-run", "--config", other.path)
        assert (not_here.status, "it is not on this host" in not_here.err) == (2, True)
    assert engine.vm() == vm


def test_an_order_can_be_refused_by_the_kind_of_hypervisor(
    pair: Cluster, engine: ClusterHost, vm: Command
) -> None:
    keeps_hands_off(pair, engine)
    assert vm(engine, "poweroff").status == 0
    until(lambda: is_gone(engine))
    done = vm(engine, "start", "--paused")
    assert "can't start the VM paused" in done.err
    assert engine.vm() is None
    assert vm(engine, "start").status == 0
    assert engine.vm() is not None


def test_without_an_agent_the_vm_can_be_ended_and_not_be_started(
    pair: Cluster, engine: ClusterHost, vm: Command
) -> None:
    keeps_hands_off(pair, engine)
    engine.stop(AGENT)
    # Its last report says nothing any more, once it is old enough.
    engine.stop()
    assert vm(engine, "poweroff").status == 0
    until(lambda: engine.vm() is None)
    for words in (("start",), ("shutdown",)):
        done = vm(engine, *words)
        assert done.status == 2
        assert "does not answer" in done.err or "does not run" in done.err
    engine.start()
    until(lambda: engine.state == "GlobalMaintenance", within_s=20)
    assert vm(engine, "start").status == 0
    assert engine.vm() is not None


def test_the_commands_of_ovirt(
    pair: Cluster,
    engine: ClusterHost,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def said(host: ClusterHost, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv(CONFIG_VARIABLE, str(host.path))
        status = hosted_engine(words)
        found = capsys.readouterr()
        return status, found.out, found.err

    keeps_hands_off(pair, engine)
    other = other_than(pair, engine)
    assert said(engine, "--vm-start") == (1, "VM exists and its status is Up\n", "")
    status, out, err = said(other, "--vm-start")
    assert (status, out) == (1, "VM failed to launch\n")
    who = f"host {engine.id} (host{engine.id})"
    assert err == f"hosted-engine: {who} holds the engine's lease: the VM runs there\n"
    assert said(other, "--vm-poweroff")[:2] == (1, "")
    assert said(other, "--console") == (0, "The engine VM is not on this host\n", "")
    assert said(engine, "--vm-shutdown") == (0, "", "")
    until(lambda: is_gone(engine))
    assert said(other, "--vm-start")[:2] == (0, "VM in WaitForLaunch\n")
    assert other.vm() is not None
    assert said(other, "--vm-start", "--vm-conf=/nowhere")[0] == 1


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_paused_vm_is_ended_and_started_anew(
    pair: Cluster,
    engine: ClusterHost,
    everywhere: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if everywhere:
        keeps_hands_off(pair, engine)
    else:
        # It would be as good, and its agent as fast.
        other = other_than(pair, engine)
        other.client.maintenance(local=True)
        until(lambda: other.state == "LocalMaintenance")
    before = engine.vm()
    assert before is not None
    monkeypatch.setenv(CONFIG_VARIABLE, str(engine.path))
    os.kill(before.pid, signal.SIGSTOP)
    until(lambda: engine.report().get("vm") == "paused")
    # Without global maintenance the agent here may start it first.
    assert hosted_engine(["--vm-start"]) == 0
    assert capsys.readouterr().out == (
        "VM exists and is Paused, cleaning up and restarting\nVM in WaitForLaunch\n"
    )
    until(lambda: any(host.vm() not in (None, before) for host in pair.hosts.values()))
