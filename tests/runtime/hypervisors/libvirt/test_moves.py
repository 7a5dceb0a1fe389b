"""Moves between two libvirt daemons, and what may come between."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.ports import LeaseUse
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.libvirt_hosts import (
    NEEDS_LIBVIRT,
    LibvirtHosts,
    LibvirtLab,
)

pytestmark = [*NEEDS_LIBVIRT, pytest.mark.long]

# Asks for the lease without a pause, and keeps it until its standard input ends.
TAKER = """
import sys
from he_fsm.runtime.leases.sanlock.daemon.module import load
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
settings = SanlockSettings.from_text(sys.argv[1])
sanlock = load(settings.run_dir)
descriptor = sanlock.register()
print("ready", flush=True)
while True:
    try:
        sanlock.acquire(
            settings.lockspace.encode(),
            settings.resource.encode(),
            settings.disks,
            slkfd=descriptor,
        )
    except sanlock.SanlockException:
        continue
    break
print("taken", flush=True)
sys.stdin.read()
"""


@contextmanager
def taker(settings: SanlockSettings) -> Iterator[subprocess.Popen[str]]:
    """Have a third party wait for the moment in which nobody has the lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", TAKER, settings.to_text()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def slowly(hosts: LibvirtHosts) -> None:
    """Begin a move that takes longer than any test."""
    hosts.migrates_slowly(1)
    hosts.start(1)
    hosts.migrates(1, 2)
    hosts.reaches(2, VmState.ARRIVING)


def test_there_and_back_ten_times(hosts: LibvirtHosts) -> None:
    hosts.start(1)
    here, there = 1, 2
    for number in range(10):
        hosts.migrates(here, there)
        until(lambda: hosts.is_good_on(there))  # noqa: B023 - called at once
        hosts.reaches(here, VmState.ABSENT)
        assert hosts.owner() == there
        assert hosts.outcomes(here) == [Outcome.MIGRATION_DONE] * (number // 2 + 1)
        here, there = there, here
    assert hosts.running() == [1]


def test_a_move_by_hand_is_seen_and_left_alone(hosts: LibvirtHosts) -> None:
    hosts.start(1)
    hosts.hypervisor(2)
    uri, flags = "qemu+tcp://10.99.1.2/system", 0x1 | 0x2 | 0x200
    moved = threading.Thread(
        target=lambda: hosts.by_hand(1, "migrateToURI3", uri, {"bandwidth": 20}, flags)
    )
    moved.start()
    hosts.reaches(1, VmState.LEAVING)
    assert hosts.access(1).identity().lease is LeaseUse.MOVES  # type: ignore[union-attr]
    moved.join(20.0)
    until(lambda: hosts.is_good_on(2))
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told == {1: [], 2: []}


def test_a_new_agent_finds_a_move_under_way_and_can_give_it_up(hosts: LibvirtHosts) -> None:
    slowly(hosts)
    # The one that ordered it waits for its end, or it would be longer.
    hosts.hypervisor(1).cancel_migration()
    until(lambda: hosts.is_good_on(1))
    assert hosts.outcomes(1) == [Outcome.MIGRATION_FAILED]
    hosts.reaches(2, VmState.ABSENT)
    uri, flags = "qemu+tcp://10.99.1.2/system", 0x1 | 0x2 | 0x200
    moved = threading.Thread(target=lambda: _tried(hosts, uri, flags))
    moved.start()
    hosts.reaches(1, VmState.LEAVING)
    hosts.restart_agent(1)
    assert hosts.state(1) is VmState.LEAVING
    hosts.hypervisor(1).cancel_migration()
    until(lambda: hosts.is_good_on(1))
    moved.join(20.0)


def _tried(hosts: LibvirtHosts, uri: str, flags: int) -> None:
    from he_fsm.runtime.hypervisors.libvirt.connection import LibvirtRefusedError

    with pytest.raises(LibvirtRefusedError):
        hosts.by_hand(1, "migrateToURI3", uri, {"bandwidth": 1}, flags)


def test_the_targets_process_ends_while_the_memory_is_sent(hosts: LibvirtHosts) -> None:
    slowly(hosts)
    vm = hosts.access(2).identity()
    assert vm is not None
    hosts.access(2).kill_now(vm)
    until(lambda: hosts.is_good_on(1))
    until(lambda: hosts.told[1])
    assert hosts.outcomes(1) == [Outcome.MIGRATION_FAILED]
    hosts.reaches(2, VmState.ABSENT)
    assert hosts.owner() == 1


def test_the_sources_process_ends_while_the_memory_is_sent(hosts: LibvirtHosts) -> None:
    slowly(hosts)
    vm = hosts.access(1).identity()
    assert vm is not None
    hosts.access(1).kill_now(vm)
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.outcomes(1) == [Outcome.MIGRATION_FAILED]
    hosts.reaches(2, VmState.ABSENT)
    hosts.start(2)


@pytest.mark.parametrize("which", [1, 2], ids=["source", "target"])
def test_a_daemon_restarts_while_the_memory_is_sent(
    hosts: LibvirtHosts, lab: LibvirtLab, which: int
) -> None:
    slowly(hosts)
    lab.daemons[which].kill()
    lab.daemons[which].start()
    until(lambda: hosts.is_good_on(1))
    until(lambda: hosts.told[1])
    assert hosts.outcomes(1) == [Outcome.MIGRATION_FAILED]
    hosts.reaches(2, VmState.ABSENT)
    assert hosts.owner() == 1


def test_a_third_takes_the_lease_while_nobody_has_it(hosts: LibvirtHosts, lab: LibvirtLab) -> None:
    """libvirt leaves the source paused, without the lease; it never executes again."""
    hosts.start(1)
    hosts.hypervisor(2)
    with taker(lab.sanlock.at(2).settings) as third:
        assert third.stdout is not None
        hosts.migrates(1, 2)
        assert third.stdout.readline() == "taken\n"
        hosts.reaches(1, VmState.ABSENT)
        hosts.reaches(2, VmState.ABSENT)
        assert hosts.outcomes(1) == [Outcome.MIGRATION_FAILED]
        assert hosts.running() == []


def test_a_target_that_dies_at_the_switch_over_costs_neither_vm_nor_lease(
    hosts: LibvirtHosts, lab: LibvirtLab
) -> None:
    """QEMU goes on by itself then, and libvirt does not take the lease again: the agent does."""
    import libvirt

    hosts.start(1)
    hosts.hypervisor(2)
    is_paused = threading.Event()

    def kill_target(_raw: Any, _domain: Any, event: int, detail: int, _: Any) -> None:
        if (event, detail) == (
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED,
        ):
            lab.daemons[2].kill()
            vm = hosts.access(2).identity()
            if vm is not None:
                hosts.access(2).kill_now(vm)
            is_paused.set()

    with lab.domain(1) as connection:
        connection.register(lambda *_: None, LIFECYCLE=kill_target)
        hosts.hypervisor(1).migrate(lab.peer(2))
        assert is_paused.wait(20.0)
        until(lambda: hosts.told[1] or hosts.state(1) is VmState.UNKNOWN)
        until(lambda: hosts.is_good_on(1))
    assert hosts.outcomes(1) == [Outcome.MIGRATION_FAILED]
    assert hosts.owner() == 1
    vm = hosts.access(1).identity()
    assert vm is not None
    assert (vm.lease_pid or vm.pid) in hosts.sight(1).seen().holders
    lab.daemons[2].start()
    hosts.reaches(2, VmState.ABSENT)
