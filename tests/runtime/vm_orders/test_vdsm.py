"""The VM of an oVirt host by hand: the calls of oVirt's own command, over the real wire."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

import attrs
import pytest

from he_fsm.errors import ConfigError, HypervisorError
from he_fsm.lab.vdsm.server import VdsmServer
from he_fsm.runtime.config.ovirt.connection import connection_of
from he_fsm.runtime.hypervisors.vdsm.definition import VmDefinition
from he_fsm.runtime.ports import ConnectsStorage, HasSerialConsole, TakesPassword
from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.interface import NO_SUCH_VM, VdsmError
from he_fsm.runtime.vm_orders.vdsm import VdsmByHand

VM_ID = "11111111-2222-4333-8444-555555555555"
LEASE = "<lease><lockspace>d</lockspace><key>k</key><target path='/l' offset='0'/></lease>"
STORAGE = {"domainType": "nfs4", "storage": "server:/engine", "connectionUUID": "c"}


def xml(devices: str = LEASE) -> str:
    names = f"<name>HostedEngine</name><uuid>{VM_ID}</uuid>"
    return f"<domain type='kvm'>{names}<devices>{devices}</devices></domain>"


def has_lease(definition: VmDefinition) -> None:
    if not definition.leases:
        msg = "the definition names no lease"
        raise HypervisorError(msg)


@attrs.define
class Verbs:
    """One VM, which does at once what it is told; and what it was told."""

    status: Optional[str] = None
    port: str = "-1"
    storage_code: int = 0
    error: Optional[VdsmError] = None
    calls: list[tuple[str, Mapping[str, Any]]] = attrs.field(factory=list)
    guard: threading.Lock = attrs.field(factory=threading.Lock)

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        with self.guard:
            self.calls.append((method, params))
            if self.error is not None:
                raise self.error
            if method.startswith("VM.") and method != "VM.create" and self.status is None:
                raise VdsmError(
                    NO_SUCH_VM, f"Virtual machine does not exist: {{'vmId': '{VM_ID}'}}"
                )
            return self._done(method)

    def _done(self, method: str) -> Any:
        if method == "VM.getStats":
            screen = {"type": "vnc", "port": self.port, "ipAddress": "192.0.2.1"}
            # The screen has its port by the next look.
            self.port = "5900"
            return [{"vmId": VM_ID, "status": self.status, "displayInfo": [screen]}]
        if method == "VM.create":
            self.status = "WaitForLaunch"
        elif method == "VM.destroy":
            self.status = None
        elif method == "StoragePool.connectStorageServer":
            return [{"id": "c", "status": self.storage_code}]
        return True

    def last(self, method: str) -> Mapping[str, Any]:
        return [params for name, params in self.calls if name == method][-1]


@pytest.fixture
def verbs() -> Verbs:
    return Verbs()


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "vm.conf"
    path.write_text(f"vmId={VM_ID}\nxmlBase64={base64.b64encode(xml().encode()).decode()}\n")
    return path


@pytest.fixture
def vm(verbs: Verbs, conf: Path, tmp_path: Path) -> Iterator[VdsmByHand]:
    server = VdsmServer(verbs)
    server.start()
    client = OwnClient(Address(host="127.0.0.1", port=server.port, certificates=None))
    yield VdsmByHand(
        client=client,
        vm_id=VM_ID,
        conf=conf,
        vet=has_lease,
        connection=lambda: connection_of(STORAGE),
        domain_id="d",
        consoles=tmp_path,
    )
    client.close()
    server.close()


def test_a_start_creates_the_vm_by_its_definition(vm: VdsmByHand, verbs: Verbs) -> None:
    assert vm.status() is None
    vm.start()
    assert verbs.last("VM.create") == {"vmID": VM_ID, "vmParams": {"xml": xml()}}
    assert vm.status() == "WaitForLaunch"


def test_another_definition_can_be_given(vm: VdsmByHand, verbs: Verbs, tmp_path: Path) -> None:
    other = xml(f"{LEASE}<emulator>/qemu</emulator>")
    path = tmp_path / "other.conf"
    path.write_text(f"xmlBase64={base64.b64encode(other.encode()).decode()}\n")
    vm.start(conf=path)
    assert verbs.last("VM.create")["vmParams"] == {"xml": other}


def test_a_definition_without_a_lease_is_never_started(
    vm: VdsmByHand, verbs: Verbs, conf: Path
) -> None:
    conf.write_text(f"xmlBase64={base64.b64encode(xml('').encode()).decode()}\n")
    with pytest.raises(HypervisorError, match="names no lease"):
        vm.start()
    for text, why in (
        (f"vmId={VM_ID}\nmemSize=4096\n", "has no xmlBase64"),
        (f"xmlBase64={base64.b64encode(b'<pool/>').decode()}\n", "is no domain"),
    ):
        conf.write_text(text)
        with pytest.raises(ConfigError, match=why):
            vm.start()
    conf.unlink()
    with pytest.raises(ConfigError, match="can't be read"):
        vm.start()
    assert verbs.calls == []


def test_the_guest_is_asked_as_ovirt_asks_it(vm: VdsmByHand, verbs: Verbs) -> None:
    verbs.status = "Up"
    vm.shut_down()
    assert verbs.last("VM.shutdown") == {
        "vmID": VM_ID,
        "delay": 120,
        "message": "VM is shutting down!",
    }
    vm.power_off()
    assert vm.status() is None


@pytest.mark.parametrize("deed", ["shut_down", "power_off"])
def test_a_vm_that_is_not_here_is_vdsms_error(vm: VdsmByHand, deed: str) -> None:
    with pytest.raises(VdsmError, match="Virtual machine does not exist"):
        getattr(vm, deed)()


def test_an_error_is_not_taken_for_a_vm_that_is_not_here(vm: VdsmByHand, verbs: Verbs) -> None:
    verbs.error = VdsmError(100, "General Exception")
    with pytest.raises(VdsmError, match="General Exception"):
        vm.status()


def test_a_password_is_set_and_the_screens_port_waited_for(vm: VdsmByHand, verbs: Verbs) -> None:
    assert isinstance(vm, TakesPassword)
    verbs.status = "Up"
    screen = vm.set_password("hush", 120)
    assert (screen.protocol, screen.address, screen.port) == ("vnc", "192.0.2.1", 5900)
    assert verbs.last("VM.updateDevice")["params"] == {
        "deviceType": "graphics",
        "graphicsType": "vnc",
        "password": "hush",
        "ttl": 120,
        "existingConnAction": "keep",
        "params": {},
    }
    assert "hush" not in repr(screen)


def test_the_serial_console_is_ovirts_socket_where_there_is_one(
    vm: VdsmByHand, verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(vm, HasSerialConsole)
    with pytest.raises(HypervisorError, match="not on this host"):
        vm.serial_console()
    verbs.status = "Up"
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(HypervisorError, match="there is no virsh"):
        vm.serial_console()
    for name in ("virsh", "socat"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    assert vm.serial_console()[-2:] == ("console", "HostedEngine")
    (tmp_path / f"{VM_ID}.sock").touch()
    assert vm.serial_console()[-1] == f"UNIX-CONNECT:{tmp_path}/{VM_ID}.sock"


def test_the_storage_is_connected_and_looked_at_anew(vm: VdsmByHand, verbs: Verbs) -> None:
    assert isinstance(vm, ConnectsStorage)
    vm.connect_storage()
    params = verbs.last("StoragePool.connectStorageServer")
    assert (params["domainType"], params["connectionParams"][0]["protocol_version"]) == (1, "4")
    assert verbs.last("StorageDomain.getStats") == {"storagedomainID": "d"}
    vm.disconnect_storage()
    assert verbs.last("StoragePool.disconnectStorageServer") == params


def test_a_storage_that_vdsm_can_not_connect_is_said(vm: VdsmByHand, verbs: Verbs) -> None:
    verbs.storage_code = 477
    with pytest.raises(HypervisorError, match="can't connect the storage: c: code 477"):
        vm.connect_storage()
