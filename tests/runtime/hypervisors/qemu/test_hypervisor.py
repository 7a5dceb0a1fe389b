from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import time
from pathlib import Path

import attrs
import psutil
import pytest

from he_fsm.lab.guest.build import double_on
from he_fsm.runtime.hypervisors.qemu import command as command_module
from he_fsm.runtime.hypervisors.qemu import hypervisor as hypervisor_module
from he_fsm.runtime.hypervisors.qemu.hypervisor import QemuHypervisor
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.hypervisors import EVENT_S, MigrationContract
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.qemu.qemu_hosts import Prepared, QemuHosts, short_folder

pytestmark = pytest.mark.qemu
PAUSES = ("-action", "panic=pause")


class TestQemu(MigrationContract):
    """The QEMU hypervisor keeps the contract."""


def qemu(hosts: QemuHosts, host_id: int) -> QemuHypervisor:
    hypervisor = hosts.hypervisor(host_id)
    assert isinstance(hypervisor, QemuHypervisor)
    return hypervisor


def test_a_close_that_a_slow_disk_holds_up_leaves_nothing_half_done(
    hosts: QemuHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.start(1)
    hypervisor = qemu(hosts, 1)
    loop = hypervisor._loop
    limit_s = 0.2
    monkeypatch.setattr(hypervisor_module, "_CLOSED_S", limit_s)
    # As a write of the record does that the disk is slow to take.
    loop.call_soon_threadsafe(time.sleep, 2 * limit_s)
    hypervisor.close()
    assert loop.is_closed()
    assert asyncio.all_tasks(loop) == set()


# The guest.


def test_a_booted_guest_is_healthy_and_its_witness_writes(hosts: QemuHosts) -> None:
    hosts.boots(1)
    hosts.start(1)
    until(lambda: hosts.disk.read_bytes()[:1] != b"\0")
    identity = (hosts.say(1, "info") or "").split()[0]
    assert hosts.disk.read_bytes().decode(errors="replace").startswith(f"{identity} ")


def test_the_witness_finds_a_double(hosts: QemuHosts) -> None:
    """A second VM that nobody gave a lease, as a lost sanlock would let it happen."""
    hosts.start(1)
    hosts.names_itself(1, "first")
    hosts.start_without_lease(2)
    until(lambda: hosts.say(2, "witness=second") == "ok\n")
    until(lambda: double_on(hosts.disk) is not None)
    assert "DOUBLE" in (double_on(hosts.disk) or "")
    hosts.clear_double()


def test_a_sick_guest_is_up_with_a_bad_page(hosts: QemuHosts) -> None:
    hosts.start(1)
    assert hosts.say(1, "sick") == "ok\n"
    until(lambda: hosts.page() == 404)
    assert hosts.state(1) is VmState.UP
    assert hosts.say(1, "well") == "ok\n"
    until(lambda: hosts.is_good_on(1))


def test_a_guest_that_hangs_is_up_without_a_page(hosts: QemuHosts) -> None:
    hosts.start(1)
    hosts.say(1, "hang")
    until(lambda: hosts.page() is None)
    assert hosts.state(1) is VmState.UP
    # Its power button is not seen to by anybody.
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.STOPPING)
    hosts.hypervisor(1).power_off()
    hosts.reaches(1, VmState.ABSENT)


def test_a_guest_that_powers_itself_off_is_gone(hosts: QemuHosts) -> None:
    hosts.start(1)
    hosts.say(1, "off")
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []


def test_a_guest_that_ignores_the_button_is_stopping_until_it_is_powered_off(
    hosts: QemuHosts,
) -> None:
    hosts.start(1)
    assert hosts.say(1, "deaf") == "ok\n"
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.STOPPING)
    hosts.restart_agent(1)
    assert hosts.state(1) is VmState.STOPPING
    assert hosts.page() is None
    hosts.hypervisor(1).power_off()
    hosts.reaches(1, VmState.ABSENT)


# A guest that says that it is dead.


@pytest.mark.parametrize(
    ("word", "why"),
    [("panic", "the guest has panicked"), ("watchdog", "the guest's watchdog has fired")],
)
def test_a_guest_that_reports_its_death_is_believed_at_once(
    hosts: QemuHosts, word: str, why: str
) -> None:
    hosts.boots(1)
    hosts.change(1, watchdog="i6300esb")
    hosts.start(1)
    assert hosts.say(1, word) == "ok\n"
    # The guest waits for 0.2 s before it does what it was told.
    until(lambda: hosts.state(1) is VmState.ABSENT, within_s=2.0)
    assert [(each.outcome, each.detail) for each in hosts.told[1]] == [(Outcome.GUEST_DIED, why)]
    hosts.start(1)
    assert hosts.is_good_on(1)


