"""A VM whose network card is on a tap or a bridge has one address, wherever it runs."""

from __future__ import annotations

import http.client
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import attrs
import pytest

from he_fsm.lab import netns
from he_fsm.lab.guest.saved import on_tap, page
from he_fsm.lab.network import BRIDGE, ENGINE, GATEWAY, PREFIX_BITS, TAP, LabNetwork
from he_fsm.runtime.hypervisors.qemu.hypervisor import QemuHypervisor
from he_fsm.runtime.hypervisors.qemu.section import NicConfig
from he_fsm.snapshot import VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.qemu.qemu_hosts import (
    PAGE_S,
    Prepared,
    QemuHosts,
    short_folder,
)

WHY_NOT = netns.why_not()
pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "namespaces can be made"),
]
HELPER = Path("/usr/lib/qemu/qemu-bridge-helper")
# QEMU's helper asks this machine's /etc, in which a test writes nothing.
QEMU_WITH_ETC = """#!/bin/sh
exec unshare --mount sh -c \
  'mount -t overlay overlay -o lowerdir={etc}:/etc /etc && exec {qemu} "$@"' qemu "$@"
"""


class HostsWithNetwork(QemuHosts):
    """Hosts in namespaces; the VM boots, with an address of its own."""

    def __init__(self, folder: Path, prepared: Prepared, network: LabNetwork) -> None:
        super().__init__(folder, prepared)
        self.network = network
        for host_id in self.ids:
            vm = on_tap(self.settings[host_id].vm, TAP, f"{ENGINE}/{PREFIX_BITS}", GATEWAY)
            self.change(host_id, nics=vm.nics, append=vm.append, saved_state=None)

    def make(self, host_id: int) -> QemuHypervisor:
        with netns.inside(self.network.namespace(str(host_id))):
            return super().make(host_id)

    def page(self) -> Optional[int]:
        """Ask from the hosts that do not run it, by the switch."""
        running = self.running()
        for host_id in self.ids:
            if host_id not in running:
                with netns.inside(self.network.namespace(str(host_id))):
                    return page(80, timeout_s=PAGE_S, address=ENGINE)
        return None


@pytest.fixture
def hosts(prepared: Prepared) -> Iterator[HostsWithNetwork]:
    network = LabNetwork(["1", "2"])
    try:
        network.set_up()
        with short_folder() as folder:
            hosts = HostsWithNetwork(folder, prepared, network)
            yield hosts
            hosts.tear_down()
    finally:
        network.remove()


def test_a_vm_on_a_tap_has_its_address_on_whichever_host_it_runs(hosts: HostsWithNetwork) -> None:
    hosts.start(1)
    hosts.migrates(1, 2)
    hosts.reaches(2, VmState.UP)
    hosts.reaches(1, VmState.ABSENT)
    until(lambda: hosts.page() == http.client.OK)
    # And back: the tap of the host that it left is free again.
    hosts.migrates(2, 1)
    hosts.reaches(1, VmState.UP)
    until(lambda: hosts.page() == http.client.OK)


def test_a_vm_on_a_tap_can_be_started_again_at_once(hosts: HostsWithNetwork) -> None:
    hosts.start(1)
    hosts.hypervisor(1).power_off()
    hosts.reaches(1, VmState.ABSENT)
    hosts.start(1)


@pytest.mark.skipif(not HELPER.exists(), reason="QEMU's helper for bridges is not installed")
def test_a_vm_is_connected_to_a_bridge_by_qemus_helper(
    hosts: HostsWithNetwork, tmp_path: Path
) -> None:
    (tmp_path / "qemu").mkdir()
    (tmp_path / "qemu" / "bridge.conf").write_text(f"allow {BRIDGE}\n")
    program = tmp_path / "qemu-with-etc"
    qemu = shutil.which("qemu-system-x86_64")
    program.write_text(QEMU_WITH_ETC.format(etc=tmp_path, qemu=qemu))
    program.chmod(0o755)
    mounts = [str(program), "--version"]
    if subprocess.run(mounts, capture_output=True, check=False).returncode:
        pytest.skip("this machine has no overlay mounts")
    vm = hosts.settings[1].vm
    nic = attrs.evolve(vm.nics[0], kind="bridge", bridge=BRIDGE)
    assert nic == NicConfig(bridge=BRIDGE)
    hosts.change(1, nics=(nic,), binary=program)
    hosts.start(1)
    assert hosts.page() == http.client.OK
