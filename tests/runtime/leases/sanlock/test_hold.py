"""What real sanlock answers to a process that takes the engine's lease and becomes the VM."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
from he_fsm.runtime.leases.vm_lock import VmLock
from he_fsm.snapshot import OwnerState
from he_fsm.testing.leases import VM, Vm, begin, joins, said
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.sanlock_lab import NEEDS_SANLOCK, Host, SanlockLab

pytestmark = NEEDS_SANLOCK

# How late a waiting host may be: the daemon counts whole seconds, and this machine may be busy.
LATE_S = 1.0


class Play:
    """A lab, and the processes that were told to take its lease."""

    def __init__(self, folder: Path) -> None:
        self.lab = SanlockLab(folder)
        self.processes: list[subprocess.Popen[bytes]] = []

    def joined(self, *host_ids: int) -> list[Host]:
        hosts = [self.lab.add(host_id, f"host{host_id}") for host_id in host_ids]
        for host in hosts:
            until(lambda host=host: joins(host.client))
        return hosts

    def begin(self, holder: SanlockHolder, command: tuple[str, ...] = VM) -> Waiter:
        process, reading = begin(holder, command)
        self.processes.append(process)
        return Waiter(process, reading)

    def start(self, host_id: int, command: tuple[str, ...] = VM) -> Vm:
        return self.begin(self.lab.holder(host_id), command).said()

    def dead_owner(self) -> float:
        """Kill host 1, which has the lease; return when its lease expires, once others know."""
        self.start(1)
        self.lab.at(1).daemon.kill()
        self.processes[-1].kill()
        second = self.lab.at(2).client
        until(lambda: second.status().view.owner_state is OwnerState.FAILING)
        free_at = second.status().view.free_at
        assert free_at is not None
        return free_at

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.lab.close()


@attrs.frozen
class Waiter:
    """A process that takes the lease, and has not yet said how that went."""

    process: subprocess.Popen[bytes]
    reading: int

    @property
    def is_silent(self) -> bool:
        return not select.select([self.reading], [], [], 0)[0]

    def said(self) -> Vm:
        return said(self.process, self.reading)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    play = Play(tmp_path)
    yield play
    play.close()


def test_whoever_waits_for_a_failing_owner_wins_at_the_moment_it_is_dead(play: Play) -> None:
    play.joined(1, 2)
    free_at = play.dead_owner()
    waiter = play.begin(play.lab.holder(2))
    while time.monotonic() < free_at:
        is_silent = waiter.is_silent
        assert is_silent or time.monotonic() >= free_at
        time.sleep(0.01)
    vm = waiter.said()
    assert vm.report == {"lease": "taken"}
    assert time.monotonic() - free_at < LATE_S
    assert play.lab.at(2).client.status().view.owner == 2


def test_of_two_that_wait_one_wins_and_the_other_is_told_who_did(play: Play) -> None:
    play.joined(1, 2, 3)
    play.dead_owner()
    waiters = {host_id: play.begin(play.lab.holder(host_id)) for host_id in (2, 3)}
    reports = {host_id: waiter.said().report for host_id, waiter in waiters.items()}
    winners = [host_id for host_id, report in reports.items() if report["lease"] == "taken"]
    assert len(winners) == 1
    loser = 5 - winners[0]
    assert reports[loser] == {"lease": "held", "owner": winners[0], "free_in": None}


def test_an_owner_that_comes_back_keeps_its_lease(play: Play) -> None:
    first, second = play.joined(1, 2)
    play.start(1)
    seen = second.client.status().renewed_at
    until(lambda: second.client.status().renewed_at != seen)
    first.daemon.stop()
    # Its next renewal does not come, and it is far from dead.
    stopped_at = time.monotonic()
    until(lambda: time.monotonic() > stopped_at + 2.5 * play.lab.io_timeout_s)
    waiter = play.begin(play.lab.holder(2))
    until(lambda: time.monotonic() > stopped_at + 4 * play.lab.io_timeout_s)
    first.daemon.go_on()
    assert waiter.said().report == {"lease": "held", "owner": 1, "free_in": None}


def test_a_waiter_that_is_given_up_leaves_the_lease_to_others(play: Play) -> None:
    play.joined(1, 2, 3)
    play.dead_owner()
    waiter = play.begin(play.lab.holder(2))
    log = play.lab.at(2).daemon.run_dir / "log"
    until(lambda: "paxos_acquire" in log.read_text())
    assert waiter.is_silent
    waiter.process.kill()
    os.close(waiter.reading)

    def is_taken() -> bool:
        return bool(play.start(3).report["lease"] == "taken")

    until(is_taken)


def test_the_vm_has_the_lease_and_the_lock_and_nothing_of_the_report(play: Play) -> None:
    (host,) = play.joined(1)
    script = (
        "import os; d = os.environ['HE_FSM_LEASE_FD'];"
        "print(os.readlink(f'/proc/self/fd/{d}'), sorted(os.listdir('/proc/self/fd')), flush=True);"
        "input()"
    )
    reading, writing = os.pipe()
    process = subprocess.Popen(
        play.lab.holder(1).wrap([sys.executable, "-c", script], writing),
        pass_fds=[writing],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    play.processes.append(process)
    os.close(writing)
    with os.fdopen(reading) as report:
        # The end of the report is the beginning of the VM.
        assert json.loads(report.read()) == {"lease": "taken"}
    assert process.stdout is not None
    path, numbers = process.stdout.readline().decode().split(" ", 1)
    assert path.startswith("socket:")
    # Standard input, output, errors, the lease, the lock, and the listing itself.
    assert len(numbers.split()) == 6
    lock = VmLock(Path(host.settings.vm_lock))
    assert not lock.is_free()
    process.communicate(b"\n")
    assert lock.is_free()
    until(lambda: host.client.status().view.owner is None)


def test_the_lease_lives_as_long_as_any_process_of_the_vm(play: Play) -> None:
    first, _ = play.joined(1, 2)
    command = ("sh", "-c", "sleep 600 & echo $!; exec sleep 600")
    reading, writing = os.pipe()
    process = subprocess.Popen(
        play.lab.holder(1).wrap(command, writing), pass_fds=[writing], stdout=subprocess.PIPE
    )
    play.processes.append(process)
    os.close(writing)
    with os.fdopen(reading) as report:
        assert json.loads(report.read()) == {"lease": "taken"}
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    assert play.start(2).report["lease"] == "held"
    assert not VmLock(Path(first.settings.vm_lock)).is_free()
    os.kill(child, 9)
    until(lambda: play.start(2).report["lease"] == "taken")


def test_where_a_vm_runs_no_other_is_started_even_with_another_lockspace(play: Play) -> None:
    (host,) = play.joined(1)
    assert play.start(1).report == {"lease": "taken"}
    # The lease is not asked for: the lock alone says so.
    elsewhere = attrs.evolve(host.settings, lockspace="other")
    refused = play.begin(SanlockHolder(settings=elsewhere, host_id=1)).said()
    assert refused.report == {"lease": "held", "owner": 1, "free_in": None}
    assert refused.process.wait() == 3


def test_a_lease_of_this_host_without_its_lock_is_held_all_the_same(play: Play) -> None:
    (host,) = play.joined(1)
    assert play.start(1).report == {"lease": "taken"}
    moved = attrs.evolve(host.settings, vm_lock=f"{host.settings.vm_lock}-moved")
    refused = play.begin(SanlockHolder(settings=moved, host_id=1)).said()
    assert refused.report == {"lease": "held", "owner": 1, "free_in": None}


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"resource_path": "/none/such"}, r"there is no such file or device \(2\)"),
        ({"resource_offset": 0}, r"it was never set up \(-223\)"),
        ({"resource_offset": 1 << 30}, r"too small \(90\)"),
        ({"resource": "another"}, r"the lease of another .* \(-227\)"),
        ({"lockspace": "another"}, "host 1 has not joined the lockspace another"),
        ({"run_dir": "/none/such"}, r"daemon does not run; start the service sanlock \(2\)"),
        ({"vm_lock": "/none/such"}, "/none/such: No such file"),
    ],
)
def test_what_can_not_be_had_is_said_and_nothing_runs(
    play: Play, changes: dict[str, Any], detail: str
) -> None:
    (host,) = play.joined(1)
    settings = attrs.evolve(host.settings, **changes)
    proof = play.lab.folder / "it ran"
    vm = play.begin(SanlockHolder(settings=settings, host_id=1), ("touch", str(proof))).said()
    assert vm.process.wait() == 4
    assert vm.report["lease"] == "error"
    assert re.search(detail, vm.report["detail"]), vm.report
    assert not proof.exists()


def test_a_daemon_that_has_ended_gives_no_lease(play: Play) -> None:
    (host,) = play.joined(1)
    host.daemon.process.kill()
    host.daemon.process.wait()
    # Its socket is still there, and nobody listens.
    vm = play.start(1)
    assert vm.process.wait() == 4
    assert "daemon does not run; start the service sanlock (111)" in vm.report["detail"]


def test_a_command_that_is_not_there_never_takes_the_lease(play: Play) -> None:
    (host,) = play.joined(1)
    vm = play.start(1, ("/none/such",))
    assert vm.report == {"lease": "error", "detail": "there is no command /none/such"}
    assert vm.process.wait() == 4
    assert host.client.status().view.owner is None


def test_a_command_that_can_not_run_lets_the_lease_go(play: Play, tmp_path: Path) -> None:
    (host,) = play.joined(1)
    program = tmp_path / "program"
    program.write_bytes(b"\0no program")
    program.chmod(0o755)
    waiter = play.begin(play.lab.holder(1), (str(program),))
    with os.fdopen(waiter.reading, "rb") as report:
        lines = [json.loads(line) for line in report]
    assert lines[0] == {"lease": "taken"}
    assert "can't be run: Exec format error" in lines[1]["detail"]
    assert waiter.process.wait() == 4
    until(lambda: host.client.status().view.owner is None)
