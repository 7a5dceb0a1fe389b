from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import psutil
import pytest

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.process.vm.engine import EXIT_FAILED
from he_fsm.runtime.hypervisors.process.vm.witness import DOUBLE, Witness, read_log
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile
from he_fsm.runtime.ports import Peer
from he_fsm.snapshot import Outcome, VmState
from he_fsm.testing.hypervisors import EVENT_S, MigrationContract
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.process.embedded_hosts import EmbeddedHosts


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[EmbeddedHosts]:
    hosts = EmbeddedHosts(tmp_path)
    yield hosts
    hosts.tear_down()


class TestEmbedded(MigrationContract):
    """The embedded hypervisor keeps the contract."""


def outcomes(hosts: EmbeddedHosts, host_id: int) -> list[Outcome]:
    return [result.outcome for result in hosts.told[host_id]]


# Starts that go wrong.


def test_a_guest_that_panics_says_so_before_it_ends(hosts: EmbeddedHosts) -> None:
    hosts.start(1)
    event = hosts.wake_event(1)
    hosts.signal(1, signal.SIGABRT)
    assert event.wait(EVENT_S)
    hosts.reaches(1, VmState.ABSENT)
    assert [(each.outcome, each.detail) for each in hosts.told[1]] == [
        (Outcome.GUEST_DIED, "the guest has panicked")
    ]
    assert hosts.words[-1] == "die"
    hosts.start(1)


def test_a_start_that_fails_holds_the_lease_meanwhile(hosts: EmbeddedHosts) -> None:
    hosts.change(1, start_s=1.0)
    hosts.switch(1, starts="fail 1")
    hosts.hypervisor(1).start()
    until(lambda: hosts.owner() == 1)
    assert hosts.state(1) is VmState.STARTING
    hosts.reaches(1, VmState.ABSENT)
    assert outcomes(hosts, 1) == [Outcome.START_FAILED]
    assert hosts.words == []
    # The switch was for one start.
    hosts.start(1)


def test_a_vm_killed_while_it_starts_is_a_failed_start(hosts: EmbeddedHosts) -> None:
    hosts.change(1, start_s=30.0)
    hosts.hypervisor(1).start()
    until(lambda: hosts.owner() == 1)
    event = hosts.wake_event(1)
    hosts.signal(1, signal.SIGKILL)
    assert event.wait(EVENT_S)
    assert hosts.state(1) is VmState.ABSENT
    assert outcomes(hosts, 1) == [Outcome.START_FAILED]


def test_a_vm_that_is_stopped_while_it_starts_is_paused_and_goes_on(hosts: EmbeddedHosts) -> None:
    hosts.change(1, start_s=1.0)
    hosts.hypervisor(1).start()
    until(lambda: hosts.owner() == 1)
    hosts.signal(1, signal.SIGSTOP)
    hosts.reaches(1, VmState.PAUSED)
    assert hosts.words == []
    hosts.signal(1, signal.SIGCONT)
    hosts.reaches(1, VmState.UP)


def test_a_host_that_has_not_joined_is_refused(hosts: EmbeddedHosts) -> None:
    hosts.leases[1].leave()
    hosts.hypervisor(1).start()
    hosts.reaches(1, VmState.ABSENT)
    assert outcomes(hosts, 1) == [Outcome.START_REFUSED]
    assert hosts.words == []


def test_a_vm_that_dies_early_has_run(hosts: EmbeddedHosts) -> None:
    hosts.switch(1, boots="die 0.3")
    hosts.start(1)
    hosts.reaches(1, VmState.ABSENT)
    assert outcomes(hosts, 1) == []
    assert hosts.words == ["start", "die"]


def test_a_vm_that_never_boots_runs_without_a_page(hosts: EmbeddedHosts) -> None:
    hosts.switch(1, boots="never")
    hosts.hypervisor(1).start()
    hosts.reaches(1, VmState.UP)
    time.sleep(0.3)
    assert hosts.page() is None


