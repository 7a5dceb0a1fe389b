from __future__ import annotations

from he_fsm.testing.hypervisors import MigrationContract
from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT

pytestmark = NEEDS_LIBVIRT


class TestLibvirt(MigrationContract):
    """The libvirt hypervisor keeps the contract."""
