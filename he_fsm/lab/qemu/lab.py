"""The back end `sanlock`: real sanlock daemons, real VMs under QEMU, a mount for each host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from he_fsm.lab.guest.build import MEMORY_MIB
from he_fsm.lab.qemu.host import QemuHost
from he_fsm.lab.qemu.site import QemuSite
from he_fsm.lab.sanlock.lab import SanlockLab
from he_fsm.lab.spec import HostSpec, LabSpec


class QemuLab(SanlockLab):
    """A cluster whose agents start QEMU themselves."""

    hosts: Mapping[str, QemuHost]
    # The guest's memory; its saved states are of one size.
    memory_mib = MEMORY_MIB

    def __init__(self, spec: LabSpec, folder: Path) -> None:
        """Make the folders; nothing runs yet."""
        self._qemu_site = QemuSite(spec, folder, self.memory_mib)
        super().__init__(spec, self._qemu_site)

    def make_host(self, spec: HostSpec) -> QemuHost:
        """Make one host."""
        return QemuHost(self._qemu_site, spec)
