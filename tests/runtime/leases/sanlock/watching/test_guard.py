"""A VM does not outlive the sanlock daemon behind its lease, where somebody guards it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import psutil
import pytest

from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord, started_ticks
from he_fsm.testing.leases import begin, joins, said
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.odd_program import counting, odd_sanlock
from tests.runtime.leases.sanlock.sanlock_lab import (
    IO_TIMEOUT,
    LOOP_S,
    NEEDS_SANLOCK,
    WATCHDOG,
    Host,
    SanlockLab,
    since,
)

pytestmark = NEEDS_SANLOCK

# In a process of its own, as each has one daemon for ever; it ends when it is told to.
GUARD = """
import select, sys
from pathlib import Path
from he_fsm.runtime.hypervisors.vm_access import RecordedVm
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.watching.guard import LeaseGuard
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
rules = Rules(io_timeout_s=float(sys.argv[3]), watchdog_s=float(sys.argv[4]))
vm = RecordedVm(Path(sys.argv[2]).parent, 'vm')
guard = LeaseGuard(SanlockSettings.from_text(sys.argv[1]), 1, vm, rules)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    guard.check()
guard.close()
"""
TIMES = (str(SanlockLab.io_timeout_s), str(SanlockLab.watchdog_s))
NO_WATCHDOG = "no watchdog stands behind sanlock"


@pytest.fixture
def vm(lab: SanlockLab, host: Host) -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that has the lease."""
    begun = said(*begin(lab.holder(1)))
    assert host.client.status().view.owner == 1
    yield begun.process
    begun.kill()


def note(folder: Path, pid: int, phase: Phase) -> Path:
    """Write down which process is the VM."""
    path = folder / "vm.json"
    ticks = started_ticks(pid)
    VmFile(path).write(VmRecord(pid=pid, started_ticks=ticks, phase=phase, port=0, since=0.0))
    return path


@contextmanager
def guarded(
    host: Host,
    path: Path,
    *,
    program: Path | None = None,
    times: tuple[str, str] = TIMES,
    **settings: object,
) -> Iterator[Path]:
    """Start a guard of the VM; return the file with its output. *program*: its own sanlock."""
    with running(host, path, program, times, **settings) as guard:
        yield path.with_name("guard.log")
        assert guard.poll() is None


