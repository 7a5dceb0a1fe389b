"""vdsm restarts, hangs, or is not there; the agent ends and comes back."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.errors import HypervisorError
from he_fsm.lab.ovirt.definition import VM_ID
from he_fsm.runtime.hypervisors.vdsm.here import VdsmSettings
from he_fsm.runtime.hypervisors.vdsm.hypervisor import VdsmHypervisor
from he_fsm.runtime.hypervisors.vdsm.kind import connects
from he_fsm.runtime.vdsm.interface import VdsmClient
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.hypervisors import EVENT_S
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.vdsm.vdsm_hosts import (
    NEEDS_VDSM,
    VdsmDaemon,
    VdsmHosts,
    VdsmLab,
)
from tests.runtime.vdsm.scene import made_certificates

pytestmark = [*NEEDS_VDSM, pytest.mark.long]

# A loop of the agent's, within which a vdsm that hangs has to be noticed.
LOOP_S = 10.0
# How soon it is looked again at a vdsm that does not answer, and at so many looks it is seen.
AGAIN_S = 0.5
LOOKS = 5
# A look comes every 2 s, and more of the machine's own.
POLLED_S = 4.0


@pytest.fixture
def daemon(lab: VdsmLab) -> Iterator[VdsmDaemon]:
    """Return the vdsm of host 1, and see that it runs after the test."""
    process = lab.daemons[1]
    yield process
    process.go_on()
    if process.process is None:
        process.begin()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the thread that looks has logged."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "he_fsm.runtime.hypervisors.vdsm.host"
    ]


def test_a_vdsm_that_restarts_costs_the_vm_nothing_and_the_log_two_lines(
    hosts: VdsmHosts, daemon: VdsmDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    hosts.start(1)
    pid = hosts.pid(1)
    daemon.kill()
    hosts.reaches(1, VmState.UNKNOWN)
    assert hosts.page() == 200
    assert hosts.owner() == 1
    # Every verb is answered with code 99 meanwhile.
    daemon.begin(recovery_s=3.0)
    assert hosts.state(1) is VmState.UNKNOWN
    until(lambda: hosts.is_good_on(1))
    assert hosts.pid(1) == pid
    event = hosts.wake_event(1)
    hosts.pause(1)
    assert event.wait(EVENT_S)
    assert hosts.told[1] == []
    assert len(lines(caplog)) == 2
    assert lines(caplog)[1].startswith("vdsm answers again")


def test_what_happens_while_there_is_no_vdsm_is_made_up_for(
    hosts: VdsmHosts, daemon: VdsmDaemon
) -> None:
    hosts.start(1)
    daemon.kill()
    hosts.signal(1, signal.SIGKILL)
    daemon.begin()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []
    hosts.start(1)


def test_nobody_is_busy_while_neither_vdsm_nor_the_vm_is_there(
    hosts: VdsmHosts, daemon: VdsmDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.start(1)
    daemon.kill()
    hosts.signal(1, signal.SIGKILL)
    until(lambda: hosts.access(1).identity() is None)
    hosts.reaches(1, VmState.UNKNOWN)
    here, looks = hosts.hypervisor(1)._here, []
    look = here.look
    monkeypatch.setattr(here, "look", lambda: [looks.append(time.monotonic()), look()][1])
    until(lambda: len(looks) >= LOOKS)
    assert looks[-1] - looks[0] > (LOOKS - 1) * AGAIN_S / 2


def test_a_vdsm_that_hangs_makes_the_state_unknown_and_costs_nothing_else(
    hosts: VdsmHosts, daemon: VdsmDaemon
) -> None:
    hosts.start(1)
    daemon.stop()
    began_at = time.monotonic()
    hosts.reaches(1, VmState.UNKNOWN)
    assert time.monotonic() - began_at < LOOP_S
    assert hosts.page() == 200
    assert hosts.owner() == 1
    began_at = time.monotonic()
    hypervisor = hosts.hypervisor(1)
    with pytest.raises(HypervisorError):
        hypervisor.start()
    hypervisor.shut_down()
    hypervisor.cancel_migration()
    assert hypervisor.observe().vm.state is VmState.UNKNOWN
    assert time.monotonic() - began_at < 0.5
    daemon.go_on()
    # It was asked to shut down, and is when it answers again: the order had been given.
    until(lambda: hosts.state(1) in (VmState.UP, VmState.STOPPING, VmState.ABSENT))


def test_power_off_needs_no_vdsm(hosts: VdsmHosts, daemon: VdsmDaemon) -> None:
    hosts.start(1)
    daemon.stop()
    hosts.hypervisor(1).power_off()
    until(lambda: hosts.access(1).identity() is None)
    daemon.go_on()
    hosts.reaches(1, VmState.ABSENT)


def test_a_start_is_seen_to_its_end_though_vdsm_restarts(
    hosts: VdsmHosts, daemon: VdsmDaemon
) -> None:
    hosts.starts_slowly(1)
    hosts.hypervisor(1).start()
    until(lambda: hosts.access(1).identity() is not None)
    daemon.kill()
    daemon.begin(recovery_s=1.0)
    until(lambda: hosts.is_good_on(1))
    assert hosts.told[1] == []


def test_an_order_to_a_vdsm_that_hangs_is_not_kept_for_later(
    hosts: VdsmHosts, daemon: VdsmDaemon
) -> None:
    hosts.hypervisor(1)
    daemon.stop()
    hosts.hypervisor(1).start()
    # Its question whether a VM is here gets no answer, and so no VM is created.
    until(lambda: Outcome.START_FAILED in hosts.outcomes(1) or hosts.state(1) is VmState.UNKNOWN)
    daemon.go_on()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.outcomes(1) == [Outcome.START_FAILED]


def test_an_agent_begins_and_ends_beside_a_vdsm_that_hangs(
    hosts: VdsmHosts, daemon: VdsmDaemon
) -> None:
    hosts.start(1)
    hosts.restart_agent(1)
    daemon.stop()
    began_at = time.monotonic()
    assert hosts.state(1) is VmState.UNKNOWN
    hosts.restart_agent(1)
    assert time.monotonic() - began_at < LOOP_S
    assert hosts.page() == 200


def test_where_events_are_lost_the_vm_is_looked_at_all_the_same(hosts: VdsmHosts) -> None:
    def deaf(_listener: object) -> VdsmClient:
        return connects(hosts.configs[1])(None)

    settings = VdsmSettings(
        host_id=1,
        run_dir=hosts.run_dir(1),
        vm_id=VM_ID,
        config=hosts.configs[1],
        lease_wait_s=10.0,
    )
    hosts._hypervisors[1] = VdsmHypervisor(settings, hosts.sight(1), deaf)
    hosts.start(1)
    hosts.pause(1)
    until(lambda: hosts.state(1) is VmState.PAUSED, POLLED_S)
    hosts.resume(1)
    until(lambda: hosts.state(1) is VmState.UP, POLLED_S)
    # The end of its process needs no event of vdsm's.
    event = hosts.wake_event(1)
    hosts.signal(1, signal.SIGKILL)
    assert event.wait(EVENT_S)
    assert hosts.state(1) is VmState.ABSENT


def test_a_vm_that_is_down_is_cleaned_up_by_the_next_start(hosts: VdsmHosts) -> None:
    hosts.start(1)
    hosts.signal(1, signal.SIGKILL)
    hosts.reaches(1, VmState.ABSENT)
    until(lambda: hosts.by_hand(1, "VM.getStats")[0]["status"] == "Down")
    hosts.start(1)


def test_by_tls_all_is_as_without(hosts: VdsmHosts, tmp_path: Path) -> None:
    files = made_certificates(tmp_path / "own")
    hosts.change_daemon(1, certificates=files)
    tls = {"tls": True, "key": files.key, "cert": files.certificate, "ca": files.ca}
    hosts.change(1, **tls)
    hosts.start(1)
    hosts.pause(1)
    hosts.reaches(1, VmState.PAUSED)
    hosts.resume(1)
    until(lambda: hosts.is_good_on(1))
    # Whoever is trusted by another authority is told so, and the VM runs on.
    other = made_certificates(tmp_path / "other")
    hosts.change(1, key=other.key, cert=other.certificate, ca=other.ca)
    assert hosts.state(1) is VmState.UNKNOWN
    assert "certificate" in hosts.hypervisor(1).observe().detail
    assert hosts.page() == 200
    hosts.change(1, **tls)
    until(lambda: hosts.is_good_on(1))
