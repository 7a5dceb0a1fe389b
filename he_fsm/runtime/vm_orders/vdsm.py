"""
The VM of an oVirt host by hand: vdsm takes orders from any process, so it is asked directly.

The calls are those of oVirt's own command. Source: ovirt-hosted-engine-setup 2.7.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.errors import ConfigError, HypervisorError
from he_fsm.runtime.config.ovirt.connection import Connection
from he_fsm.runtime.config.ovirt.vm_conf import params_of
from he_fsm.runtime.hypervisors.vdsm.definition import VmDefinition, of_xml
from he_fsm.runtime.ports import Console
from he_fsm.runtime.vdsm.interface import NO_SUCH_VM, VdsmClient, VdsmError

# How long the guest has to answer, and what it is told (seconds; source: as above).
_SHUTDOWN_S: Final = 120
_SHUTDOWN_SAYS: Final = "VM is shutting down!"
_STORAGE_S: Final = 60.0
# The screen's port is given out a moment after the VM was started.
_PORT_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.5
_VIRSH: Final = "virsh"
_SOCAT: Final = "socat"
_AUTH: Final = "/etc/ovirt-hosted-engine/virsh_auth.conf"
_NAME: Final = "HostedEngine"
_CONSOLES: Final = Path("/var/run/ovirt-vmconsole-console")


@attrs.frozen(kw_only=True)
class VdsmByHand:
    """
    The VM with the id `vm_id` by a vdsm; implements `ports.VmByHand` and what goes with it.

    `conf`: the usual `vm.conf`. `vet` raises `HypervisorError` where a definition must not be
    started on this host now. `connection` returns how the storage is connected, and `domain_id`
    is the storage domain's id. `consoles`: the folder of the serial consoles' sockets.
    """

    client: VdsmClient
    vm_id: str
    conf: Path
    vet: Callable[[VmDefinition], None]
    connection: Callable[[], Connection]
    domain_id: str = ""
    consoles: Path = _CONSOLES

    def status(self) -> Optional[str]:
        """Return vdsm's own word; None: it has no such VM."""
        found = self._stats()
        return None if found is None else str(found.get("status", "unknown"))

    def start(self, *, paused: bool = False, conf: Optional[Path] = None) -> None:
        """Have vdsm create the VM; whether it gets the lease shows in its status."""
        path = conf or self.conf
        params = params_of(_text_of(path), paused=paused)
        # safety: libvirt starts a VM whose definition names no lease without one.
        self.vet(_definition(params, path))
        self.client.call("VM.create", {"vmID": self.vm_id, "vmParams": params})

    def shut_down(self) -> None:
        """Have vdsm ask the guest."""
        message = {"delay": _SHUTDOWN_S, "message": _SHUTDOWN_SAYS}
        self.client.call("VM.shutdown", {"vmID": self.vm_id, **message})

    def power_off(self) -> None:
        """Have vdsm end the VM."""
        self.client.call("VM.destroy", {"vmID": self.vm_id})

    def set_password(self, password: str, valid_s: int) -> Console:
        """Set this password for the screen, and wait until the screen has a port."""
        device = {
            "deviceType": "graphics",
            "graphicsType": "vnc",
            "password": password,
            "ttl": valid_s,
            "existingConnAction": "keep",
            "params": {},
        }
        self.client.call("VM.updateDevice", {"vmID": self.vm_id, "params": device})
        ends = time.monotonic() + _PORT_WITHIN_S
        address, port = _screen(self._stats())
        while port <= 0 and time.monotonic() < ends:
            time.sleep(_LOOK_S)
            address, port = _screen(self._stats())
        return Console(
            protocol="vnc", address=address, port=port, password=password, valid_s=valid_s
        )

    def serial_console(self) -> Sequence[str]:
        """Return the command for the serial console: oVirt's own socket, or virsh."""
        if self.status() is None:
            msg = "the VM is not on this host"
            raise HypervisorError(msg)
        socket = self.consoles / f"{self.vm_id}.sock"
        if socket.exists():
            _check_there(_SOCAT)
            return (_SOCAT, "STDIO,raw,echo=0,escape=0x1d", f"UNIX-CONNECT:{socket}")
        _check_there(_VIRSH)
        return (_VIRSH, "--connect", f"qemu:///system?authfile={_AUTH}", "console", _NAME)

    def connect_storage(self) -> None:
        """Have vdsm connect the storage, and look at it anew."""
        params = self.connection().params
        if params["connectionParams"]:
            done = self.client.call("StoragePool.connectStorageServer", params, _STORAGE_S)
            _check_connected(done)
        # It makes vdsm look for new mounts.
        self.client.call("StorageDomain.getStats", {"storagedomainID": self.domain_id}, _STORAGE_S)

    def disconnect_storage(self) -> None:
        """Have vdsm disconnect the storage."""
        params = self.connection().params
        if params["connectionParams"]:
            self.client.call("StoragePool.disconnectStorageServer", params, _STORAGE_S)

    def _stats(self) -> Optional[Mapping[str, Any]]:
        try:
            found = self.client.call("VM.getStats", {"vmID": self.vm_id})
        except VdsmError as error:
            if error.code == NO_SUCH_VM:
                return None
            # Not taken for a VM that is not here: vdsm only does not say.
            raise
        if not isinstance(found, list) or not found or not isinstance(found[0], dict):
            msg = f"vdsm's answer to VM.getStats is not understood: {str(found)[:80]}"
            raise HypervisorError(msg)
        stats: Mapping[str, Any] = found[0]
        return stats


def _definition(params: Mapping[str, Any], path: Path) -> VmDefinition:
    """Return what matters of the domain that vdsm gets."""
    xml = params.get("xml")
    if not isinstance(xml, str):
        msg = (
            f"{path} has no xmlBase64, which vdsm needs since April 2020: let the engine write it"
            " anew (change something of the VM there)"
        )
        raise ConfigError(msg)
    try:
        return of_xml(xml)
    except ValueError as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from error


def _check_connected(done: object) -> None:
    servers = done if isinstance(done, list) else []
    failed = [each for each in servers if isinstance(each, dict) and each.get("status")]
    if failed:
        codes = ", ".join(f"{each.get('id')}: code {each['status']}" for each in failed)
        msg = f"vdsm can't connect the storage: {codes}; vdsm.log says why"
        raise HypervisorError(msg)


def _check_there(program: str) -> None:
    if shutil.which(program) is None:
        msg = f"there is no {program}: install it"
        raise HypervisorError(msg)


def _screen(stats: Optional[Mapping[str, Any]]) -> tuple[str, int]:
    """Return address and port of the first VNC screen; port 0: it has none yet."""
    for screen in (stats or {}).get("displayInfo", ()):
        if screen.get("type") == "vnc":
            port = str(screen.get("port", ""))
            return str(screen.get("ipAddress", "")), int(port) if port.isdecimal() else 0
    return "", 0


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        msg = f"{path} can't be read: {error.strerror}"
        raise ConfigError(msg) from error
