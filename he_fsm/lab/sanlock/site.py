"""What the hosts of a sanlock lab share: network, guest, and the places of the leases."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Optional

from he_fsm.lab import netns
from he_fsm.lab.guest.build import Guest, build, make_disk
from he_fsm.lab.guest.kernel import find_kernel
from he_fsm.lab.network import LabNetwork
from he_fsm.lab.sanlock.vm_faults import Host, VmFaults
from he_fsm.lab.site import Site
from he_fsm.lab.spec import LabSpec
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings

DISK: Final = "engine.raw"
LOCKSPACE: Final = "he-fsm"
RESOURCE: Final = "engine"
_LEASES: Final = "sanlock"


class SanlockSite(Site):
    """
    What the hosts share: the network, the guest, where the leases are.

    `prepare` makes the guest when all hosts are made: their networks say where its pages are.
    """

    def __init__(self, spec: LabSpec, folder: Path) -> None:
        """Make the folders."""
        super().__init__(spec, folder)
        names = [host.name for host in spec.hosts]
        self.network = None if netns.why_not() else LabNetwork(names)
        self.loses_power_silently = spec.loses_power_silently and self.network is not None
        if self.loses_power_silently:
            self.move_secret.touch(mode=0o600)
            self.move_secret.write_text(secrets.token_hex())
        self._has_sick_boots = spec.has_sick_boots
        self._vm_faults: Optional[VmFaults] = None

    @property
    def disk(self) -> Path:
        """The engine's disk."""
        return self.shared / DISK

    @property
    def move_secret(self) -> Path:
        """The file of the secret by which hosts know each other's migrations."""
        return self.folder / "move.secret"

    def prepare(self, hosts: Mapping[str, Host]) -> None:
        """Make disk and guest, and a sick guest beside it where one is wanted."""
        make_disk(self.disk)
        kernel = find_kernel()
        well = build(self.folder, kernel)
        sick = build(self.folder, kernel, is_sick=True) if self._has_sick_boots else None
        self._vm_faults = self.faults(hosts, well, sick)

    @abstractmethod
    def faults(self, hosts: Mapping[str, Host], well: Guest, sick: Optional[Guest]) -> VmFaults:
        """Have VMs begin from the guest *well*, and return what makes them fail."""

    def set_faults(self, name: str, words: Mapping[str, str]) -> None:
        """Make starts, boots or migrations of a host fail."""
        if self._vm_faults is not None:
            self._vm_faults.set(name, words)

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
