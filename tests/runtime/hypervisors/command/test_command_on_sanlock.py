"""A program whose lease is real sanlock's: what sanlock does to its holder ends all of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.runtime.ports import MovableLease
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.leases import joins
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.command.command_hosts import CommandHosts
from tests.runtime.leases.sanlock.sanlock_lab import NEEDS_SANLOCK, SanlockLab

pytestmark = NEEDS_SANLOCK


class SanlockHosts(CommandHosts):
    """Some hosts whose leases are sanlock's, of a daemon each."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "lab").mkdir()
        self.lab = SanlockLab(folder / "lab")
        for host_id in self.ids:
            host = self.lab.add(host_id, f"host{host_id}")
            until(lambda host=host: joins(host.client))

    def lease(self, host_id: int) -> MovableLease:
        return self.lab.holder(host_id)

    def tear_down(self) -> None:
        for host_id in self.ids:
            self.hypervisor(host_id).power_off()
            self.reaches(host_id, VmState.ABSENT)
        self.lab.close()
        super().tear_down()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[SanlockHosts]:
    hosts = SanlockHosts(tmp_path)
    yield hosts
    hosts.tear_down()


def test_when_sanlock_kills_the_holder_nothing_of_the_program_is_left(hosts: SanlockHosts) -> None:
    hosts.says(1, "children", "deaf")
    hosts.start(1)
    until(lambda: len(hosts.programs()) == 4)
    hosts.lab.leave_by_force(1)
    # sanlock waits for the holder's connection, which the warden has as well.
    assert hosts.programs() == []
    hosts.reaches(1, VmState.ABSENT)
    hosts.start(2)


def test_the_lease_is_held_until_nothing_is_left(hosts: SanlockHosts) -> None:
    hosts.says(1, "children", "deaf")
    hosts.start(1)
    until(lambda: len(hosts.programs()) == 4)
    os.kill(hosts.pid(1), signal.SIGKILL)
    while hosts.lab.at(2).client.status().view.owner == 1:
        # Whatever is seen here was there before the lease was let go.
        continue
    assert hosts.programs() == []


def test_another_host_is_refused(hosts: SanlockHosts) -> None:
    hosts.start(1)
    hosts.hypervisor(2).start()
    until(lambda: hosts.state(2) is VmState.ABSENT and hosts.told[2])
    assert hosts.outcomes(2) == [Outcome.START_REFUSED]
    assert "held by host 1" in hosts.told[2][0].detail
