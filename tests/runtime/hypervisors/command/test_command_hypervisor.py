from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.hypervisors import EVENT_S, HypervisorContract
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.command.command_hosts import CommandHosts


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[CommandHosts]:
    hosts = CommandHosts(tmp_path)
    yield hosts
    hosts.tear_down()


class TestCommand(HypervisorContract):
    """The hypervisor `command` keeps the contract."""


def warden(hosts: CommandHosts) -> int:
    [parent] = {psutil.Process(hosts.inner(1)).ppid()}
    return parent


# Ends.


def test_a_program_that_ends_is_told_with_its_status(hosts: CommandHosts) -> None:
    hosts.start(1)
    event = hosts.wake_event(1)
    os.kill(hosts.inner(1), signal.SIGSEGV)
    assert event.wait(EVENT_S)
    hosts.reaches(1, VmState.ABSENT)
    [result] = hosts.told[1]
    assert result.outcome is Outcome.GUEST_DIED
    assert result.detail == "the program was ended by SIGSEGV"


def test_a_program_that_ends_at_once_has_run(hosts: CommandHosts) -> None:
    hosts.says(1, "dies")
    hosts.hypervisor(1).start()
    until(lambda: hosts.state(1) is VmState.ABSENT and hosts.told[1])
    assert hosts.told[1][0].detail == "the program has ended with status 3"
    hosts.says(1)
    hosts.start(1)


def test_a_program_that_is_not_there_is_a_failed_start(hosts: CommandHosts) -> None:
    hosts.says(1, run=["/nowhere/program"])
    hosts.hypervisor(1).start()
    until(lambda: hosts.state(1) is VmState.ABSENT and hosts.told[1])
    [result] = hosts.told[1]
    assert result.outcome is Outcome.START_FAILED
    assert result.detail == "/nowhere/program can't be run: No such file or directory"
    until(lambda: hosts.owner() is None)


# What a program leaves behind.


@pytest.mark.parametrize("victim", ["keeper", "warden", "program"])
def test_whoever_is_killed_nothing_is_left_when_the_lease_is_free(
    hosts: CommandHosts, victim: str
) -> None:
    hosts.says(1, "children")
    hosts.start(1)
    until(lambda: len(hosts.programs()) == 4)
    pids = {"keeper": hosts.pid(1), "warden": warden(hosts), "program": hosts.inner(1)}
    os.kill(pids[victim], signal.SIGKILL)
    until(lambda: hosts.owner() is None)
    assert hosts.programs() == []
    hosts.reaches(1, VmState.ABSENT)
    hosts.start(2)


def test_what_is_left_when_both_are_killed_keeps_the_lease_until_it_is_ended(
    hosts: CommandHosts,
) -> None:
    hosts.says(1, "children")
    hosts.start(1)
    for pid in (warden(hosts), hosts.pid(1)):
        os.kill(pid, signal.SIGSTOP)
    for pid in (warden(hosts), hosts.pid(1)):
        os.kill(pid, signal.SIGKILL)
    # The program itself dies with its warden; what it has left is nobody's.
    until(lambda: hosts.state(1) is VmState.STOPPING)
    assert hosts.owner() == 1
    hosts.hypervisor(2).start()
    until(lambda: hosts.state(2) is VmState.ABSENT)
    assert hosts.outcomes(2) == [Outcome.START_REFUSED]
    hosts.hypervisor(1).start()
    assert hosts.outcomes(1) == []
    # Whoever watches ends it.
    hosts.wake_event(1)
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.programs() == []
    assert hosts.outcomes(1) == [Outcome.START_REFUSED]
    hosts.start(2)


def test_what_is_left_without_the_lease_when_both_are_killed_is_ended_by_the_agent(
    hosts: CommandHosts,
) -> None:
    hosts.says(1, "children", "loose")
    hosts.start(1)
    until(lambda: len(hosts.programs()) == 4)
    for pid in (warden(hosts), hosts.pid(1)):
        os.kill(pid, signal.SIGSTOP)
    for pid in (warden(hosts), hosts.pid(1)):
        os.kill(pid, signal.SIGKILL)
    # Also by an agent that comes later.
    hosts.restart_agent(1)
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.programs() == []


