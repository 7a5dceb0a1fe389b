"""The hypervisor `systemd` against a double of systemd's interface, on a private bus."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.runtime import parts
from he_fsm.runtime.config import parse_config
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.hypervisors.systemd.bus import Bus
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.hypervisors import EVENT_S, HypervisorContract
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder
from tests.runtime.hypervisors.systemd.systemd_hosts import (
    UNIT,
    Systemd,
    SystemdHosts,
    warden_of,
)


@pytest.fixture
def hosts() -> Iterator[SystemdHosts]:
    # The path of a socket is short.
    with short_folder() as folder:
        hosts = SystemdHosts(folder)
        yield hosts
        hosts.tear_down()


class TestSystemd(HypervisorContract):
    """The hypervisor `systemd` keeps the contract."""


def test_a_unit_that_ends_is_told(hosts: SystemdHosts) -> None:
    hosts.start(1)
    event = hosts.wake_event(1)
    os.kill(hosts.inner(1), signal.SIGSEGV)
    assert event.wait(EVENT_S)
    hosts.reaches(1, VmState.ABSENT)
    assert [(each.outcome, each.detail) for each in hosts.told[1]] == [
        (Outcome.GUEST_DIED, "the unit engine.service is failed")
    ]


def test_a_unit_that_systemd_restarts_runs_on(hosts: SystemdHosts) -> None:
    hosts.says(1, restart=True)
    hosts.start(1)
    before = hosts.inner(1)
    os.kill(before, signal.SIGKILL)
    until(lambda: hosts.is_good_on(1) and hosts.inner(1) != before)
    assert hosts.told[1] == []
    assert hosts.owner() == 1


def test_a_unit_that_is_not_there_is_a_failed_start(hosts: SystemdHosts) -> None:
    hosts.systemds[1].write({})
    hosts.hypervisor(1).start()
    until(lambda: hosts.state(1) is VmState.ABSENT and hosts.told[1])
    [result] = hosts.told[1]
    assert result.outcome is Outcome.START_FAILED
    assert result.detail == "systemd has no unit engine.service that it can start: not-found"


def test_without_systemd_a_start_fails(hosts: SystemdHosts) -> None:
    hosts.systemds[1].kill()
    hosts.hypervisor(1).start()
    until(lambda: hosts.state(1) is VmState.ABSENT and hosts.told[1])
    [result] = hosts.told[1]
    assert result.outcome is Outcome.START_FAILED
    assert "can't be reached" in result.detail


@pytest.mark.parametrize("victim", ["keeper", "warden"])
def test_whoever_is_killed_the_unit_is_gone_when_the_lease_is_free(
    hosts: SystemdHosts, victim: str
) -> None:
    hosts.says(1, "deaf")
    hosts.start(1)
    os.kill(hosts.pid(1) if victim == "keeper" else warden_of(hosts, 1), signal.SIGKILL)
    until(lambda: hosts.owner() is None)
    assert not hosts.systemds[1].is_active()
    assert hosts.programs() == []
    hosts.reaches(1, VmState.ABSENT)
    hosts.start(2)


def test_while_systemd_does_not_answer_a_unit_keeps_its_lease(hosts: SystemdHosts) -> None:
    hosts.start(1)
    hosts.systemds[1].kill()
    hosts.hypervisor(1).power_off()
    until(lambda: hosts.state(1) is VmState.STOPPING)
    hosts.hypervisor(2).start()
    until(lambda: hosts.state(2) is VmState.ABSENT and hosts.told[2])
    assert hosts.outcomes(2) == [Outcome.START_REFUSED]
    assert hosts.page() == 200


def test_a_unit_that_runs_already_is_started_anew_under_the_lease(hosts: SystemdHosts) -> None:
    bus = Bus(hosts.systemds[1].address)
    bus.load(UNIT)
    bus.start(UNIT)
    until(lambda: hosts.page() == 200)
    [before] = hosts.programs()
    hosts.start(1)
    until(lambda: hosts.programs() not in ([], [before]))
    until(lambda: hosts.inner(1) != before)
    bus.close()


def test_a_unit_that_somebody_starts_without_the_lease_is_ended(hosts: SystemdHosts) -> None:
    hosts.wake_event(2)
    bus = Bus(hosts.systemds[2].address)
    bus.load(UNIT)
    bus.start(UNIT)
    bus.close()
    until(hosts.systemds[2].is_active)
    until(lambda: not hosts.systemds[2].is_active())
    until(lambda: hosts.programs() == [])


# The configuration.


def config_of(address: str, more: str = "") -> Config:
    text = f"""
host: {{id: 1}}
storage: {{path: /srv/he-fsm}}
leases: embedded
monitors: {{network: {{test: none}}}}
ovirt: none
hypervisor: {{kind: systemd, unit: {UNIT}, bus: '{address}', health: 'http://a/'{more}}}
"""
    return parse_config(text, "f.yaml", Path("/srv"))


def said_of(config: Config) -> list[str]:
    return [str(each) for each in parts.findings(config) if each.is_fatal]


def test_a_unit_that_systemd_would_start_alone_is_said() -> None:
    with short_folder() as folder:
        systemd = Systemd(folder)
        config = config_of(systemd.address)
        try:
            assert said_of(config) == [f"systemd has no unit {UNIT} that it can start: not-found"]
            systemd.write({UNIT: {"run": ["sleep", "1h"]}})
            assert said_of(config) == []
            systemd.write({UNIT: {"run": ["sleep", "1h"], "file_state": "enabled"}})
            [said] = said_of(config)
            assert said.startswith(f"systemd starts {UNIT} by itself, without the lease")
            assert said.endswith(f"systemctl disable {UNIT}")
        finally:
            systemd.kill()
        [said] = said_of(config)
        assert "can't be reached" in said


def test_a_unit_can_not_move() -> None:
    config = config_of("unix:path=/nowhere")
    assert not config.policy.live_migration
    assert config.hypervisor.called == UNIT
