from __future__ import annotations

from he_fsm.runtime.ports import Peer
from he_fsm.snapshot import VmState
from he_fsm.testing.hypervisors import MigrationContract
from he_fsm.testing.vm_hosts import VmHosts
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT

pytestmark = NEEDS_LIBVIRT


class TestLibvirtWithHolder(MigrationContract):
    """The libvirt hypervisor keeps the contract where a holder keeps the lease."""

    def test_from_the_order_on_a_vm_is_leaving(self, hosts: VmHosts) -> None:
        """libvirt forgets the domain a moment after it executes on the other host."""
        hosts.start(1)
        hosts.hypervisor(2)
        hosts.hypervisor(1).migrate(Peer(2))
        assert hosts.state(1) is VmState.LEAVING
        until(lambda: hosts.is_good_on(2))
        hosts.reaches(1, VmState.ABSENT)
