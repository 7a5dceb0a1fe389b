"""What the hosts of a lab with QEMU VMs share: a guest that boots, or begins from a saved state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.errors import HeFsmError
from he_fsm.lab import netns
from he_fsm.lab.guest.build import Guest
from he_fsm.lab.guest.saved import guest_vm, resting, saved_state
from he_fsm.lab.guest_files import Origin
from he_fsm.lab.host_network import HostNetwork
from he_fsm.lab.sanlock.site import SanlockSite
from he_fsm.lab.sanlock.vm_faults import Host, VmFaults
from he_fsm.lab.spec import LabSpec
from he_fsm.runtime.hypervisors.qemu.accel import TCG, usable_accel
from he_fsm.runtime.hypervisors.qemu.command import binary_of
from he_fsm.runtime.hypervisors.qemu.section import VmConfig

# A guest's boot where it is emulated: one that should be quicker is resumed instead (seconds).
_BOOT_S: Final = 5.0


class QemuSite(SanlockSite):
    """What hosts share whose agents start QEMU themselves."""

    def __init__(self, spec: LabSpec, folder: Path, guest_mib: int) -> None:
        """Make the folders; *guest_mib* is the guest's own memory."""
        super().__init__(spec, folder)
        self._guest_mib = guest_mib
        self._guest: Optional[Guest] = None
        self._saved: Optional[Path] = None
        self._accel = TCG

    def faults(self, hosts: Mapping[str, Host], well: Guest, sick: Optional[Guest]) -> VmFaults:
        """Have VMs begin from a saved state, where a boot would take too long."""
        network = next(iter(hosts.values())).network
        is_resumed = self.vm_times.boot_s / self.speed < _BOOT_S
        self._guest = resting(well) if is_resumed else well
        sick_origin = None if sick is None else Origin.of(sick)
        if is_resumed:
            vm = self.vm(self.disk, network)
            self._saved = self._state(vm, network)
            if sick_origin is not None:
                state = self._state(vm, network, is_sick=True)
                sick_origin = attrs.evolve(sick_origin, saved_state=state)
        else:
            # Tried here: an agent's own trial would take seconds of its first start.
            self._accel = usable_accel(binary_of(guest_vm(well, self.disk, 0)))
        well_origin = attrs.evolve(Origin.of(well), saved_state=self._saved)
        return VmFaults(hosts, well_origin, sick_origin)

    @staticmethod
    def _state(vm: VmConfig, network: HostNetwork, *, is_sick: bool = False) -> Path:
        pages = network.pages
        with netns.inside(pages.namespace):
            return saved_state(vm, pages.port, pages.address, is_sick=is_sick)

    def vm(self, disk: Path, network: HostNetwork) -> VmConfig:
        """Describe the engine's VM as a host has it."""
        if self._guest is None:
            msg = "the lab is not set up"
            raise HeFsmError(msg)
        vm = network.vm(guest_vm(self._guest, disk, network.pages.port, accel=self._accel))
        return attrs.evolve(vm, saved_state=self._saved, memory=self._guest_mib)
