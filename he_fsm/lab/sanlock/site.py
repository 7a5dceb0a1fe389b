"""What the hosts of a sanlock lab share: network, guest, and the places of the leases."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.errors import HeFsmError
from he_fsm.lab import netns
from he_fsm.lab.guest.build import Guest, build, make_disk
from he_fsm.lab.guest.kernel import find_kernel
from he_fsm.lab.guest.saved import guest_vm, resting, saved_state
from he_fsm.lab.guest_files import Origin
from he_fsm.lab.host_network import HostNetwork
from he_fsm.lab.network import LabNetwork
from he_fsm.lab.sanlock.vm_faults import Host, VmFaults
from he_fsm.lab.site import Site
from he_fsm.lab.spec import LabSpec
from he_fsm.runtime.hypervisors.qemu.accel import TCG, usable_accel
from he_fsm.runtime.hypervisors.qemu.command import binary_of
from he_fsm.runtime.hypervisors.qemu.section import VmConfig
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings

DISK: Final = "engine.raw"
LOCKSPACE: Final = "he-fsm"
RESOURCE: Final = "engine"
_LEASES: Final = "sanlock"
# A guest's boot where it is emulated: one that should be quicker is resumed instead (seconds).
_BOOT_S: Final = 5.0


class SanlockSite(Site):
    """
    What the hosts share: the network, the guest, where the leases are.

    `prepare` makes the guest when all hosts are made: their networks say where its pages are.
    """

    def __init__(self, spec: LabSpec, folder: Path, guest_mib: int) -> None:
        """Make the folders; *guest_mib* is the guest's own memory."""
        super().__init__(spec, folder)
        names = [host.name for host in spec.hosts]
        self.network = None if netns.why_not() else LabNetwork(names)
        self.loses_power_silently = spec.loses_power_silently and self.network is not None
        if self.loses_power_silently:
            self.move_secret.touch(mode=0o600)
            self.move_secret.write_text(secrets.token_hex())
        self._guest_mib = guest_mib
        self._has_sick_boots = spec.has_sick_boots
        self._guest: Optional[Guest] = None
        self._saved: Optional[Path] = None
        self._accel = TCG
        self._vm_faults: Optional[VmFaults] = None

    @property
    def disk(self) -> Path:
        """The engine's disk."""
        return self.shared / DISK

    @property
    def move_secret(self) -> Path:
        """The file of the secret by which hosts know each other's migrations."""
        return self.folder / "move.secret"

    def prepare(self, hosts: Mapping[str, Host], network: HostNetwork) -> None:
        """Make disk and guest, and a sick guest beside it where one is wanted."""
        make_disk(self.disk)
        kernel, sick = find_kernel(), None
        guest = build(self.folder, kernel)
        if self._has_sick_boots:
            sick = _origin(build(self.folder, kernel, is_sick=True))
        is_resumed = self.vm_times.boot_s / self.speed < _BOOT_S
        self._guest = resting(guest) if is_resumed else guest
        if is_resumed:
            vm = self.vm(self.disk, network)
            self._saved = self._state(vm, network)
            if sick is not None:
                sick = attrs.evolve(sick, saved_state=self._state(vm, network, is_sick=True))
        else:
            # Tried here: an agent's own trial would take seconds of its first start.
            self._accel = usable_accel(binary_of(guest_vm(guest, self.disk, 0)))
        well = attrs.evolve(_origin(guest), saved_state=self._saved)
        self._vm_faults = VmFaults(hosts, well, sick)

    @staticmethod
    def _state(vm: VmConfig, network: HostNetwork, *, is_sick: bool = False) -> Path:
        pages = network.pages
        with netns.inside(pages.namespace):
            return saved_state(vm, pages.port, pages.address, is_sick=is_sick)

    def set_faults(self, name: str, words: Mapping[str, str]) -> None:
        """Make starts, boots or migrations of a host fail."""
        if self._vm_faults is not None:
            self._vm_faults.set(name, words)

    def vm(self, disk: Path, network: HostNetwork) -> VmConfig:
        """Describe the engine's VM as a host has it."""
        if self._guest is None:
            msg = "the lab is not set up"
            raise HeFsmError(msg)
        vm = network.vm(guest_vm(self._guest, disk, network.pages.port, accel=self._accel))
        return attrs.evolve(vm, saved_state=self._saved, memory=self._guest_mib)

    def leases(self, storage: Path, run_dir: Path, vm_lock: Path) -> SanlockSettings:
        """Return where the leases are on the path to the storage of one host."""
        path = str(storage / _LEASES)
        return SanlockSettings(
            lockspace=LOCKSPACE,
            path=path,
            resource=RESOURCE,
            resource_path=path,
            run_dir=str(run_dir),
            vm_lock=str(vm_lock),
            clock_rate=self.speed,
        )

    def close(self) -> None:
        """End the failures of VMs."""
        if self._vm_faults is not None:
            self._vm_faults.close()


def _origin(guest: Guest) -> Origin:
    return Origin(kernel=guest.kernel, initrd=guest.initrd)