def test_no_vm_runs_without_its_record(hosts: EmbeddedHosts) -> None:
    (hosts.settings[1].run_dir / "vm.json").mkdir()
    with pytest.raises(HypervisorError):
        hosts.hypervisor(1).start()
    until(lambda: not hosts.processes())
    (hosts.settings[1].run_dir / "vm.json").rmdir()


def test_no_vm_runs_without_the_lease(hosts: EmbeddedHosts) -> None:
    options = hosts.hypervisor(1)._options()
    ended = subprocess.run(options.command(), capture_output=True, timeout=20, check=False)
    assert ended.returncode == EXIT_FAILED
    assert b"no VM runs without the engine's lease" in ended.stderr
    assert hosts.words == []


# The guest.


def test_the_page_goes_bad_and_is_good_again(hosts: EmbeddedHosts) -> None:
    hosts.start(1)
    hosts.signal(1, signal.SIGUSR1)
    until(lambda: hosts.page() == 500)
    assert hosts.state(1) is VmState.UP
    hosts.signal(1, signal.SIGUSR2)
    until(lambda: hosts.page() == 200)


def test_the_power_button_before_it_runs_is_no_failed_start(hosts: EmbeddedHosts) -> None:
    hosts.change(1, start_s=30.0)
    hosts.hypervisor(1).start()
    until(lambda: hosts.owner() == 1)
    until(lambda: _catches(hosts.record(1).pid, signal.SIGTERM))
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.ABSENT)
    assert outcomes(hosts, 1) == []


def test_a_vm_whose_host_renews_no_more_ends_itself(tmp_path: Path) -> None:
    hosts = EmbeddedHosts(tmp_path, io_timeout_s=0.5)

    def renewed_and_good() -> bool:
        hosts.leases[1].renew()
        return hosts.is_good_on(1)

    hosts.hypervisor(1).start()
    until(renewed_and_good)
    # Nobody renews now.
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.words == ["start"]
    hosts.tear_down()


# The agent's view.


def test_a_lost_hypervisor_says_nothing_and_does_nothing(hosts: EmbeddedHosts) -> None:
    hosts.start(1)
    hosts.switch(1, hypervisor="lost")
    hypervisor = hosts.hypervisor(1)
    seen = hypervisor.observe()
    assert (seen.vm.state, seen.detail) == (VmState.UNKNOWN, "the hypervisor does not answer")
    for ask in (hypervisor.start, hypervisor.shut_down, hypervisor.power_off):
        with pytest.raises(HypervisorError):
            ask()
    assert hosts.page() == 200
    hosts.switch(1, hypervisor="ok")
    assert hosts.is_good_on(1)


def test_a_damaged_record_is_said_not_guessed(hosts: EmbeddedHosts) -> None:
    hosts.start(1)
    path = hosts.settings[1].run_dir / "vm.json"
    text = path.read_text()
    path.write_text("no JSON")
    seen = hosts.hypervisor(1).observe()
    assert seen.vm.state is VmState.UNKNOWN
    assert "damaged" in seen.detail
    path.write_text(text)
    assert hosts.is_good_on(1)


def test_another_process_of_the_same_number_is_not_the_vm(hosts: EmbeddedHosts) -> None:
    hosts.start(1)
    record = hosts.record(1)
    hosts.hypervisor(1).power_off()
    hosts.reaches(1, VmState.ABSENT)
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        reused = attrs.evolve(record, pid=other.pid)
        VmFile(hosts.settings[1].run_dir / "vm.json").write(reused)
        hosts.hypervisor(1).power_off()
        assert hosts.state(1) is VmState.ABSENT
        assert other.poll() is None
        other.kill()


def test_a_result_of_another_agents_time_is_not_told(hosts: EmbeddedHosts) -> None:
    hosts.start(1)
    hosts.migrates(1, 2)
    hosts.restart_agent(1)
    until(lambda: hosts.is_good_on(2))
    hosts.reaches(1, VmState.ABSENT)
    assert outcomes(hosts, 1) == []


# Migrations that go wrong.


