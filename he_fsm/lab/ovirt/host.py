"""A host of a sanlock lab with a vdsm, which runs the VM."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, Optional

from he_fsm.errors import HeFsmError, HypervisorError
from he_fsm.lab import host_files
from he_fsm.lab.ovirt.daemon import VdsmProcess
from he_fsm.lab.ovirt.definition import VM_ID, vm_conf
from he_fsm.lab.qemu.host import QemuHost
from he_fsm.lab.qemu.site import QemuSite
from he_fsm.lab.sanlock.site import LOCKSPACE, RESOURCE
from he_fsm.lab.site import lasting_port
from he_fsm.lab.spec import HostSpec
from he_fsm.lab.vm_sight import VmSight
from he_fsm.runtime.config.plain import plain
from he_fsm.runtime.hypervisors.qemu.section import MoveConfig
from he_fsm.runtime.hypervisors.vdsm.definition import parse
from he_fsm.runtime.hypervisors.vm_file import STATE, Phase, VmFile
from he_fsm.runtime.hypervisors.vm_process import read_report
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder

# What the daemon is called among the host's daemons that stand still.
VDSM: Final = "vdsm"
_PEERS: Final = "host{id}"
_STARTS_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.02
# vdsm's own deadline, before the speed, and what a busy machine needs (seconds).
_DEADLINE_S: Final = 5.0
_DEADLINE_MIN_S: Final = 1.0


class OvirtHost(QemuHost):
    """A host whose agent has vdsm start the VM, and join the lockspace."""

    def __init__(self, site: QemuSite, spec: HostSpec, host_ids: tuple[int, ...]) -> None:
        """Make the folders; nothing runs yet."""
        super().__init__(site, spec)
        self.vdsm = VdsmProcess(
            self.folder / "vdsm",
            lasting_port(),
            peers={_PEERS.format(id=host_id): host_id for host_id in host_ids},
            within=self.within,
            namespace=self.network.pages.namespace,
        )
        # What becomes of the VM is in the folder of who runs it.
        self.vm_file = VmFile(self.vdsm.run_dir / STATE)

    # The configuration.

    def own_config(self) -> Mapping[str, Any]:
        """Return the sections of the leases, of vdsm, and of the health page."""
        config = dict(super().own_config())
        del config["sanlock"]
        leases = self._leases
        config["leases"] = VDSM
        config["vdsm"] = {
            "domain": LOCKSPACE,
            "volume": RESOURCE,
            "path": leases.path,
            "resource_path": leases.resource_path,
            "resource_offset": leases.resource_offset,
            "run_dir": str(self.sanlock_dir),
            "clock_rate": self.site.speed,
        }
        return config

    @property
    def _leases(self) -> Any:
        return self.site.leases(self.storage, self.sanlock_dir, self.state_dir / "engine.lock")

    def hypervisor_config(self) -> Mapping[str, Any]:
        """Return vdsm's section, and write the VM's definition."""
        vm = self._vm
        place = SanlockHolder(settings=self._leases, host_id=self.host_id).place
        conf = self.folder / "vm.conf"
        conf.write_text(vm_conf(place, vm.name, vm.memory), encoding="utf-8")
        return {
            "kind": VDSM,
            "host": "127.0.0.1",
            "port": self.vdsm.port,
            "tls": False,
            "vm_id": VM_ID,
            "conf": str(conf),
            "name": vm.name,
            "pid_dir": str(self.vdsm.pid_dir),
            "driver_conf": str(self.vdsm.driver_conf),
            "deadline": max(_DEADLINE_S / self.site.speed, _DEADLINE_MIN_S),
            "migrate": {"peers": _PEERS},
        }

    def _vdsm_config(self) -> Mapping[str, Any]:
        """Return what the lab's vdsm runs: the VM of QEMU that other labs' agents have."""
        move = super()._move
        if not self.site.loses_power_silently:
            other = f"{self.site.by_id}/{{id}}/../{VDSM}/run"
            move = MoveConfig(peers=f"unix:{other}/migrate.sock")
        config = dict(super().own_config())
        return {
            **config,
            "host": {"id": self.host_id, "hostname": self.hostname},
            "run_dir": str(self.vdsm.run_dir),
            "state_dir": str(self.vdsm.state_dir),
            "group": None,
            "ovirt": None,
            "storage": {"path": self.storage_place, "deadline": self.deadline_s},
            "hypervisor": {"kind": "qemu", "vm": plain(self._vm), "move": plain(move)},
            "monitors": {
                "network": {"test": "none"},
                "interval": self.site.policy.loop_s / 2,
            },
            "policy": host_files.policy_section(self.site.policy),
        }

    # Services beside the daemons.

    def start_hypervisor(self) -> None:
        """Start vdsm, as an init system does with one that has ended."""
        self.frozen.discard(VDSM)
        self.vdsm.start(self._vdsm_config())

    def services(self) -> Iterator[subprocess.Popen[bytes]]:
        """Return the processes of a host with sanlock, and vdsm's."""
        yield from super().services()
        process = self.vdsm.process
        if process is not None:
            yield process

    def daemon_process(self, name: str) -> Optional[subprocess.Popen[bytes]]:
        """Return the process of `agent`, `broker`, `sanlock` or `vdsm`; None: it does not run."""
        return self.vdsm.process if name == VDSM else super().daemon_process(name)

    def end_services(self) -> None:
        """Clean up after the services were killed."""
        super().end_services()
        self.vdsm.forget()

    # The VM.

    def make_sight(self) -> VmSight:
        """Make what looks at the VMs of this host."""
        return VmSight(self.vdsm.run_dir, self.last_record, self.network.pages, self.hostname)

    def lease_is_taken(self) -> bool:
        """Return whether the last start that was ordered here got the lease."""
        return bool(read_report(self.vdsm.run_dir).get("lease") == "taken")

    def start_vm(self) -> int:
        """Start the VM while no agent runs; return its process's number when it executes."""
        definition = parse((self.folder / "vm.conf").read_text(encoding="utf-8"))
        self.vdsm.call("VM.create", vmParams={"xml": definition.xml})
        until = time.monotonic() + _STARTS_WITHIN_S
        while (record := self.vm()) is None or record.phase is not Phase.RUNNING:
            if time.monotonic() > until:
                msg = f"the VM does not start on host {self.name}: {self.vdsm.call('VM.getStats')}"
                raise HeFsmError(msg)
            time.sleep(_LOOK_S)
        return record.pid

    def migrate_engine(self, target: int) -> None:
        """Have vdsm move the VM, as the engine does."""
        # A VM that is not there, or must not move, is refused: that is no error here.
        with suppress(HypervisorError):
            self.vdsm.call("VM.migrate", params={"dst": _PEERS.format(id=target)})

    def set_faults(self, **words: str) -> None:
        """Make starts, boots or migrations fail, or vdsm stand still."""
        hypervisor = words.pop("hypervisor", None)
        if hypervisor == "lost":
            if self.is_powered and not self.is_frozen:
                self.freeze(VDSM)
        elif hypervisor is not None and not self.is_frozen:
            self.thaw(VDSM)
        super().set_faults(**words)
