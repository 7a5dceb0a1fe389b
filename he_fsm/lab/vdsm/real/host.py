"""The verbs of a lab's vdsm: one host, one VM of it, and one storage domain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Optional

import attrs
import psutil

from he_fsm.errors import ConfigError
from he_fsm.lab.vdsm.real.qemu import LabQemu, NotingLease
from he_fsm.lab.vdsm.real.storage import LabDomain
from he_fsm.lab.vdsm.real.vm import LabVm, no_such_vm
from he_fsm.lab.vdsm.verbs import Emit
from he_fsm.runtime.config import Config
from he_fsm.runtime.hypervisors.qemu.host import QemuSettings
from he_fsm.runtime.hypervisors.vdsm.definition import of_xml
from he_fsm.runtime.parts import make_movable_lease
from he_fsm.runtime.vdsm.interface import (
    GENERAL_ERROR,
    NO_SUCH_METHOD,
    RECOVERING,
    Json,
    VdsmError,
)

_CANNOT_CREATE: Final = 9
_NO_PEER: Final = 10
_MISSING: Final = 11
_INTERFACES: Final = Path("/sys/class/net")
_MIB: Final = 1 << 20


@attrs.frozen(kw_only=True)
class LabVdsmSettings:
    """
    One host of a lab.

    `config` is its configuration with hypervisor `qemu` and leases `sanlock`. `peers` are the host
    ids of other vdsms, by what VM.migrate calls their addresses. `recovery_s`: for so long all
    verbs are answered with code 99 at the start.
    """

    config: Config
    vm_id: str
    pid_dir: Path
    peers: Mapping[str, int]
    recovery_s: float = 0.5


class LabVdsm:
    """Implements `lab.vdsm.verbs.Verbs`; between `begin` and `close` there is a VM."""

    def __init__(self, settings: LabVdsmSettings) -> None:
        """Take the parts; answers with code 99 before `begin`."""
        if settings.config.hypervisor.kind != "qemu" or settings.config.hypervisor.vm is None:
            msg = "a lab's vdsm runs a VM of 'hypervisor: {kind: qemu, vm: ...}'"
            raise ConfigError(msg)
        self._settings = settings
        self._domain = LabDomain(settings.config)
        self._vm: Optional[LabVm] = None
        self._hypervisor: Optional[LabQemu] = None
        self._recovered = threading.Event()
        self._verbs: Mapping[str, Callable[[Mapping[str, Any]], Json]] = {
            **self._of_vm(),
            **self._of_host(),
            **self._of_storage(),
        }

    def begin(self, emit: Emit) -> None:
        """Find the VM that runs here, and answer from now on."""
        began_at = time.monotonic()
        settings, config = self._settings, self._settings.config
        settings.pid_dir.mkdir(parents=True, exist_ok=True)
        vm = config.hypervisor.vm
        qemu = QemuSettings(
            host_id=config.host.id, run_dir=config.run_dir, vm=vm, move=config.hypervisor.move
        )
        pid_file = settings.pid_dir / f"{vm.name}.pid"
        lease = NotingLease(make_movable_lease(config), pid_file)
        self._hypervisor = LabQemu(qemu, lease)
        self._vm = LabVm(settings.vm_id, vm, self._hypervisor, emit)
        time.sleep(max(0.0, began_at + settings.recovery_s - time.monotonic()))
        self._recovered.set()

    def close(self) -> None:
        """End this; a VM that executes runs on."""
        self._recovered.clear()
        if self._vm is not None:
            self._vm.close()
        if self._hypervisor is not None:
            self._hypervisor.close()

    def call(self, method: str, params: Mapping[str, Json]) -> Json:
        """Return the result of a verb; raises `VdsmError`."""
        if not self._recovered.is_set():
            raise VdsmError(RECOVERING, "Recovering from crash or Initializing")
        verb = self._verbs.get(method)
        if verb is None:
            raise VdsmError(NO_SUCH_METHOD, f"The method '{method}' does not exist")
        try:
            return verb(params)
        except KeyError as error:
            raise VdsmError(_MISSING, f"Missing required parameter: {error}") from error

    # The VM.

    def _of_vm(self) -> dict[str, Callable[[Mapping[str, Any]], Json]]:
        return {
            "VM.create": self._create,
            "VM.destroy": lambda asked: self._named(asked).destroy(),
            "VM.shutdown": lambda asked: self._named(asked).shutdown(),
            "VM.getStats": lambda asked: self._named(asked).stats(),
            "VM.pause": lambda asked: self._named(asked).halt("stop"),
            "VM.cont": lambda asked: self._named(asked).halt("cont"),
            "VM.migrate": self._migrate,
            "VM.migrateCancel": lambda asked: self._named(asked).cancel_migration(),
            "VM.getMigrationStatus": lambda asked: self._named(asked).migration_status(),
            "VM.updateDevice": lambda asked: self._named(asked).set_ticket(asked["params"]),
        }

    @property
    def vm(self) -> LabVm:
        """The VM; there is one after `begin`."""
        if self._vm is None:
            raise VdsmError(RECOVERING, "Recovering from crash or Initializing")
        return self._vm

    def _named(self, asked: Mapping[str, Any]) -> LabVm:
        vm = self.vm
        if asked["vmID"] != vm.vm_id:
            raise no_such_vm(asked["vmID"])
        return vm

    def _create(self, asked: Mapping[str, Any]) -> Json:
        xml = asked["vmParams"].get("xml")
        if not xml:
            # What vdsm says where the definition is of the time before April 2020.
            raise VdsmError(GENERAL_ERROR, "General Exception: ('xml',)")
        try:
            definition = of_xml(xml)
        except ValueError as error:
            raise VdsmError(_CANNOT_CREATE, f"Cannot create VM: {error}") from error
        vm = self.vm
        if definition.vm_id != vm.vm_id:
            raise VdsmError(_CANNOT_CREATE, f"Cannot create VM: this lab has {vm.vm_id} alone")
        return vm.create(xml)

    def _migrate(self, asked: Mapping[str, Any]) -> Json:
        dst = asked["params"].get("dst", "")
        host_id = self._settings.peers.get(dst)
        if host_id is None:
            raise VdsmError(_NO_PEER, f"Could not connect to peer host: {dst}")
        return self._named(asked).migrate(host_id)

    # The host.

    def _of_host(self) -> dict[str, Callable[[Mapping[str, Any]], Json]]:
        return {
            "Host.ping2": lambda _: True,
            "Host.ping": lambda _: True,
            "Host.getVMList": lambda _: self.vm.listed(),
            "Host.getAllVmStats": lambda _: self.vm.stats() if self.vm.listed() else [],
            "Host.getStats": self._stats,
            "Host.getCapabilities": self._capabilities,
            "Host.getStorageRepoStats": lambda asked: self._domain.repo_stats(
                list(asked.get("domains") or ())
            ),
            "Host.startMonitoringDomain": lambda asked: self._domain.start_monitoring(
                asked["sdUUID"], asked["hostID"]
            ),
            "Host.stopMonitoringDomain": lambda asked: self._domain.stop_monitoring(
                asked["sdUUID"]
            ),
        }

    def _stats(self, _asked: Mapping[str, Any]) -> Json:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        times = psutil.cpu_times_percent()
        count = int(self.vm.is_active)
        return {
            "memFree": memory.available // _MIB,
            "memUsed": str(round(memory.percent)),
            "swapTotal": swap.total // _MIB,
            "swapFree": swap.free // _MIB,
            "cpuUser": f"{times.user:.2f}",
            "cpuSys": f"{times.system:.2f}",
            "cpuIdle": f"{times.idle:.2f}",
            "cpuLoad": f"{psutil.getloadavg()[0]:.2f}",
            "vmCount": len(self.vm.listed()),
            "vmActive": count,
            "vmMigrating": 0,
            "incomingVmMigrations": 0,
            "outgoingVmMigrations": 0,
            "dateTime": time.strftime("%Y-%m-%dT%H:%M:%S GMT", time.gmtime()),
            "elapsedTime": str(int(time.monotonic())),
            "bootTime": str(int(psutil.boot_time())),
            "network": {
                each.name: {"name": each.name, "state": _operstate(each)}
                for each in sorted(_INTERFACES.iterdir())
            },
            "storageDomains": self._domain.repo_stats([]),
        }

    def _capabilities(self, _asked: Mapping[str, Any]) -> Json:
        return {
            "software_version": "4.50.7",
            "memSize": str(psutil.virtual_memory().total // _MIB),
            "cpuCores": str(psutil.cpu_count(logical=False) or 1),
            "cpuThreads": str(psutil.cpu_count() or 1),
            "kvmEnabled": "true" if Path("/dev/kvm").exists() else "false",
            "hostedEngineDeployed": True,
            "additionalFeatures": [],
        }

    # Its storage.

    def _of_storage(self) -> dict[str, Callable[[Mapping[str, Any]], Json]]:
        domain = self._domain
        return {
            "StorageDomain.getInfo": lambda asked: domain.info(asked["storagedomainID"]),
            "Image.prepare": lambda asked: domain.image_path(
                asked["storagedomainID"], asked["imageID"], asked["volumeID"]
            ),
            "Image.teardown": lambda _: True,
            "Volume.getInfo": lambda asked: domain.volume(
                asked["storagedomainID"], asked["volumeID"]
            ),
            "Lease.status": lambda asked: domain.lease(
                asked["lease"]["sd_id"], asked["lease"]["lease_id"]
            ),
        }


def _operstate(interface: Path) -> str:
    try:
        state = (interface / "operstate").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
    return state if state in ("up", "down") else "unknown"
