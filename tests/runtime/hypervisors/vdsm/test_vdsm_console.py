"""The VM's screen, whose password vdsm sets."""

from __future__ import annotations

import attrs
import pytest

from he_fsm.errors import HypervisorError
from he_fsm.lab.ovirt.definition import vm_conf
from he_fsm.runtime.hypervisors.qemu.section import ConsoleConfig
from he_fsm.snapshot import VmState
from he_fsm.testing.vm_hosts import free_port
from tests.runtime.hypervisors.qemu.test_console import LET_IN, Viewer
from tests.runtime.hypervisors.vdsm.vdsm_hosts import NEEDS_VDSM, VdsmHosts

pytestmark = [*NEEDS_VDSM, pytest.mark.long]


def has_screen(hosts: VdsmHosts) -> ConsoleConfig:
    """Start VMs with a screen; they boot, for a saved state is that of a VM without one."""
    port = next(port for port in iter(free_port, None) if port >= 5900)
    screen = ConsoleConfig(port=port)
    hosts.change_daemon(1, vm=attrs.evolve(hosts.lab.vm(1), saved_state=None, console=screen))
    hosts.conf.write_text(vm_conf(hosts.lab.place(), "engine", 64, has_screen=True))
    return screen


def test_the_password_that_vdsm_sets_opens_the_screen(hosts: VdsmHosts) -> None:
    screen = has_screen(hosts)
    hosts.hypervisor(1).start()
    hosts.reaches(1, VmState.UP)
    console = hosts.access(1).console(60)
    assert (console.protocol, console.port, console.valid_s) == ("vnc", screen.port, 60)
    viewer = Viewer(console.port, console.password)
    assert viewer.result == LET_IN
    viewer.close()
    another = hosts.access(1).console(60)
    assert another.password != console.password
    # vdsm's log does not have it.
    assert another.password not in (hosts.lab.daemons[1].folder / "log").read_text()


def test_a_vm_that_does_not_run_has_no_screen_to_be_seen(hosts: VdsmHosts) -> None:
    has_screen(hosts)
    with pytest.raises(HypervisorError, match="does not run on this host"):
        hosts.access(1).console(60)