@contextmanager
def running(
    host: Host,
    path: Path,
    program: Path | None = None,
    times: tuple[str, str] = TIMES,
    **settings: object,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a guard of the VM; return its process."""
    environ = dict(os.environ)
    if program is not None:
        environ["PATH"] = f"{program.parent}:{environ['PATH']}"
    text = attrs.evolve(host.settings, **settings).to_text()
    with path.with_name("guard.log").open("wb") as file:
        guard = subprocess.Popen(
            [sys.executable, "-c", GUARD, text, str(path), *times],
            stdin=subprocess.PIPE,
            stderr=file,
            env=environ,
        )
    try:
        yield guard
        assert guard.stdin is not None
        guard.stdin.write(b"\n")
        guard.stdin.close()
        assert guard.wait(10) == 0
    finally:
        guard.kill()
        guard.wait()


def test_a_vm_is_left_alone_while_its_daemon_runs_and_the_lack_of_a_watchdog_is_said(
    host: Host, vm: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with guarded(host, note(tmp_path, vm.pid, Phase.RUNNING)) as log:
        until(lambda: NO_WATCHDOG in log.read_text())
        host.daemon.stop()
        host.daemon.go_on()
    assert vm.poll() is None
    assert "ended" not in log.read_text()


def test_a_vm_ends_with_its_daemon(host: Host, vm: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with guarded(host, note(tmp_path, vm.pid, Phase.RUNNING)) as log:
        until(lambda: NO_WATCHDOG in log.read_text())
        host.daemon.kill()
        until(lambda: vm.poll() is not None)
    assert "it is ended: the sanlock daemon has ended" in log.read_text()


def test_a_vm_is_ended_in_time_when_its_daemon_hangs(
    host: Host, vm: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with guarded(host, note(tmp_path, vm.pid, Phase.RUNNING)) as log:
        until(lambda: NO_WATCHDOG in log.read_text())
        stopped_at = time.monotonic()
        host.daemon.stop()
        until(lambda: vm.poll() is not None)
        # sanlock's own limit, less two periods of renewal that may have passed before.
        lived = since(stopped_at)
        assert lived > 8 * IO_TIMEOUT + WATCHDOG * 5 / 6 - 2 * IO_TIMEOUT - 1
        assert lived < 8 * IO_TIMEOUT + WATCHDOG - 2 * IO_TIMEOUT
        host.daemon.go_on()
    assert "was not renewed" in log.read_text()


def test_a_vm_that_is_found_without_a_daemon_is_ended(
    host: Host, vm: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    host.daemon.kill()
    with guarded(host, note(tmp_path, vm.pid, Phase.RUNNING)):
        until(lambda: vm.poll() is not None)


def test_a_vm_of_which_the_new_daemon_knows_nothing_is_ended(
    lab: SanlockLab, host: Host, vm: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    host.daemon.kill()
    lab.start(host.daemon.run_dir, "host1")
    with guarded(host, note(tmp_path, vm.pid, Phase.RUNNING)) as log:
        until(lambda: vm.poll() is not None)
    assert "knows nothing of its lease" in log.read_text()


def test_who_still_waits_for_the_lease_is_left_to_find_out_by_himself(
    host: Host, tmp_path: Path
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as waiting:
        host.daemon.kill()
        with guarded(host, note(tmp_path, waiting.pid, Phase.STARTING)) as log:
            until(lambda: "sanlock daemon does not run" in log.read_text())
        assert waiting.poll() is None
        assert "ended" not in log.read_text()
        waiting.kill()


def test_a_vm_whose_daemon_is_well_lives_on_while_it_can_not_be_reached(
    host: Host, vm: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with guarded(host, note(tmp_path, vm.pid, Phase.RUNNING), run_dir=str(elsewhere)) as log:
        until(lambda: "sanlock daemon does not run" in log.read_text())
        began_at = time.monotonic()
        # A daemon that hung would have cost the VM its life by then.
        until(lambda: since(began_at) > 8 * IO_TIMEOUT + WATCHDOG)
    assert vm.poll() is None
    assert "ended" not in log.read_text()


def test_a_guard_that_can_start_no_command_goes_on_when_it_can(
    host: Host, vm: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with running(host, note(tmp_path, vm.pid, Phase.RUNNING)) as guard:
        log = tmp_path / "guard.log"
        until(lambda: NO_WATCHDOG in log.read_text())
        before = resource.prlimit(guard.pid, resource.RLIMIT_NOFILE)
        used = psutil.Process(guard.pid).num_fds()
        resource.prlimit(guard.pid, resource.RLIMIT_NOFILE, (used, before[1]))
        until(lambda: "can't be started" in log.read_text())
        resource.prlimit(guard.pid, resource.RLIMIT_NOFILE, before)
        host.daemon.kill()
        until(lambda: vm.poll() is not None)


def test_an_answer_that_is_not_understood_does_not_end_the_guard(
    host: Host, vm: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    program = odd_sanlock(tmp_path, "echo 'daemon of another kind'; exit 0")
    odd = program.with_name("odd")
    with guarded(host, note(tmp_path, vm.pid, Phase.RUNNING), program=program) as log:
        until(lambda: NO_WATCHDOG in log.read_text())
        odd.touch()
        until(lambda: "is not understood: 'daemon of another kind'" in log.read_text())
        odd.unlink()
        host.daemon.kill()
        until(lambda: vm.poll() is not None)


def test_a_vm_is_ended_whose_guard_stands_still(
    host: Host, vm: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    program = odd_sanlock(tmp_path, "exec sleep 60")
    path = note(tmp_path, vm.pid, Phase.RUNNING)
    with guarded(host, path, program=program, wait_s=60.0) as log:
        until(lambda: NO_WATCHDOG in log.read_text())
        program.with_name("odd").touch()
        until(lambda: vm.poll() is not None)
    assert "its guard has stood still" in log.read_text()


class SlowLab(SanlockLab):
    """Hosts with sanlock's own I/O timeout, which a loop of 10 s is as long as."""

    io_timeout_s = LOOP_S


def test_a_quiet_guard_starts_a_command_less_than_once_a_loop(tmp_path: Path) -> None:
    lab = SlowLab(tmp_path)
    try:
        host = lab.add(1, "host1")
        until(lambda: joins(host.client))
        begun = said(*begin(lab.holder(1)))
        commands = counting(tmp_path)
        with guarded(
            host,
            note(tmp_path, begun.process.pid, Phase.RUNNING),
            program=commands.program,
            times=(str(lab.io_timeout_s), str(lab.watchdog_s)),
        ) as log:
            until(lambda: NO_WATCHDOG in log.read_text())
            # Until it has seen the first renewal.
            until(lambda: commands.rests_for(2 * LOOP_S))
            before, began_at = commands.count(), time.monotonic()
            until(lambda: time.monotonic() - began_at > 12 * LOOP_S)
            assert commands.count() - before < 12
        assert begun.process.poll() is None
        begun.kill()
    finally:
        lab.close()
