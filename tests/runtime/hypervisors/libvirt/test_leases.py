"""No domain executes without the engine's lease, whoever starts it."""

from __future__ import annotations

import functools
from pathlib import Path

import attrs
import pytest

from he_fsm.lab.guest.build import make_disk, wrote_to
from he_fsm.lab.libvirt.daemon import LibvirtProcess
from he_fsm.lab.libvirt.domain import NAME, domain_xml
from he_fsm.runtime.ports import LeasePlace
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.libvirt_hosts import (
    NEEDS_LIBVIRT,
    LibvirtHosts,
    LibvirtLab,
)

pytestmark = NEEDS_LIBVIRT


def fails_to_start(hosts: LibvirtHosts) -> str:
    """Order a start that comes to nothing, and return why; nothing has executed."""
    make_disk(hosts.lab.disk)
    hosts.hypervisor(1).start()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.outcomes(1) == [Outcome.START_FAILED]
    assert hosts.access(1).identity() is None
    assert not wrote_to(hosts.lab.disk)
    return hosts.told[1][0].detail


def redefine(hosts: LibvirtHosts, place: LeasePlace | None) -> None:
    hosts.lab.define(1, domain_xml(hosts.lab.guest, hosts.lab.disk, place))


def test_a_domain_without_a_lease_is_not_started(hosts: LibvirtHosts) -> None:
    redefine(hosts, None)
    assert "has no <lease>" in fails_to_start(hosts)


def test_a_domain_with_another_lease_is_not_started(hosts: LibvirtHosts) -> None:
    place = hosts.lab.place()
    redefine(hosts, attrs.evolve(place, resource="other"))
    assert "key other, not engine" in fails_to_start(hosts)


def test_a_domain_that_libvirt_does_not_know_is_not_started(hosts: LibvirtHosts) -> None:
    hosts.by_hand(1, "undefine")
    assert "virsh define" in fails_to_start(hosts)


def test_a_driver_whose_lock_manager_is_off_is_seen_before_the_start(
    hosts: LibvirtHosts, tmp_path: Path
) -> None:
    conf = tmp_path / "qemu.conf"
    conf.write_text("# no lock manager\n")
    hosts.change(1, driver_conf=conf)
    assert "sets no lock_manager" in fails_to_start(hosts)


def test_a_lock_manager_that_is_secretly_off_lets_nothing_execute(
    hosts: LibvirtHosts, lab: LibvirtLab
) -> None:
    """As where this user may not read qemu.conf: then sanlock tells, before anything executes."""
    other = LibvirtProcess(
        lab.folder / "no-locks",
        Path(lab.sanlock.at(1).settings.run_dir),
        within=functools.partial(lab.network.within, "1"),
        has_lock_manager=False,
    )
    usual = lab.daemons[1]
    other.start()
    lab.daemons[1] = other
    try:
        lab.define(1, lab.xml())
        # The file that the agent reads tells nothing.
        hosts.change(1, uri=other.uri, pid_dir=other.pid_dir)
        assert "has not registered the domain with sanlock" in fails_to_start(hosts)
        hosts.change(1, uri=usual.uri, pid_dir=usual.pid_dir)
    finally:
        lab.daemons[1] = usual
        other.close()


def test_a_domain_started_by_hand_is_found(hosts: LibvirtHosts) -> None:
    event = hosts.wake_event(1)
    hosts.by_hand(1, "create")
    assert event.wait(1.0)
    until(lambda: hosts.is_good_on(1))
    assert hosts.told[1] == []
    assert hosts.owner() == 1
    hosts.by_hand(1, "destroy")
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []


def test_a_second_copy_started_paused_by_hand_is_ended(hosts: LibvirtHosts) -> None:
    hosts.start(1)
    hosts.hypervisor(2)
    # libvirt allows that: QEMU is there, with its disks open.
    hosts.by_hand(2, "createWithFlags", 1)
    until(lambda: hosts.access(2).identity() is None)
    hosts.reaches(2, VmState.ABSENT)
    assert hosts.is_good_on(1)


def test_a_host_that_has_not_joined_is_refused(hosts: LibvirtHosts, lab: LibvirtLab) -> None:
    lab.leases[1].leave()
    try:
        hosts.hypervisor(1).start()
        hosts.reaches(1, VmState.ABSENT)
        assert hosts.outcomes(1) == [Outcome.START_REFUSED]
        assert "has not joined" in hosts.told[1][0].detail
    finally:
        until(lambda: lab.joins(1))


def test_a_domain_whose_process_is_not_found_is_not_taken_for_absent(
    hosts: LibvirtHosts, tmp_path: Path
) -> None:
    hosts.change(1, pid_dir=tmp_path)
    hosts.by_hand(1, "create")
    hosts.reaches(1, VmState.UNKNOWN)
    assert "set hypervisor.pid_dir" in hosts.hypervisor(1).observe().detail
    hosts.by_hand(1, "destroy")
    hosts.reaches(1, VmState.ABSENT)


def test_an_id_is_not_taken_anew_while_a_domain_runs(hosts: LibvirtHosts, lab: LibvirtLab) -> None:
    """A new generation of the id would free the lease: libvirt's pid file tells of the domain."""
    from he_fsm.runtime.leases.vm_lock import VmLock

    pid_file = hosts.configs[1].pid_file
    lock = VmLock(lab.folder / "no.lock", pid_file)
    assert lock.is_free()
    hosts.start(1)
    assert not lock.is_free()
    assert pid_file is not None
    assert pid_file.stem == NAME
    hosts.hypervisor(1).power_off()
    hosts.reaches(1, VmState.ABSENT)
    assert lock.is_free()


@pytest.mark.parametrize("word", ["create", "resume"])
def test_what_is_held_elsewhere_is_refused_by_libvirt_too(hosts: LibvirtHosts, word: str) -> None:
    """The agent's own checks are not what keeps two apart."""
    from he_fsm.runtime.hypervisors.libvirt.connection import LibvirtRefusedError

    hosts.start(1)
    if word == "resume":
        hosts.by_hand(2, "createWithFlags", 1)
    with pytest.raises(LibvirtRefusedError):
        hosts.by_hand(2, word)
    assert hosts.is_good_on(1)