def test_a_migration_that_fails_does_so_when_its_time_has_passed(hosts: EmbeddedHosts) -> None:
    hosts.switch(1, migrations="fail 1")
    hosts.start(1)
    began_at = time.monotonic()
    hosts.migrates(1, 2)
    until(lambda: hosts.is_good_on(1))
    assert time.monotonic() - began_at >= hosts.settings[1].migration_s
    assert outcomes(hosts, 1) == [Outcome.MIGRATION_FAILED]
    hosts.reaches(2, VmState.ABSENT)
    hosts.migrates(1, 2)
    until(lambda: hosts.is_good_on(2))


def test_a_migration_that_hangs_ends_by_its_cancelling(hosts: EmbeddedHosts) -> None:
    hosts.switch(1, migrations="hang")
    hosts.start(1)
    hosts.migrates(1, 2)
    time.sleep(0.5)
    assert hosts.state(1) is VmState.LEAVING
    assert hosts.page() == 200
    assert hosts.hypervisor(1).observe().progress == 0.99
    hosts.hypervisor(1).cancel_migration()
    hosts.reaches(1, VmState.UP)
    assert outcomes(hosts, 1) == [Outcome.MIGRATION_FAILED]
    assert hosts.words == ["start"]


@pytest.mark.parametrize("trouble", ["gone", "lost", "itself", "not joined", "running"])
def test_a_target_that_can_not_take_it(hosts: EmbeddedHosts, trouble: str) -> None:
    hosts.start(1)
    target = 1 if trouble == "itself" else 2
    if trouble == "gone":
        hosts.settings[2].run_dir.rename(hosts.folder / "away")
    elif trouble == "lost":
        hosts.switch(2, hypervisor="lost")
    elif trouble == "not joined":
        hosts.leases[2].leave()
    elif trouble == "running":
        # A VM of an earlier time, which its agent has not seen to.
        VmFile(hosts.settings[2].run_dir / "vm.json").write(
            attrs.evolve(hosts.record(1), phase=Phase.STOPPING)
        )
    hosts.state(1)
    hosts.hypervisor(1).migrate(Peer(target))
    until(lambda: hosts.state(1) is VmState.UP and hosts.told[1])
    assert outcomes(hosts, 1) == [Outcome.MIGRATION_FAILED]
    until(lambda: hosts.page() == 200)
    assert hosts.running() == [1]
    if trouble == "gone":
        (hosts.folder / "away").rename(hosts.settings[2].run_dir)
    if trouble == "running":
        (hosts.settings[2].run_dir / "vm.json").unlink()


def test_a_target_that_stops_at_the_switch_is_given_up(hosts: EmbeddedHosts) -> None:
    hosts.start(1)
    # On a busy machine it may be stopped before it was ready, and the source has not left then.
    while "leave" not in hosts.words:
        hosts.told[1].clear()
        hosts.migrates(1, 2)
        hosts.reaches(2, VmState.ARRIVING)
        hosts.signal(2, signal.SIGSTOP)
        until(lambda: hosts.told[1] or hosts.state(1) is VmState.ABSENT)
        assert outcomes(hosts, 1) == [Outcome.MIGRATION_FAILED]
        until(lambda: hosts.is_good_on(1))
        hosts.reaches(2, VmState.ABSENT)
    assert hosts.words == ["start", "leave", "resume"]


def test_a_shut_down_ends_a_migration(hosts: EmbeddedHosts) -> None:
    hosts.change(1, migration_s=30.0)
    hosts.start(1)
    hosts.migrates(1, 2)
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.ABSENT)
    hosts.reaches(2, VmState.ABSENT)
    assert outcomes(hosts, 1) == [Outcome.MIGRATION_FAILED]


# Around the switch-over, which comes 0.2 s after the order, or when the receiver is ready.
MOMENTS = [0.0, 0.1, 0.19, 0.2, 0.21, 0.25, 0.3, 0.4]


