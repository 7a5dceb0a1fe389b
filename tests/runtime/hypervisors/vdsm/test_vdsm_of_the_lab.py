"""The verbs of the lab's vdsm, by its wire: codes, statuses in their order, events, owners."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from he_fsm.errors import HypervisorError
from he_fsm.lab.ovirt.definition import VM_ID, vm_conf
from he_fsm.runtime.hypervisors.vdsm.definition import parse
from he_fsm.runtime.hypervisors.vdsm.kind import connects
from he_fsm.runtime.vdsm.interface import (
    GENERAL_ERROR,
    NO_SUCH_METHOD,
    NO_SUCH_VM,
    RECOVERING,
    VM_EXISTS,
    VdsmClient,
    VdsmError,
)
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.vdsm.vdsm_hosts import NEEDS_VDSM, VdsmHosts

pytestmark = [*NEEDS_VDSM, pytest.mark.long]

DOMAIN, VOLUME = "he", "engine"
VM = {"vmID": VM_ID}


class Heard:
    """Keeps the statuses that events tell."""

    def __init__(self) -> None:
        self.statuses: list[str] = []
        self.last: Mapping[str, Any] = {}
        self.listens = threading.Event()

    def event(self, name: str, params: Mapping[str, Any]) -> None:
        if name == f"|virt|VM_status|{VM_ID}":
            self.last = params[VM_ID]
            self.statuses.append(self.last["status"])

    def events_lost(self, _why: str) -> None:
        self.listens.set()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def client(hosts: VdsmHosts, heard: Heard) -> Iterator[VdsmClient]:
    client = connects(hosts.configs[1])(heard)
    assert heard.listens.wait(5.0)
    yield client
    client.close()


def code_of(client: VdsmClient, method: str, **params: Any) -> int:
    with pytest.raises(VdsmError) as refused:
        client.call(method, params)
    return refused.value.code


def create(hosts: VdsmHosts, client: VdsmClient) -> Any:
    xml = parse(vm_conf(hosts.lab.place(), "engine", 64)).xml
    return client.call("VM.create", {**VM, "vmParams": {"xml": xml}})


def status(client: VdsmClient) -> str:
    return str(client.call("VM.getStats", VM)[0]["status"])


def test_a_vm_has_its_statuses_in_their_order(
    hosts: VdsmHosts, client: VdsmClient, heard: Heard
) -> None:
    assert create(hosts, client)["status"] == "WaitForLaunch"
    until(lambda: status(client) == "Up")
    until(lambda: len(heard.statuses) == 3)
    assert heard.statuses == ["WaitForLaunch", "Powering up", "Up"]
    assert client.call("VM.shutdown", VM) is True
    until(lambda: status(client) == "Down")
    until(lambda: heard.statuses[3:] == ["Powering down", "Down"])
    assert (heard.last["exitCode"], heard.last["exitReason"]) == (0, 6)
    # It stays in the list until somebody destroys it.
    assert [each["status"] for each in client.call("Host.getVMList")] == ["Down"]
    assert client.call("VM.destroy", VM) is True
    assert client.call("Host.getVMList") == []
    assert code_of(client, "VM.getStats", **VM) == NO_SUCH_VM


def test_a_vm_that_is_killed_has_lost_its_qemu(
    hosts: VdsmHosts, client: VdsmClient, heard: Heard
) -> None:
    create(hosts, client)
    until(lambda: status(client) == "Up")
    hosts.signal(1, 9)
    until(lambda: "Down" in heard.statuses)
    assert (heard.last["exitCode"], heard.last["exitReason"]) == (1, 2)


def test_who_has_no_lease_is_down_with_what_ovirts_agents_know_it_by(
    hosts: VdsmHosts, client: VdsmClient, heard: Heard
) -> None:
    hosts.start(2)
    create(hosts, client)
    until(lambda: "Down" in heard.statuses)
    assert (heard.last["exitCode"], heard.last["exitReason"]) == (1, 1)
    assert heard.last["exitMessage"].endswith(
        "Failed to acquire lock: Lease is held by another host"
    )


def test_errors_have_vdsms_codes(hosts: VdsmHosts, client: VdsmClient) -> None:
    assert code_of(client, "VM.getStats", vmID="another") == NO_SUCH_VM
    assert code_of(client, "VM.destroy", **VM) == NO_SUCH_VM
    assert code_of(client, "VM.getStats") == 11
    assert code_of(client, "VM.dream", **VM) == NO_SUCH_METHOD
    assert code_of(client, "VM.create", **VM, vmParams={"vmId": VM_ID}) == GENERAL_ERROR
    assert code_of(client, "VM.create", **VM, vmParams={"xml": "<domain/>"}) == 9
    create(hosts, client)
    with pytest.raises(VdsmError) as refused:
        create(hosts, client)
    assert refused.value.code == VM_EXISTS
    until(lambda: status(client) == "Up")
    assert code_of(client, "VM.migrateCancel", **VM) == 47
    assert code_of(client, "VM.migrate", **VM, params={"dst": "nowhere"}) == 10
    assert code_of(client, "Host.startMonitoringDomain", sdUUID="x", hostID=1) == 358


def test_the_storage_says_who_has_the_engines_disk(hosts: VdsmHosts, client: VdsmClient) -> None:
    place = {"storagedomainID": DOMAIN, "volumeID": VOLUME}
    lease = {"lease": {"sd_id": DOMAIN, "lease_id": VOLUME}}
    before = client.call("Volume.getInfo", place)["lease"]
    assert before["owners"] == []
    hosts.start(2)
    after = client.call("Volume.getInfo", place)["lease"]
    assert (after["owners"], after["path"]) == ([2], hosts.lab.place().path)
    assert after["version"] == before["version"] + 1
    assert client.call("Lease.status", lease)["owners"] == [2]


def test_the_host_tells_what_the_engine_reads(hosts: VdsmHosts, client: VdsmClient) -> None:
    stats = client.call("Host.getStats")
    assert stats["memFree"] > 0
    assert float(stats["cpuIdle"]) >= 0
    assert stats["network"]["lo"]["name"] == "lo"
    assert stats["vmActive"] == 0
    create(hosts, client)
    until(lambda: client.call("Host.getStats")["vmActive"] == 1)
    assert int(client.call("Host.getCapabilities")["memSize"]) > 0


def test_a_vm_survives_its_vdsm_which_recovers_with_code_99(
    hosts: VdsmHosts, client: VdsmClient
) -> None:
    create(hosts, client)
    until(lambda: status(client) == "Up")
    pid, daemon = hosts.pid(1), hosts.lab.daemons[1]
    daemon.kill()
    with pytest.raises(HypervisorError):
        client.call("Host.ping2")
    daemon.begin(recovery_s=2.0)
    another = connects(hosts.configs[1])(None)
    try:
        with pytest.raises(VdsmError) as refused:
            another.call("Host.ping2", timeout_s=1.0)
    finally:
        another.close()
    assert refused.value.code == RECOVERING
    until(lambda: _answers(client))
    assert (status(client), hosts.pid(1)) == ("Up", pid)


def _answers(client: VdsmClient) -> bool:
    try:
        return bool(client.call("Host.ping2", timeout_s=1.0))
    except HypervisorError:
        return False
