"""Moves where a holder keeps the lease, and what may come between."""

from __future__ import annotations

import select
import signal
import threading
from typing import Any

import pytest

from he_fsm.errors import EngineHereError
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.leases import joins
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.holder.holder_hosts import HolderHosts, HolderLab
from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT
from tests.runtime.hypervisors.libvirt.test_moves import (
    slowly,
    taker,
    test_a_daemon_restarts_while_the_memory_is_sent,
    test_a_target_that_dies_at_the_switch_over_costs_neither_vm_nor_lease,
    test_the_sources_process_ends_while_the_memory_is_sent,
    test_the_targets_process_ends_while_the_memory_is_sent,
    test_there_and_back_ten_times,
)

__all__ = (
    "test_a_daemon_restarts_while_the_memory_is_sent",
    "test_a_target_that_dies_at_the_switch_over_costs_neither_vm_nor_lease",
    "test_the_sources_process_ends_while_the_memory_is_sent",
    "test_the_targets_process_ends_while_the_memory_is_sent",
    "test_there_and_back_ten_times",
)

pytestmark = [*NEEDS_LIBVIRT, pytest.mark.long]


@pytest.mark.parametrize("half", ["holder", "warden"])
def test_a_half_of_the_source_is_killed_while_the_memory_is_sent(
    hosts: HolderHosts, half: str
) -> None:
    slowly(hosts)
    hosts.kill_half(1, half)
    hosts.ends(1)
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.outcomes(1) == [Outcome.MIGRATION_FAILED]
    hosts.reaches(2, VmState.ABSENT)
    hosts.start(2)


def test_the_targets_agent_restarts_while_the_memory_is_sent(hosts: HolderHosts) -> None:
    hosts.start(1)
    hosts.hypervisor(2)
    hosts.change_migrate(1, bandwidth=20)
    hosts.hypervisor(2)
    hosts.migrates(1, 2)
    hosts.reaches(2, VmState.ARRIVING)
    hosts.restart_agent(2)
    until(lambda: hosts.is_good_on(2))
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.outcomes(1) == [Outcome.MIGRATION_DONE]


def leaves(client: StorageClient) -> bool:
    try:
        client.leave()
    except EngineHereError:
        return False
    return True


def at_the_switch_over(hosts: HolderHosts, act: Any) -> None:
    """Move the VM from host 1 to host 2, and do something when the source has been paused."""
    import libvirt

    hosts.hypervisor(2)
    is_done = threading.Event()

    def on_event(_raw: Any, _domain: Any, event: int, detail: int, _: Any) -> None:
        paused = (
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED,
        )
        if (event, detail) == paused and not is_done.is_set():
            act()
            is_done.set()

    with hosts.lab.domain(1) as connection:
        connection.register(lambda *_: None, LIFECYCLE=on_event)
        hosts.hypervisor(1).migrate(hosts.lab.peer(2))
        assert is_done.wait(20.0)


def test_a_third_takes_the_lease_while_nobody_has_it(hosts: HolderHosts, lab: HolderLab) -> None:
    """The domain that has arrived never executes, nor does the source again."""
    there = lab.sanlock.at(2).daemon.process
    third_host = lab.sanlock.at(3)
    until(lambda: joins(third_host.client))
    hosts.start(1)
    try:
        with taker(third_host.settings) as third:
            # The target's holder asks for the lease, and gets no answer before the third has it.
            at_the_switch_over(hosts, lambda: there.send_signal(signal.SIGSTOP))
            assert third.stdout is not None
            assert select.select([third.stdout], [], [], 20.0)[0]
            assert third.stdout.readline() == "taken\n"
            there.send_signal(signal.SIGCONT)
            until(lambda: hosts.has_ended(2))
            hosts.reaches(1, VmState.ABSENT)
            hosts.reaches(2, VmState.ABSENT)
            assert hosts.outcomes(1) == [Outcome.MIGRATION_FAILED]
            assert hosts.running() == []
    finally:
        there.send_signal(signal.SIGCONT)
        # sanlock takes a moment to see that the third has ended.
        until(lambda: leaves(third_host.client))


def test_the_sources_holder_is_killed_at_the_switch_over(hosts: HolderHosts) -> None:
    """The source ends, and whether its domain has moved nobody can say any more."""
    hosts.start(1)
    at_the_switch_over(hosts, lambda: hosts.kill_half(1, "holder"))
    until(lambda: hosts.has_ended(1) and hosts.has_ended(2))
    until(lambda: hosts.owner() is None)
    until(lambda: hosts.state(1) is VmState.ABSENT, 40.0)
    assert hosts.outcomes(1) == [Outcome.MIGRATION_FAILED]
    hosts.reaches(2, VmState.ABSENT)
    hosts.start(2)


def test_the_sources_daemon_is_killed_at_the_switch_over(
    hosts: HolderHosts, lab: HolderLab
) -> None:
    hosts.start(1)
    at_the_switch_over(hosts, lab.daemons[1].kill)
    # The copy that has arrived is not let execute while the source may go on.
    until(lambda: hosts.has_ended(2), 40.0)
    lab.daemons[1].start()
    until(lambda: hosts.is_good_on(1), 40.0)
    assert hosts.owner() == 1
    assert hosts.outcomes(1) == [Outcome.MIGRATION_FAILED]
