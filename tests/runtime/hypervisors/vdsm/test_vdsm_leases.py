"""No VM executes without the engine's lease, whatever vdsm does."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from he_fsm.snapshot import Outcome, VmState
from tests.runtime.hypervisors.vdsm.vdsm_hosts import NEEDS_VDSM, VdsmHosts
from tests.runtime.leases.sanlock.sanlock_lab import python

pytestmark = [*NEEDS_VDSM, pytest.mark.long]

PUT_DOWN = """
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
SanlockHolder(settings=settings, host_id={host_id}).put_down({pid}, 2)
"""


def lose_lease(hosts: VdsmHosts, host_id: int) -> None:
    """Release the lease of the VM on a host, as libvirt's plug-in does when it is paused."""
    script = PUT_DOWN.format(host_id=host_id, pid=hosts.pid(host_id))
    done = python(script, hosts.lab.sanlock.at(host_id).settings)
    assert done.returncode == 0, done.stderr


def refused(hosts: VdsmHosts) -> str:
    """Order a start that comes to nothing, and return why."""
    hosts.hypervisor(1).start()
    hosts.reaches(1, VmState.ABSENT)
    assert len(hosts.told[1]) == 1
    assert hosts.access(1).identity() is None
    return f"{hosts.told[1][0].outcome.value}: {hosts.told[1][0].detail}"


def test_a_definition_without_the_lease_is_not_given_to_vdsm(hosts: VdsmHosts) -> None:
    hosts.write_conf(None)
    assert "does not name the engine's lease" in refused(hosts)
    assert hosts.by_hand(1, "Host.getVMList") == []


def test_without_a_lock_manager_nothing_is_given_to_vdsm(hosts: VdsmHosts, tmp_path: Path) -> None:
    conf = tmp_path / "qemu.conf"
    conf.write_text("# lock_manager = 'sanlock'\n")
    hosts.change(1, driver_conf=conf)
    assert "without the engine's lease" in refused(hosts)
    assert hosts.by_hand(1, "Host.getVMList") == []


def test_a_lock_manager_that_can_not_be_read_is_none(hosts: VdsmHosts, tmp_path: Path) -> None:
    """A folder stands for a file that this user may not read."""
    hosts.change(1, driver_conf=tmp_path)
    assert "without that no VM is started" in refused(hosts)
    assert hosts.by_hand(1, "Host.getVMList") == []


def test_a_start_that_fails_is_no_want_of_the_lease(hosts: VdsmHosts) -> None:
    broken = hosts.folder / "broken-qemu"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    hosts.change_daemon(1, vm=attrs.evolve(hosts.lab.vm(1), binary=broken))
    assert refused(hosts).startswith(Outcome.START_FAILED.value)


def test_a_vm_that_was_found_without_the_lease_is_ended(hosts: VdsmHosts) -> None:
    hosts.start(1)
    hosts.restart_agent(1)
    lose_lease(hosts, 1)
    hosts.hypervisor(1)
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.access(1).identity() is None


def test_a_paused_vm_ends_when_another_host_has_had_the_lease(hosts: VdsmHosts) -> None:
    hosts.start(1)
    hosts.pause(1)
    hosts.reaches(1, VmState.PAUSED)
    lose_lease(hosts, 1)
    hosts.start(2)
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.access(1).identity() is None
    assert hosts.is_good_on(2)
