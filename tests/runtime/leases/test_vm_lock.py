"""Whether a VM runs here: by a locked file, or by another daemon's pid file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.vm_lock import VmLock, is_hidden
from he_fsm.testing.waiting import until

WAITS = "import sys; sys.stdin.read()"


def lock(folder: Path) -> VmLock:
    return VmLock.named(str(folder / "engine.lock"), str(folder / "HostedEngine.pid"))


def test_without_a_pid_file_the_lock_alone_tells(tmp_path: Path) -> None:
    assert lock(tmp_path).is_free()
    descriptor = lock(tmp_path).take()
    assert descriptor is not None
    assert not lock(tmp_path).is_free()
    os.close(descriptor)
    assert lock(tmp_path).is_free()
    assert VmLock.named("/x", "").pid_file is None


def test_a_process_that_the_pid_file_names_is_a_vm(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WAITS, "-name", "guest=HostedEngine,debug-threads=on"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as vm:
        (tmp_path / "HostedEngine.pid").write_text(str(vm.pid))
        # The kernel shows the words of a process a moment after it has begun.
        until(lambda: not lock(tmp_path).is_free())
        vm.kill()
    assert lock(tmp_path).is_free()


def test_another_process_of_an_old_number_is_none(tmp_path: Path) -> None:
    (tmp_path / "HostedEngine.pid").write_text(str(os.getpid()))
    assert lock(tmp_path).is_free()


def test_a_damaged_pid_file_is_said_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "HostedEngine.pid").write_text("no number")
    with pytest.raises(LockspaceError, match="nobody knows"):
        lock(tmp_path).is_free()


def test_a_process_that_is_seen_is_not_hidden() -> None:
    assert not is_hidden(os.getpid())