def test_a_power_off_ends_what_is_left(hosts: CommandHosts) -> None:
    hosts.says(1, "children")
    hosts.start(1)
    for pid in (warden(hosts), hosts.pid(1)):
        os.kill(pid, signal.SIGSTOP)
    for pid in (warden(hosts), hosts.pid(1)):
        os.kill(pid, signal.SIGKILL)
    until(lambda: hosts.state(1) is VmState.STOPPING)
    hosts.hypervisor(1).power_off()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.programs() == []


def test_a_program_whose_host_renews_no_more_is_ended_with_all_that_it_has_begun(
    tmp_path: Path,
) -> None:
    hosts = CommandHosts(tmp_path, io_timeout_s=0.5)
    hosts.says(1, "children")

    def renewed_and_good() -> bool:
        hosts.leases[1].renew()
        return hosts.is_good_on(1)

    hosts.hypervisor(1).start()
    until(renewed_and_good)
    # Nobody renews now.
    until(lambda: hosts.programs() == [])
    hosts.reaches(1, VmState.ABSENT)
    hosts.tear_down()


# Stops.


def test_a_program_is_stopped_by_the_signal_that_it_wants(hosts: CommandHosts) -> None:
    hosts.says(1, "deaf", stop="SIGUSR1")
    hosts.start(1)
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []


def test_a_program_is_stopped_by_a_command_that_knows_its_number(hosts: CommandHosts) -> None:
    stop = "import os, signal; os.kill(int(os.environ['MAINPID']), signal.SIGUSR1)"
    hosts.says(1, "deaf", stop=[sys.executable, "-c", stop])
    hosts.start(1)
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []


def test_a_stop_command_that_is_not_there_is_replaced_by_a_signal(hosts: CommandHosts) -> None:
    hosts.says(1, stop=["/nowhere/stop"])
    hosts.start(1)
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.ABSENT)


def test_a_program_that_does_not_stop_is_ended_after_the_limit_without_any_agent(
    hosts: CommandHosts,
) -> None:
    hosts.stop_limit_s = 0.3
    hosts.says(1, "deaf", "children")
    hosts.start(1)
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.STOPPING)
    hosts.restart_agent(1)
    until(lambda: hosts.owner() is None)
    assert hosts.programs() == []
    assert hosts.state(1) is VmState.ABSENT


def test_what_a_stopped_program_has_begun_may_end_by_itself(hosts: CommandHosts) -> None:
    done = hosts.folder / "done"
    child = "import sys, time, pathlib; time.sleep(0.3); pathlib.Path(sys.argv[1]).touch()"
    stop = (
        "import os, signal, subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}, {str(done)!r}])\n"
        "os.kill(int(os.environ['MAINPID']), signal.SIGTERM)"
    )
    hosts.says(1, stop=[sys.executable, "-c", stop])
    hosts.start(1)
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.ABSENT)
    assert done.exists()


def test_an_agent_that_comes_later_sees_the_stop_to_its_end(hosts: CommandHosts) -> None:
    hosts.says(1, "deaf")
    hosts.start(1)
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.STOPPING)
    hosts.restart_agent(1)
    assert hosts.state(1) is VmState.STOPPING
    hosts.hypervisor(1).power_off()
    hosts.reaches(1, VmState.ABSENT)


def test_many_starts_leave_nothing_behind(hosts: CommandHosts) -> None:
    hosts.start(1)
    hosts.wake_event(1)
    descriptors, threads = psutil.Process().num_fds(), threading.active_count()
    for _ in range(5):
        hosts.hypervisor(1).power_off()
        hosts.reaches(1, VmState.ABSENT)
        hosts.start(1)
    assert psutil.Process().num_fds() <= descriptors + 1
    assert threading.active_count() <= threads
    assert len(hosts.programs()) == 1


def test_a_damaged_record_is_said_not_guessed(hosts: CommandHosts) -> None:
    path = hosts.run_dir(1) / "vm.json"
    path.write_text("no JSON")
    seen = hosts.hypervisor(1).observe()
    assert seen.vm.state is VmState.UNKNOWN
    assert "damaged" in seen.detail
    path.unlink()
    assert hosts.state(1) is VmState.ABSENT
