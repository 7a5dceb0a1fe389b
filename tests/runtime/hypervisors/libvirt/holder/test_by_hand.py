"""What people do to a domain behind the agent's back, where libvirt refuses nobody."""

from __future__ import annotations

import threading

import pytest

from he_fsm.runtime.ports import LeaseUse
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.holder.holder_hosts import HolderHosts
from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT

pytestmark = NEEDS_LIBVIRT

LIVE_P2P_UNSAFE, PAUSED = 0x1 | 0x2 | 0x200, 0x20
URI = "qemu+tcp://10.99.1.2/system"


@pytest.mark.parametrize("flags", [0, 1], ids=["executing", "paused"])
def test_a_domain_started_by_hand_is_ended(hosts: HolderHosts, flags: int) -> None:
    hosts.hypervisor(1)
    hosts.by_hand(1, "createWithFlags", flags)
    hosts.ends(1)
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []


def test_a_second_one_started_by_hand_is_ended(
    hosts: HolderHosts, caplog: pytest.LogCaptureFixture
) -> None:
    """It executes until the agent sees it, within a moment; the guest has not begun by then."""
    hosts.start(1)
    hosts.hypervisor(2)
    hosts.by_hand(2, "create")
    until(lambda: hosts.has_ended(2))
    assert "it executes without the lease" in caplog.text
    assert hosts.is_good_on(1)


def test_a_domain_started_by_hand_before_its_agent_is_ended(hosts: HolderHosts) -> None:
    hosts.by_hand(1, "create")
    hosts.hypervisor(1)
    hosts.ends(1)


def test_a_pause_keeps_the_lease(hosts: HolderHosts) -> None:
    hosts.start(1)
    hosts.pause(1)
    hosts.reaches(1, VmState.PAUSED)
    assert hosts.hypervisor(1).observe().detail == "paused by a user; it keeps its lease"
    vm = hosts.access(1).identity()
    assert vm is not None
    assert vm.lease is LeaseUse.HAS
    hosts.hypervisor(2).start()
    until(lambda: hosts.told[2] or hosts.state(2) is VmState.UP)
    assert hosts.outcomes(2) == [Outcome.START_REFUSED]
    # A new agent takes it as it is.
    hosts.restart_agent(1)
    assert hosts.state(1) is VmState.PAUSED
    hosts.resume(1)
    until(lambda: hosts.is_good_on(1))


def test_a_domain_paused_and_resumed_many_times_runs_on(hosts: HolderHosts) -> None:
    hosts.start(1)
    pid = hosts.pid(1)
    for _ in range(4):
        hosts.pause(1)
        hosts.resume(1)
    until(lambda: hosts.is_good_on(1))
    assert hosts.pid(1) == pid


def test_a_move_by_hand_that_leaves_it_paused_is_seen_and_finished(hosts: HolderHosts) -> None:
    hosts.start(1)
    hosts.hypervisor(2)
    hosts.by_hand(1, "migrateToURI3", URI, {}, LIVE_P2P_UNSAFE | PAUSED)
    until(lambda: hosts.is_good_on(2))
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told == {1: [], 2: []}
    assert hosts.owner() == 2


def test_a_move_by_hand_that_lets_it_execute_is_ended(hosts: HolderHosts) -> None:
    hosts.start(1)
    hosts.hypervisor(2)
    hosts.by_hand(1, "migrateToURI3", URI, {}, LIVE_P2P_UNSAFE)
    until(lambda: hosts.has_ended(2))
    hosts.ends(1)


def test_a_move_that_nobody_vouches_for_is_ended(hosts: HolderHosts) -> None:
    """No agent was there to say that the source has moved: it might have gone on."""
    hosts.start(1)
    hosts.restart_agent(1)
    hosts.hypervisor(2)
    hosts.by_hand(1, "migrateToURI3", URI, {}, LIVE_P2P_UNSAFE | PAUSED)
    until(lambda: hosts.has_ended(2))
    hosts.ends(1)


def test_nobody_resumes_what_arrives_before_it_has_the_lease(hosts: HolderHosts) -> None:
    """While the source is not known to have ended, the copy here has no right to execute."""
    hosts.start(1)
    hosts.hypervisor(2)
    holder = hosts.holder_pid(1)
    # The source's lease is not let go: its holder stands still.
    hosts.stop(holder)
    moved = threading.Thread(
        target=lambda: hosts.by_hand(1, "migrateToURI3", URI, {}, LIVE_P2P_UNSAFE | PAUSED)
    )
    moved.start()
    try:
        moved.join(20.0)
        hosts.reaches(2, VmState.ARRIVING)
        hosts.resume(2)
        until(lambda: hosts.has_ended(2))
    finally:
        hosts.go_on(holder)
    hosts.ends(1)
