"""What the hosts of a lab with libvirt share: the domain, and one path to the storage for all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab.guest.build import Guest
from he_fsm.lab.guest_files import GuestFiles, Origin
from he_fsm.lab.libvirt.domain import domain_xml
from he_fsm.lab.sanlock.site import DISK, SanlockSite
from he_fsm.lab.sanlock.vm_faults import Host, VmFaults
from he_fsm.lab.spec import LabSpec
from he_fsm.runtime.hypervisors.libvirt.definition.publishing import publish
from he_fsm.runtime.hypervisors.libvirt.section import LibvirtConfig
from he_fsm.runtime.hypervisors.qemu.command import SECOND_MONITOR
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder

_DEFINITION = "definition"


class LibvirtSite(SanlockSite):
    """
    What hosts share whose VM is a domain of libvirt.

    A domain that moves takes its definition along, so each path in it leads to the storage, or to
    the host's own files, on every host: each host sees its own folder at `here`.
    """

    def __init__(self, spec: LabSpec, folder: Path, guest_mib: int) -> None:
        """Make the folders; *guest_mib* is the guest's own memory."""
        super().__init__(spec, folder)
        self.here = folder / "here"
        self.here.mkdir()
        self._guest_mib = guest_mib
        self._append: Optional[str] = None

    def at(self, host_folder: Path, path: Path) -> Path:
        """Return where a path of a host's folder is for the processes of that host."""
        return self.here / path.relative_to(host_folder)

    def faults(self, hosts: Mapping[str, Host], well: Guest, sick: Optional[Guest]) -> VmFaults:
        """Publish the domain's definition, as a person does once for all hosts."""
        self._append = well.append
        section = LibvirtConfig(definition=self.shared / _DEFINITION)
        publish(section, self.xml())
        sick_origin = None if sick is None else Origin.of(sick)
        # libvirt has QEMU read the guest's files first, and then takes the lease.
        return VmFaults(hosts, Origin.of(well), sick_origin, breaks_files=False)

    @property
    def storage(self) -> Path:
        """The storage, as each host's processes find it."""
        return self.here / "storage"

    @property
    def definition(self) -> Path:
        """The domain's definition, as each host's processes find it."""
        return self.storage / _DEFINITION

    def xml(self) -> str:
        """
        Return the domain's definition.

        Raises:
            HeFsmError: the lab is not set up.
        """
        if self._append is None:
            msg = "the lab is not set up"
            raise HeFsmError(msg)
        origin = GuestFiles.places(self.here / "guest")
        leases = self.leases(self.storage, self.here, self.here)
        return domain_xml(
            Guest(origin.kernel, origin.initrd, self._append),
            self.storage / DISK,
            SanlockHolder(settings=leases, host_id=0).place,
            memory_mib=self._guest_mib,
            monitor=self.here / "run" / SECOND_MONITOR,
        )