@pytest.mark.parametrize("victim", [1, 2])
@pytest.mark.parametrize("after_s", MOMENTS)
def test_a_kill_in_the_middle_leaves_at_most_one(
    hosts: EmbeddedHosts, victim: int, after_s: float
) -> None:
    """The kill strikes before, at and after the switch-over; the fixture looks for doubles."""
    hosts.start(1)
    ordered_at = time.monotonic()
    hosts.hypervisor(1).migrate(Peer(2))
    until(lambda: time.monotonic() >= ordered_at + after_s)
    hosts.kill_process(victim)
    until(lambda: len(hosts.processes()) == len(hosts.running()) <= 1)
    # Whatever came of it, the engine can be had again: at once, or when the lease comes down.
    if not hosts.running():
        until(lambda: _starts(hosts, 2))
    until(lambda: any(hosts.is_good_on(host_id) for host_id in hosts.ids))


def _starts(hosts: EmbeddedHosts, host_id: int) -> bool:
    hosts.hypervisor(host_id).start()
    until(lambda: hosts.state(host_id) is not VmState.STARTING)
    return hosts.state(host_id) is VmState.UP


def test_many_migrations_leave_nothing_behind(hosts: EmbeddedHosts) -> None:
    for host_id in hosts.ids:
        hosts.change(host_id, migration_s=0.0)
    hosts.start(1)
    for host_id in hosts.ids:
        hosts.wake_event(host_id)
    hosts.signal(1, signal.SIGUSR1)
    until(lambda: hosts.page() == 500)
    descriptors, threads = psutil.Process().num_fds(), psutil.Process().num_threads()
    source, target = 1, 2
    for _ in range(30):
        hosts.hypervisor(source).migrate(Peer(target))
        until(lambda: hosts.state(source) is VmState.ABSENT)  # noqa: B023 - asked at once
        until(lambda: hosts.state(target) is VmState.UP)  # noqa: B023 - asked at once
        source, target = target, source
    until(lambda: hosts.page() == 500)
    assert outcomes(hosts, 1) == outcomes(hosts, 2) == [Outcome.MIGRATION_DONE] * 15
    until(lambda: len(hosts.processes()) == 1)
    until(hosts.has_no_dying_children)
    until(lambda: psutil.Process().num_fds() <= descriptors)
    assert psutil.Process().num_threads() <= threads
    assert psutil.Process(hosts.record(source).pid).num_fds() < 20
    assert hosts.words == ["start", *["leave", "resume"] * 30]
    # The process that left may take a moment to go, and is nobody's child here.
    left = hosts.settings[target].run_dir / "vm.json"
    until(lambda: hosts.state(target) is VmState.ABSENT and not left.exists())
    assert {path.name for path in hosts.settings[target].run_dir.iterdir()} <= {
        *("host.json", "vm.lock", "vm.log", "vm.orders", "vm.report"),
        *("faults.json", "faults.lock"),
    }


def test_a_vm_that_does_not_take_the_order_has_failed_to_leave(hosts: EmbeddedHosts) -> None:
    hosts.start(1)
    orders = hosts.settings[1].run_dir / "vm.orders"
    orders.unlink()
    os.mkfifo(orders)
    somebody = os.open(orders, os.O_RDONLY | os.O_NONBLOCK)
    try:
        hosts.hypervisor(1).migrate(Peer(2))
        assert hosts.state(1) is VmState.LEAVING
        until(lambda: hosts.state(1) is VmState.UP)
    finally:
        os.close(somebody)
    assert [result.outcome for result in hosts.told[1]] == [Outcome.MIGRATION_FAILED]


# The witness.


def test_the_witness_proves_a_double(tmp_path: Path) -> None:
    path = tmp_path / "witness"
    with closing(Witness(path, 1)) as first, closing(Witness(path, 2)) as second:
        first.executes("start")
        second.executes("start")
        first.rests("stop")
    assert [(line.host_id, line.word) for line in read_log(path)] == [
        (1, "start"),
        (2, DOUBLE),
        (2, "start"),
        (1, "stop"),
    ]


def test_the_witness_lets_one_follow_the_other(tmp_path: Path) -> None:
    path = tmp_path / "witness"
    with closing(Witness(path, 1)) as first, closing(Witness(path, 2)) as second:
        first.executes("start")
        first.rests("leave")
        second.executes("resume")
        first.rests("leave")
    assert [line.word for line in read_log(path)] == ["start", "leave", "resume"]
    assert read_log(tmp_path / "none") == ()


def _catches(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False
