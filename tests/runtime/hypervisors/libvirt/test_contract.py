from __future__ import annotations

from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT, LibvirtContract

pytestmark = NEEDS_LIBVIRT


class TestLibvirt(LibvirtContract):
    """The libvirt hypervisor keeps the contract."""
