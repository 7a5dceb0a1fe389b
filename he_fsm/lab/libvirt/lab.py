"""The back end `libvirt`: real sanlock daemons, and a real libvirt daemon on each host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from he_fsm.lab.guest.build import MEMORY_MIB
from he_fsm.lab.libvirt.host import LibvirtHost
from he_fsm.lab.libvirt.site import LibvirtSite
from he_fsm.lab.sanlock.lab import SanlockLab
from he_fsm.lab.spec import HostSpec, LabSpec


class LibvirtLab(SanlockLab):
    """A cluster whose engine is a domain of libvirt."""

    hosts: Mapping[str, LibvirtHost]
    memory_mib = MEMORY_MIB

    def __init__(self, spec: LabSpec, folder: Path) -> None:
        """Make the folders; nothing runs yet."""
        self._libvirt_site = LibvirtSite(spec, folder, self.memory_mib)
        super().__init__(spec, self._libvirt_site)
        for host in self.hosts.values():
            host.others = tuple(other for other in self.hosts.values() if other is not host)

    def make_host(self, spec: HostSpec) -> LibvirtHost:
        """Make one host."""
        return LibvirtHost(self._libvirt_site, spec)
