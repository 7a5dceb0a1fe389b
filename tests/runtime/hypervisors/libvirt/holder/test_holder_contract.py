from __future__ import annotations

from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT, LibvirtContract

pytestmark = NEEDS_LIBVIRT


class TestLibvirtWithHolder(LibvirtContract):
    """The libvirt hypervisor keeps the contract where a holder keeps the lease."""
