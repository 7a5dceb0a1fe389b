"""A paused domain has no lease: what may happen to it, and what must not."""

from __future__ import annotations

import resource
from xml.etree import ElementTree as ET

import pytest

from he_fsm.lab.guest.build import make_disk
from he_fsm.runtime.ports import LeaseUse
from he_fsm.snapshot import VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT, LibvirtHosts

pytestmark = NEEDS_LIBVIRT


def pause(hosts: LibvirtHosts, host_id: int) -> None:
    hosts.pause(host_id)
    hosts.reaches(host_id, VmState.PAUSED)


def test_a_pause_gives_the_lease_away(hosts: LibvirtHosts) -> None:
    hosts.start(1)
    pause(hosts, 1)
    until(lambda: hosts.owner() is None)
    seen = hosts.hypervisor(1).observe()
    assert seen.detail == "paused by a user; it has no lease"
    vm = hosts.access(1).identity()
    assert vm is not None
    # The guard of the lease does not end what waits for the lease.
    assert vm.lease is LeaseUse.WAITS


def test_a_domain_paused_and_resumed_many_times_runs_on(hosts: LibvirtHosts) -> None:
    hosts.start(1)
    pid = hosts.pid(1)
    for _ in range(4):
        hosts.pause(1)
        hosts.resume(1)
    pause(hosts, 1)
    hosts.resume(1)
    until(lambda: hosts.is_good_on(1))
    assert hosts.pid(1) == pid
    assert hosts.owner() == 1


def test_the_paused_copy_ends_when_another_host_has_the_lease(hosts: LibvirtHosts) -> None:
    hosts.start(1)
    pause(hosts, 1)
    hosts.hypervisor(2).start()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.access(1).identity() is None
    until(lambda: hosts.is_good_on(2))
    assert hosts.told == {1: [], 2: []}


def test_the_paused_copy_ends_though_the_lease_is_free_again(hosts: LibvirtHosts) -> None:
    hosts.start(1)
    pause(hosts, 1)
    # Nobody looks while another host has it.
    hosts.restart_agent(1)
    hosts.start(2)
    hosts.hypervisor(2).power_off()
    hosts.reaches(2, VmState.ABSENT)
    until(lambda: hosts.owner() is None)
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.access(1).identity() is None


def test_a_domain_resumed_with_old_memory_is_ended(
    hosts: LibvirtHosts, caplog: pytest.LogCaptureFixture
) -> None:
    """libvirt takes the lease again, and does not see that another host had it meanwhile."""
    hosts.start(1)
    pause(hosts, 1)
    hosts.restart_agent(1)
    hosts.start(2)
    hosts.hypervisor(2).power_off()
    hosts.reaches(2, VmState.ABSENT)
    until(lambda: hosts.owner() is None)
    hosts.resume(1)
    hosts.reaches(1, VmState.ABSENT)
    assert "its memory is older than its disk" in caplog.text
    # What the guest's witness may have found is libvirt's doing.
    make_disk(hosts.lab.disk)


def test_a_resume_is_refused_while_another_host_has_the_lease(hosts: LibvirtHosts) -> None:
    from he_fsm.runtime.hypervisors.libvirt.connection import LibvirtRefusedError

    hosts.start(1)
    pause(hosts, 1)
    hosts.restart_agent(1)
    hosts.start(2)
    with pytest.raises(LibvirtRefusedError):
        hosts.resume(1)
    assert hosts.is_good_on(2)
    hosts.reaches(1, VmState.ABSENT)


def test_a_paused_domain_stays_paused_with_a_new_agent(hosts: LibvirtHosts) -> None:
    hosts.start(1)
    pause(hosts, 1)
    pid = hosts.pid(1)
    hosts.restart_agent(1)
    assert hosts.state(1) is VmState.PAUSED
    hosts.resume(1)
    until(lambda: hosts.is_good_on(1))
    assert hosts.pid(1) == pid


def test_a_process_that_is_stopped_as_a_whole_is_paused(hosts: LibvirtHosts) -> None:
    import signal

    hosts.start(1)
    hosts.freeze(1)
    hosts.reaches(1, VmState.PAUSED)
    assert hosts.hypervisor(1).observe().detail == "its process is stopped"
    hosts.signal(1, signal.SIGCONT)
    until(lambda: hosts.is_good_on(1))


def test_an_error_of_the_disk_gives_the_lease_away_until_the_domain_goes_on(
    hosts: LibvirtHosts,
) -> None:
    # As an administrator has it who wants no guest to see an error.
    root = ET.fromstring(hosts.lab.xml())
    driver = root.find("devices/disk/driver")
    assert driver is not None
    driver.set("error_policy", "stop")
    hosts.lab.define(1, ET.tostring(root, encoding="unicode"))
    hosts.start(1)
    assert hosts.say("witness=writer") == "ok\n"
    # The guest writes ten times a second; now its process may write no file.
    pid, no_limit = hosts.pid(1), resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, no_limit))
    hosts.reaches(1, VmState.PAUSED)
    seen = hosts.hypervisor(1).observe()
    assert seen.detail == "paused by an error of its disk; it has no lease"
    until(lambda: hosts.owner() is None)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (no_limit, no_limit))
    hosts.resume(1)
    until(lambda: hosts.is_good_on(1))
    assert (hosts.pid(1), hosts.owner()) == (pid, 1)
