"""What every lease manager promises: one suite, run on each (`class TestMine(LeaseContract)`)."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest

from he_fsm.errors import HostIdBusyError, JoinPendingError, LockspaceError
from he_fsm.runtime.ports import LeaseHolder, Leases
from he_fsm.snapshot import LeaseView, OwnerState
from he_fsm.testing.waiting import until

VM = ("sleep", "600")


class Lab(Protocol):
    """Hosts that share one lockspace."""

    io_timeout_s: float
    watchdog_s: float

    def host(self, host_id: int, name: str) -> Leases:
        """A host whose lease manager runs, and renews once it has joined."""

    def crash(self, host: Leases) -> None:
        """The lease manager is gone at once, without a word; what it was told to keep, it has."""

    def holder(self, host_id: int) -> LeaseHolder:
        """How a VM on that host takes the engine's lease."""

    def close(self) -> None:
        """End everything."""


@attrs.frozen
class Vm:
    """A process that was told to take the lease, and what it said."""

    process: subprocess.Popen[bytes]
    report: dict[str, Any]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def joins(host: Leases) -> bool:
    """Return whether the host has its id now; if not, joining is in progress: ask again."""
    try:
        host.join()
    except JoinPendingError:
        return False
    return True


def begin(
    holder: LeaseHolder, command: tuple[str, ...] = VM
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a process that takes the lease; return it and where it will report."""
    reading, writing = os.pipe()
    process = subprocess.Popen(holder.wrap(command, writing), pass_fds=[writing])
    os.close(writing)
    return process, reading


def said(process: subprocess.Popen[bytes], reading: int) -> Vm:
    """Wait for what a process that `begin` started says of its lease."""
    with os.fdopen(reading, "rb") as report:
        return Vm(process, json.loads(report.read()))


class LeaseContract:
    """Times: T is io_timeout, W the watchdog's."""

    @pytest.fixture
    def vms(self) -> Iterator[list[Vm]]:
        started: list[Vm] = []
        yield started
        for vm in started:
            vm.kill()

    def start(self, lab: Lab, vms: list[Vm], host_id: int) -> Vm:
        vm = said(*begin(lab.holder(host_id)))
        vms.append(vm)
        return vm

    def joined(self, lab: Lab, host_id: int, name: str = "") -> Leases:
        host = lab.host(host_id, name or f"host{host_id}")
        until(lambda: joins(host))
        return host

    def view(self, host: Leases) -> LeaseView:
        return host.status().view

    def test_a_new_lockspace_has_a_free_lease(self, lab: Lab) -> None:
        host = lab.host(1, "host1")
        assert not self.view(host).joined
        until(lambda: joins(host))
        view = self.view(host)
        assert (view.owner, view.owner_state, view.joined) == (None, OwnerState.FREE, True)
        assert not view.held_by_other
        assert 1 not in view.dead_hosts

    def test_joining_twice_is_joining_once_and_leaving_twice_leaving_once(self, lab: Lab) -> None:
        host = self.joined(lab, 1)
        host.join()
        assert self.view(host).joined
        host.leave()
        host.leave()
        assert not self.view(host).joined

    def test_the_lease_is_taken_before_the_vm_runs_and_all_see_whose_it_is(
        self, lab: Lab, vms: list[Vm]
    ) -> None:
        hosts = [self.joined(lab, 1), self.joined(lab, 2)]
        vm = self.start(lab, vms, 1)
        assert vm.report == {"lease": "taken"}
        for host in hosts:
            view = self.view(host)
            assert (view.owner, view.owner_state) == (1, OwnerState.LIVE)
            assert view.free_at is None
        # The process is the VM itself, not a parent of it.
        until(
            lambda: (
                Path(f"/proc/{vm.process.pid}/cmdline").read_bytes()
                == "".join([f"{word}\0" for word in VM]).encode()
            )
        )

    def test_a_living_owner_is_not_replaced(self, lab: Lab, vms: list[Vm]) -> None:
        self.joined(lab, 1)
        self.joined(lab, 2)
        self.start(lab, vms, 1)
        for host_id in (2, 1):
            refused = self.start(lab, vms, host_id)
            assert refused.report == {"lease": "held", "owner": 1, "free_in": None}
            assert refused.process.wait() == 3

    def test_the_lease_is_free_as_soon_as_the_vm_is_gone(self, lab: Lab, vms: list[Vm]) -> None:
        first, second = self.joined(lab, 1), self.joined(lab, 2)
        self.start(lab, vms, 1).kill()
        until(lambda: self.view(second).owner is None)
        assert 1 not in self.view(second).dead_hosts
        assert self.start(lab, vms, 2).report == {"lease": "taken"}
        assert self.view(first).owner == 2

    def test_a_dead_hosts_lease_is_free_8t_and_w_after_its_last_renewal(
        self, lab: Lab, vms: list[Vm]
    ) -> None:
        first, second = self.joined(lab, 1), self.joined(lab, 2)
        vm = self.start(lab, vms, 1)
        lab.crash(first)
        vm.kill()
        until(lambda: self.view(second).owner_state is OwnerState.FAILING)
        status = second.status()
        free_at = status.view.free_at
        assert free_at is not None
        assert status.renewed_at is not None
        expiry_s = 8 * lab.io_timeout_s + lab.watchdog_s
        assert free_at == pytest.approx(status.renewed_at + expiry_s, abs=1e-6)
        assert status.runs_out_at == free_at
        # It may wait, and win as soon as it can; or say how long it would have had to.
        early = self.start(lab, vms, 2)
        if early.report["lease"] == "held":
            assert early.report["owner"] == 1
            assert 0 < early.report["free_in"] < expiry_s
            while time.monotonic() < free_at:
                view = self.view(second)
                is_over = time.monotonic() >= free_at
                assert is_over or (view.owner == 1 and 1 not in view.dead_hosts)
            assert self.start(lab, vms, 2).report == {"lease": "taken"}
        # Nobody had it too early, however busy this machine is.
        assert time.monotonic() >= free_at
        until(lambda: 1 in self.view(second).dead_hosts)
        assert self.view(second).owner == 2

    def test_people_are_told_when_a_living_owners_lease_would_run_out(
        self, lab: Lab, vms: list[Vm]
    ) -> None:
        self.joined(lab, 1)
        second = self.joined(lab, 2)
        self.start(lab, vms, 1)
        until(lambda: second.status().renewed_at is not None)
        status = second.status()
        expiry_s = 8 * lab.io_timeout_s + lab.watchdog_s
        assert status.renewed_at is not None
        assert status.runs_out_at == pytest.approx(status.renewed_at + expiry_s, abs=1e-6)
        assert status.view.free_at is None

    def test_a_host_that_comes_back_does_not_free_the_lease_of_a_vm_that_runs(
        self, lab: Lab, vms: list[Vm]
    ) -> None:
        first, second = self.joined(lab, 1), self.joined(lab, 2)
        self.start(lab, vms, 1)
        generation = second.status().owner_generation
        lab.crash(first)
        crashed_at = time.monotonic()
        # Some keep the lease, and some do not join again before the VM is gone.
        with suppress(LockspaceError):
            lab.host(1, "host1").join()
        status = second.status()
        assert (status.view.owner, status.owner_generation) == (1, generation)
        # Nor does anybody else get it before a host that never came back would have lost it.
        lost_s = 8 * lab.io_timeout_s + lab.watchdog_s - 2 * lab.io_timeout_s
        is_held = self.start(lab, vms, 2).report["lease"] == "held"
        assert is_held or time.monotonic() > crashed_at + lost_s

    def test_a_host_that_comes_back_too_late_frees_what_it_had(
        self, lab: Lab, vms: list[Vm]
    ) -> None:
        first, second = self.joined(lab, 1), self.joined(lab, 2)
        vm = self.start(lab, vms, 1)
        lab.crash(first)
        vm.kill()
        renewed_at = second.status().renewed_at
        assert renewed_at is not None
        until(lambda: time.monotonic() > renewed_at + 8 * lab.io_timeout_s)
        self.joined(lab, 1)
        until(lambda: self.view(second).owner is None)
        assert self.start(lab, vms, 2).report == {"lease": "taken"}

    def test_of_two_waiters_one_gets_it(self, lab: Lab, vms: list[Vm]) -> None:
        for host_id in (1, 2, 3):
            self.joined(lab, host_id)
        self.start(lab, vms, 1).kill()
        waiters = [begin(lab.holder(host_id)) for host_id in (2, 3)]
        vms += [said(*waiter) for waiter in waiters]
        assert sorted(vm.report["lease"] for vm in vms[1:]) == ["held", "taken"]
        assert self.view(self.joined(lab, 4)).owner in {2, 3}

    def test_one_id_is_one_hosts(self, lab: Lab) -> None:
        first, other = self.joined(lab, 1), lab.host(1, "another")
        with pytest.raises(HostIdBusyError, match="host1"):
            until(lambda: joins(other))
        view = self.view(other)
        assert (view.joined, view.held_by_other) == (False, True)
        assert self.view(first).joined
        assert not self.view(first).held_by_other

    def test_an_id_that_was_given_back_is_anybodys(self, lab: Lab) -> None:
        first, other = self.joined(lab, 1), lab.host(1, "another")
        first.leave()
        assert 1 in self.view(other).dead_hosts
        assert not self.view(other).held_by_other
        until(lambda: joins(other))
        assert self.view(other).joined
        assert self.view(first).held_by_other

    def test_the_id_of_a_host_that_died_is_anybodys_when_it_has_run_out(self, lab: Lab) -> None:
        first, other = self.joined(lab, 1), lab.host(1, "another")
        lab.crash(first)
        # Whether it lives can't be known at once: some say that it does until it can.
        with pytest.raises((HostIdBusyError, JoinPendingError), match="host1"):
            other.join()
        assert not self.view(other).joined
        until(lambda: 1 in self.view(other).dead_hosts)
        until(lambda: joins(other))
        assert self.view(other).joined

    def test_a_host_does_not_leave_while_its_engine_runs(self, lab: Lab, vms: list[Vm]) -> None:
        host = self.joined(lab, 1)
        vm = self.start(lab, vms, 1)
        with pytest.raises(LockspaceError, match="the engine runs here") as caught:
            host.leave()
        assert caught.value.errno == errno.EBUSY
        assert self.view(host).joined
        vm.kill()
        until(lambda: self.view(host).owner is None)
        host.leave()
        assert not self.view(host).joined

    def test_without_a_host_id_there_is_no_lease(self, lab: Lab, vms: list[Vm]) -> None:
        host = self.joined(lab, 1)
        host.leave()
        # One that left, and one that never was.
        for host_id in (1, 2):
            vm = self.start(lab, vms, host_id)
            assert vm.report["lease"] == "error"
            assert "has not joined" in vm.report["detail"]
            assert vm.process.wait() == 4
        assert self.view(host).owner is None