def test_a_guest_that_panics_while_no_agent_looks_frees_its_lease(hosts: QemuHosts) -> None:
    hosts.start(1)
    hosts.restart_agent(1)
    hosts.say(1, "panic")
    until(lambda: hosts.owner() is None, within_s=2.0)
    assert hosts.state(1) is VmState.ABSENT
    hosts.start(2)


def test_a_qemu_that_does_not_end_after_the_report_is_killed(
    hosts: QemuHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_module, "_reporters", lambda _vm: ("-device", "pvpanic", *PAUSES))
    hosts.boots(1)
    hosts.start(1)
    hosts.say(1, "panic")
    until(lambda: hosts.state(1) is VmState.ABSENT, within_s=3.0)
    assert hosts.outcomes(1) == [Outcome.GUEST_DIED]


def test_without_the_device_a_panic_is_a_page_that_does_not_answer(hosts: QemuHosts) -> None:
    hosts.boots(1)
    hosts.change(1, panic=False)
    hosts.start(1)
    hosts.say(1, "panic")
    until(lambda: hosts.page() is None)
    assert hosts.state(1) is VmState.UP


def test_a_vm_moves_to_a_host_that_adds_pvpanic(hosts: QemuHosts) -> None:
    """Hosts are upgraded one after the other, while the VM runs."""
    hosts.boots(1)
    hosts.change(1, panic=False)
    hosts.start(1)
    for source, target in ((1, 2), (2, 1)):
        hosts.migrates(source, target)
        until(lambda target=target: hosts.is_good_on(target))  # type: ignore[misc]
        hosts.reaches(source, VmState.ABSENT)
    assert hosts.outcomes(1) == hosts.outcomes(2) == [Outcome.MIGRATION_DONE]


# Starts that go wrong.


def test_a_host_that_has_not_joined_is_refused(hosts: QemuHosts) -> None:
    hosts.leases[1].leave()
    hosts.hypervisor(1).start()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.outcomes(1) == [Outcome.START_REFUSED]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"binary": Path("/nowhere/qemu")}, id="no QEMU"),
        pytest.param({"machine": "typewriter"}, id="no such machine"),
        pytest.param({"saved_state": Path("/dev/null")}, id="no state"),
        pytest.param({"saved_state": Path("/nowhere/state")}, id="a state that is not there"),
    ],
)
def test_a_vm_that_can_not_be_started_is_a_failed_start(
    hosts: QemuHosts, change: dict[str, object]
) -> None:
    hosts.change(1, **change)
    hosts.hypervisor(1).start()
    until(lambda: hosts.state(1) is VmState.ABSENT and hosts.told[1])
    assert hosts.outcomes(1) == [Outcome.START_FAILED]
    until(lambda: hosts.owner() is None or not hosts.processes())
    hosts.start(2)


def test_a_vm_killed_while_it_starts_is_a_failed_start(hosts: QemuHosts) -> None:
    hosts.hypervisor(1).start()
    until(lambda: hosts.owner() == 1)
    hosts.signal(1, signal.SIGKILL)
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.outcomes(1) == [Outcome.START_FAILED]


# A start by hand that executes nothing yet.


def test_a_vm_that_is_started_paused_has_the_lease_and_executes_when_it_is_resumed(
    hosts: QemuHosts,
) -> None:
    hypervisor = qemu(hosts, 1)
    hypervisor.start_paused()
    assert hypervisor.observe().vm.state is VmState.STARTING
    hosts.reaches(1, VmState.PAUSED)
    assert hosts.owner() == 1
    # The next agent takes it for what it is.
    hosts.restart_agent(1)
    hosts.reaches(1, VmState.PAUSED)
    hosts.hypervisor(2).start()
    hosts.reaches(2, VmState.ABSENT)
    assert hosts.outcomes(2) == [Outcome.START_REFUSED]
    hosts.resume(1)
    hosts.reaches(1, VmState.UP)


def test_a_vm_that_was_begun_paused_by_an_agent_that_died_is_found(hosts: QemuHosts) -> None:
    hypervisor = qemu(hosts, 1)
    hypervisor.start_paused()
    hosts.reaches(1, VmState.PAUSED)
    file = VmFile(hosts.run_dir(1) / "vm.json")
    hypervisor.close()
    # As it stands before the agent has heard of QEMU.
    file.write(attrs.evolve(hosts.record(1), phase=Phase.STARTING))
    hosts.restart_agent(1)
    hosts.reaches(1, VmState.PAUSED)


