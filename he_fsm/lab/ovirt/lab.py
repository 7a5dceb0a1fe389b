"""The back end `vdsm`: real sanlock daemons, and a vdsm of the lab on each host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from he_fsm.lab.ovirt.host import OvirtHost
from he_fsm.lab.qemu.lab import QemuLab
from he_fsm.lab.spec import HostSpec, LabSpec


class OvirtLab(QemuLab):
    """A cluster whose engine is a VM of vdsm."""

    hosts: Mapping[str, OvirtHost]

    def __init__(self, spec: LabSpec, folder: Path) -> None:
        """Make the folders; nothing runs yet."""
        self._host_ids = tuple(host.host_id for host in spec.hosts)
        super().__init__(spec, folder)

    def make_host(self, spec: HostSpec) -> OvirtHost:
        """Make one host."""
        return OvirtHost(self._qemu_site, spec, self._host_ids)
