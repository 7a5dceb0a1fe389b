"""A VM does not outlive the sanlock daemon behind its lease, where somebody guards it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord, started_ticks
from tests.runtime.lease_contract import begin, joins, said
from tests.runtime.sanlock_lab import (
    IO_TIMEOUT,
    NEEDS_SANLOCK,
    WATCHDOG,
    Host,
    SanlockLab,
    since,
)
from tests.runtime.waiting import until

pytestmark = NEEDS_SANLOCK

# In a process of its own, as each has one daemon for ever; it ends when it is told to.
GUARD = """
import sys
from pathlib import Path
from he_fsm.runtime.hypervisors.vm_file import VmFile
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock_guard import LeaseGuard
from he_fsm.runtime.leases.sanlock_settings import SanlockSettings
rules = Rules(io_timeout_s=float(sys.argv[3]), watchdog_s=float(sys.argv[4]))
guard = LeaseGuard(SanlockSettings.from_text(sys.argv[1]), VmFile(Path(sys.argv[2])), rules)
sys.stdin.readline()
guard.close()
"""
TIMES = (str(SanlockLab.io_timeout_s), str(SanlockLab.watchdog_s))
NO_WATCHDOG = "no watchdog stands behind sanlock"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SanlockLab]:
    lab = SanlockLab(tmp_path)
    yield lab
    lab.close()


@pytest.fixture
def host(lab: SanlockLab) -> Host:
    host = lab.add(1, "host1")
    until(lambda: joins(host.client))
    return host


@pytest.fixture
def vm(lab: SanlockLab, host: Host) -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that has the lease."""
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
def guarded(host: Host, path: Path) -> Iterator[Path]:
    """Let somebody guard the VM; give where his words are."""
    log = path.with_name("guard.log")
    with log.open("wb") as file:
        guard = subprocess.Popen(
            [sys.executable, "-c", GUARD, host.settings.to_text(), str(path), *TIMES],
            stdin=subprocess.PIPE,
            stderr=file,
        )
    try:
        yield log
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
