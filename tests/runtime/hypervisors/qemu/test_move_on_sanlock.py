"""The engine's lease goes from host to host while its VM lives: sanlock's part of a migration."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from he_fsm.runtime.leases.vm_lock import VmLock
from he_fsm.testing.leases import VM, Vm, begin, joins, said
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.sanlock_lab import NEEDS_SANLOCK, SanlockLab, python

pytestmark = NEEDS_SANLOCK

ORDER = """
import json
from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
holder = SanlockHolder(settings=settings, host_id={host_id})
try:
    answer = {order}
except LockspaceError as error:
    answer = type(error).__name__
print(json.dumps(answer))
"""


class Hosts:
    """Joined hosts, and the VMs that were started on them."""

    def __init__(self, lab: SanlockLab) -> None:
        self.lab = lab
        self.vms: list[Vm] = []
        for host_id in (1, 2, 3):
            host = lab.add(host_id, f"host{host_id}")
            until(lambda host=host: joins(host.client))

    def start(self, host_id: int) -> Vm:
        vm = said(*begin(self.lab.holder(host_id)))
        self.vms.append(vm)
        return vm

    def awaits(self, host_id: int) -> Vm:
        """Start what receives a VM."""
        reading, writing = os.pipe()
        command = self.lab.holder(host_id).wrap_awaiting(VM, writing)
        process = subprocess.Popen(command, pass_fds=[writing])
        os.close(writing)
        with os.fdopen(reading, "rb") as report:
            vm = Vm(process, json.loads(report.read()))
        self.vms.append(vm)
        return vm

    def order(self, host_id: int, order: str) -> object:
        """Do something in a process of its own, as the agent of a host would."""
        script = ORDER.format(host_id=host_id, order=order)
        done = python(script, self.lab.at(host_id).settings)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def owner(self) -> Optional[int]:
        return self.lab.at(3).client.status().view.owner


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    lab = SanlockLab(tmp_path)
    hosts = Hosts(lab)
    yield hosts
    for vm in hosts.vms:
        vm.kill()
    lab.close()


def test_the_lease_goes_over_and_both_processes_live_on(hosts: Hosts) -> None:
    source = hosts.start(1)
    target = hosts.awaits(2)
    assert target.report == {"lease": "awaited"}
    assert hosts.owner() == 1
    there, here = target.process.pid, source.process.pid
    assert hosts.order(2, f"holder.holds({there})") is False
    # Too early: the source has it.
    assert hosts.order(2, f"holder.pick_up({there})") == "LeaseHeldError"
    assert hosts.order(1, f"holder.put_down({here}, 2)") is None
    assert hosts.order(1, f"holder.holds({here})") is False
    assert hosts.order(2, f"holder.pick_up({there})") is None
    assert hosts.order(2, f"holder.pick_up({there})") is None
    assert hosts.order(2, f"holder.holds({there})") is True
    assert hosts.owner() == 2
    assert [vm.process.poll() for vm in (source, target)] == [None, None]
    # The source's process ends, and that frees nothing of the target's.
    source.kill()
    assert hosts.start(3).report == {"lease": "held", "owner": 2, "free_in": None}
    target.kill()
    until(lambda: hosts.owner() is None)


def test_the_source_takes_the_lease_back(hosts: Hosts) -> None:
    source, target = hosts.start(1), hosts.awaits(2)
    here = source.process.pid
    assert hosts.order(1, f"holder.put_down({here}, 2)") is None
    target.kill()
    assert hosts.order(1, f"holder.pick_up({here})") is None
    assert hosts.owner() == 1
    source.kill()
    until(lambda: hosts.owner() is None)


def test_who_has_no_lease_puts_none_down_and_nobody_unknown_gets_one(hosts: Hosts) -> None:
    target = hosts.awaits(2)
    assert hosts.order(2, f"holder.put_down({target.process.pid}, 1)") == "LeaseLostError"
    assert hosts.order(2, f"holder.pick_up({os.getpid()})") == "LeaseLostError"
    assert hosts.order(2, f"holder.put_down({os.getpid()}, 1)") == "LeaseLostError"
    assert hosts.owner() is None


def test_a_third_host_may_be_faster_and_then_neither_has_it(hosts: Hosts) -> None:
    source, target = hosts.start(1), hosts.awaits(2)
    assert hosts.order(1, f"holder.put_down({source.process.pid}, 2)") is None
    assert hosts.start(3).report == {"lease": "taken"}
    assert hosts.order(2, f"holder.pick_up({target.process.pid})") == "LeaseHeldError"
    assert hosts.order(1, f"holder.pick_up({source.process.pid})") == "LeaseHeldError"


def test_a_vm_is_not_awaited_where_one_is(hosts: Hosts) -> None:
    hosts.start(1)
    assert hosts.awaits(1).report == {"lease": "held", "owner": 1, "free_in": None}
    assert hosts.awaits(2).report == {"lease": "awaited"}
    assert not VmLock(Path(hosts.lab.at(2).settings.vm_lock)).is_free()
    assert hosts.start(2).report == {"lease": "held", "owner": 2, "free_in": None}