# The agent's view.


def test_a_frozen_process_is_paused(hosts: QemuHosts) -> None:
    hosts.start(1)
    hosts.signal(1, signal.SIGSTOP)
    hosts.reaches(1, VmState.PAUSED)
    hosts.restart_agent(1)
    assert hosts.state(1) is VmState.PAUSED
    hosts.signal(1, signal.SIGCONT)
    until(lambda: hosts.is_good_on(1))


def test_an_error_of_the_disk_pauses_the_vm(hosts: QemuHosts) -> None:
    hosts.start(1)
    hosts.names_itself(1, "writer")
    event = hosts.wake_event(1)
    # The guest writes ten times a second; now its process may write no file.
    pid, no_limit = hosts.record(1).pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, no_limit))
    assert event.wait(EVENT_S * 4)
    hosts.reaches(1, VmState.PAUSED)
    assert hosts.order(1, "query-status")["status"] == "io-error"
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (no_limit, no_limit))
    hosts.resume(1)
    until(lambda: hosts.is_good_on(1))


def test_a_vm_found_without_its_lease_is_killed(hosts: QemuHosts) -> None:
    hosts.start(1)
    hosts.restart_agent(1)
    hosts.lease(1).put_down(hosts.record(1).pid, 2)
    hosts.reaches(1, VmState.ABSENT)


def test_a_vm_whose_host_renews_no_more_is_ended(prepared: Prepared) -> None:
    with short_folder() as folder:
        hosts = QemuHosts(folder, prepared, io_timeout_s=0.5)

        def renewed_and_good() -> bool:
            hosts.leases[1].renew()
            return hosts.is_good_on(1)

        hosts.hypervisor(1).start()
        until(renewed_and_good)
        # Nobody renews now.
        hosts.reaches(1, VmState.ABSENT)
        hosts.tear_down()


def test_a_damaged_record_is_said_not_guessed(hosts: QemuHosts) -> None:
    path = hosts.run_dir(1) / "vm.json"
    path.write_text("no JSON")
    seen = hosts.hypervisor(1).observe()
    assert seen.vm.state is VmState.UNKNOWN
    assert "damaged" in seen.detail
    hosts.hypervisor(1).start()
    path.unlink()
    hosts.restart_agent(1)
    assert hosts.state(1) is VmState.ABSENT


def test_what_a_dead_vm_left_is_cleared(hosts: QemuHosts) -> None:
    hosts.start(1)
    record = hosts.record(1)
    hosts.restart_agent(1)
    os.kill(record.pid, signal.SIGKILL)
    until(lambda: record.process_state is None)
    VmFile(hosts.run_dir(1) / "vm.json").write(attrs.evolve(record, phase=Phase.RUNNING))
    hosts.reaches(1, VmState.ABSENT)
    assert not (hosts.run_dir(1) / "vm.qmp").exists()
    hosts.start(1)


def test_a_vm_has_a_limit_of_memory(hosts: QemuHosts) -> None:
    hosts.change(1, memory_limit=1024)
    hosts.start(1)
    limit = psutil.Process(hosts.record(1).pid).rlimit(psutil.RLIMIT_DATA)
    assert limit == (1 << 30, 1 << 30)


def test_an_agent_that_ends_with_its_vm_leaves_nothing_undone(
    hosts: QemuHosts, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        hosts.start(1)
        changed = hosts.wake_event(1)
        hosts.signal(1, signal.SIGKILL)
        assert changed.wait(EVENT_S)
        hosts.restart_agent(1)
        gc.collect()
    # asyncio says so of a task that nobody waited for.
    assert "was destroyed" not in caplog.text


def test_many_starts_leave_nothing_behind(hosts: QemuHosts) -> None:
    hosts.start(1)
    hosts.hypervisor(1).power_off()
    hosts.reaches(1, VmState.ABSENT)
    until(lambda: not hosts.processes())
    descriptors, threads = psutil.Process().num_fds(), psutil.Process().num_threads()
    for _ in range(5):
        hosts.start(1)
        hosts.signal(1, signal.SIGKILL)
        hosts.reaches(1, VmState.ABSENT)
    until(lambda: not hosts.processes())
    until(lambda: psutil.Process().num_fds() <= descriptors)
    assert psutil.Process().num_threads() <= threads + 1
    assert hosts.has_no_dying_children()
