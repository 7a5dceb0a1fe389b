"""`hosted-engine` on a host with real daemons and a real VM: started paused, resumed, ended."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

import pytest

from he_fsm.cli.hosted_engine import CONFIG_VARIABLE
from he_fsm.cli.hosted_engine import run as hosted_engine
from he_fsm.lab.guest.saved import guest_vm, resting
from he_fsm.runtime.config.plain import plain
from he_fsm.testing.vm_hosts import free_port
from he_fsm.testing.waiting import until
from tests.runtime.cluster import AGENT, Cluster, ClusterHost
from tests.runtime.hypervisors.qemu.qemu_hosts import Prepared, short_folder

pytestmark = pytest.mark.qemu
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def host(prepared: Prepared) -> Iterator[ClusterHost]:
    """A host in global maintenance, whose VM can be had at once."""
    with short_folder() as folder:
        cluster = Cluster(folder / "c", ids=(1,))
        host = cluster.hosts[1]
        port = free_port()
        disk = folder / "disk"
        disk.write_bytes(bytes(1 << 20))
        vm = guest_vm(resting(prepared.guest), disk, port, accel="tcg")
        host.plain["hypervisor"] = {"kind": "qemu", "vm": plain(vm)}
        host.configure(leases="embedded", engine={"health": {"url": f"http://127.0.0.1:{port}/"}})
        host.start()
        until(host.reads_storage)
        host.client.maintenance(everywhere=True)
        until(lambda: host.state == "GlobalMaintenance")
        yield host
        cluster.tear_down()


@pytest.fixture
def said(
    host: ClusterHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Said:
    monkeypatch.setenv(CONFIG_VARIABLE, str(host.path))

    def ran(*words: str) -> tuple[int, str, str]:
        status = hosted_engine(words)
        found = capsys.readouterr()
        return status, found.out, found.err

    return ran


def resume(host: ClusterHost) -> None:
    """Resume the VM as the page says: by the monitor for people."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(host.run_dir / "vm.monitor"))
        lines = monitor.makefile("rw")
        assert "QMP" in json.loads(lines.readline())
        for word in ("qmp_capabilities", "cont"):
            lines.write(json.dumps({"execute": word}))
            lines.flush()
            assert "error" not in lines.readline()


def seen(host: ClusterHost) -> object:
    return host.report().get("vm")


def test_a_vm_is_started_paused_and_resumed_and_ended_without_the_agent(
    host: ClusterHost, said: Said
) -> None:
    assert said("--vm-start-paused")[:2] == (0, "VM in WaitForLaunch\n")
    assert seen(host) == "paused"
    status = host.status()
    assert status["lease"]["owner"] == 1
    resume(host)
    until(lambda: seen(host) == "up")
    assert said("--vm-start-paused")[:2] == (1, "VM exists and its status is Up\n")
    vm = host.vm()
    assert vm is not None
    host.stop(AGENT)
    host.stop()
    assert vm.is_here
    assert said("--vm-poweroff")[:2] == (0, "")
    until(lambda: not vm.is_here)
    status_code, _, err = said("--vm-poweroff")
    assert status_code == 1
    assert "Virtual machine does not exist" in err
