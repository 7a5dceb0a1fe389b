from __future__ import annotations

from tests.runtime.hypervisors.vdsm.vdsm_hosts import NEEDS_VDSM, VdsmContract

pytestmark = NEEDS_VDSM


class TestVdsm(VdsmContract):
    """The vdsm hypervisor keeps the contract."""
