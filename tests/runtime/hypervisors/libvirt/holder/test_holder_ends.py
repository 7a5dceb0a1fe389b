"""The holder, its warden, or both are killed, with libvirt's daemon down, and no agent."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from he_fsm.lab.libvirt.daemon import LibvirtProcess
from he_fsm.runtime.hypervisors.vm_file import STATE
from he_fsm.runtime.ports import LeaseUse
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.holder.holder_hosts import HolderHosts, HolderLab
from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT
from tests.runtime.hypervisors.libvirt.test_daemons import daemon
from tests.runtime.hypervisors.libvirt.test_guard import GUARD_S, guarded, running

__all__ = ("daemon",)

pytestmark = NEEDS_LIBVIRT

HALVES = [("holder",), ("warden",), ("holder", "warden")]
both = pytest.mark.parametrize("which", HALVES, ids="+".join)


@both
def test_the_domain_ends_though_libvirt_is_down(
    hosts: HolderHosts, daemon: LibvirtProcess, which: tuple[str, ...]
) -> None:
    hosts.start(1)
    daemon.kill()
    hosts.reaches(1, VmState.UNKNOWN)
    hosts.kill_half(1, *which)
    while hosts.owner() == 1:
        # Whatever is seen below was so before the lease was free.
        continue
    assert hosts.has_ended(1)
    hosts.start(2)


@both
def test_the_domain_ends_though_libvirt_hangs(
    hosts: HolderHosts, daemon: LibvirtProcess, which: tuple[str, ...]
) -> None:
    hosts.start(1)
    daemon.stop()
    hosts.kill_half(1, *which)
    hosts.ends(1)
    daemon.go_on()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []


@pytest.mark.parametrize("which", HALVES[:2], ids="+".join)
def test_one_half_is_enough_without_agent_and_libvirt(
    hosts: HolderHosts, daemon: LibvirtProcess, which: tuple[str, ...]
) -> None:
    hosts.start(1)
    hosts.restart_agent(1)
    daemon.kill()
    hosts.kill_half(1, *which)
    hosts.ends(1)


def test_with_nobody_left_the_lease_stays_with_the_domain(
    hosts: HolderHosts, daemon: LibvirtProcess
) -> None:
    """Agent, libvirt's daemon and both halves are gone; the next agent ends the domain."""
    hosts.start(1)
    hosts.restart_agent(1)
    daemon.kill()
    hosts.kill_half(1, "holder", "warden")
    until(lambda: hosts.page() == 200)
    hosts.hypervisor(2).start()
    until(lambda: hosts.told[2] or hosts.state(2) is VmState.UP)
    assert hosts.outcomes(2) == [Outcome.START_REFUSED]
    assert "held by host 1" in hosts.told[2][0].detail
    # A new agent needs no daemon of libvirt's for that.
    hosts.hypervisor(1)
    hosts.ends(1)


def test_the_holder_is_told_to_end(hosts: HolderHosts) -> None:
    """As sanlock does where the lease is lost."""
    hosts.start(1)
    event = hosts.wake_event(1)
    os.kill(hosts.holder_pid(1), signal.SIGTERM)
    assert event.wait(2.0)
    hosts.ends(1)
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []


def test_the_domain_ends_with_its_sanlock_daemon(hosts: HolderHosts, lab: HolderLab) -> None:
    """Without a guard, and though its agent has ended."""
    hosts.start(1)
    hosts.restart_agent(1)
    daemon = lab.sanlock.at(1).daemon
    daemon.kill()
    until(lambda: hosts.has_ended(1))
    lab.sanlock.start(daemon.run_dir, daemon.name)
    until(lambda: lab.joins(1))
    hosts.start(1)


# By the lab's times, which are sped up; it is ready when it has looked at the daemon.
QUICK_GUARD = """
import logging
import sys
from pathlib import Path
from he_fsm.runtime.hypervisors.libvirt.access import LibvirtVm
from he_fsm.runtime.hypervisors.libvirt.section import LibvirtConfig
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.sanlock.watching.daemon_watch import NO_WATCHDOG
from he_fsm.runtime.leases.sanlock.watching.guard import LeaseGuard
class Ready(logging.Handler):
    def emit(self, record):
        if NO_WATCHDOG in record.getMessage():
            print("ready", flush=True)
logging.getLogger().addHandler(Ready())
run_dir, pid_dir, settings, io_timeout_s, watchdog_s = sys.argv[1:]
access = LibvirtVm(Path(run_dir), LibvirtConfig(pid_dir=Path(pid_dir)))
rules = Rules(io_timeout_s=float(io_timeout_s), watchdog_s=float(watchdog_s))
guard = LeaseGuard(SanlockSettings.from_text(settings), 1, access, rules)
sys.stdin.read()
guard.close()
"""


def test_the_domain_ends_in_time_where_sanlock_hangs(hosts: HolderHosts, lab: HolderLab) -> None:
    """Nobody renews, and nobody tells the holder: the agent's guard sees it."""
    hosts.start(1)
    sanlock = lab.sanlock
    daemon = [each for each in sanlock.daemons if each.name == "host1"][-1].process
    words = str(hosts.run_dir(1)), str(lab.daemons[1].pid_dir), sanlock.at(1).settings.to_text()
    times = str(sanlock.io_timeout_s), str(sanlock.watchdog_s)
    with running(QUICK_GUARD, *words, *times):
        daemon.send_signal(signal.SIGSTOP)
        try:
            # Before another host may take the lease.
            until(lambda: hosts.has_ended(1), sanlock.io_timeout_s * 8 + sanlock.watchdog_s)
        finally:
            daemon.send_signal(signal.SIGCONT)
            until(lambda: lab.joins(1))


def test_the_guard_lets_a_domain_with_its_holder_be(hosts: HolderHosts, tmp_path: Path) -> None:
    hosts.start(1)
    vm = hosts.access(1).identity()
    assert vm is not None
    assert vm.lease is LeaseUse.HAS
    assert vm.lease_pid == hosts.holder_pid(1)
    with guarded(hosts, tmp_path):
        # The guard asks sanlock once for the domain's lease, within its first seconds.
        assert not hosts.wake_event(1).wait(GUARD_S)
    assert hosts.is_good_on(1)


def test_the_guard_ends_a_domain_of_which_nothing_is_written(
    hosts: HolderHosts, tmp_path: Path
) -> None:
    """Whoever has started it: no holder is known to keep its lease."""
    hosts.start(1)
    hosts.restart_agent(1)
    (hosts.run_dir(1) / STATE).unlink()
    with guarded(hosts, tmp_path):
        hosts.ends(1)


def test_a_new_agent_adopts_holder_and_domain(hosts: HolderHosts) -> None:
    hosts.start(1)
    pid, holder = hosts.pid(1), hosts.holder_pid(1)
    hosts.restart_agent(1)
    until(lambda: hosts.is_good_on(1))
    assert (hosts.pid(1), hosts.holder_pid(1)) == (pid, holder)
    hosts.kill_half(1, "holder", "warden")
    hosts.reaches(1, VmState.ABSENT)
    hosts.start(1)


def test_a_domain_that_ends_leaves_no_holder(hosts: HolderHosts) -> None:
    hosts.start(1)
    halves = hosts.holder_pid(1), hosts.warden_pid(1)
    hosts.hypervisor(1).power_off()
    hosts.reaches(1, VmState.ABSENT)
    for pid in halves:
        until(lambda pid=pid: not hosts.lives(pid))
