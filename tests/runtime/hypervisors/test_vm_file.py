"""The record of a VM's process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs
import psutil

from he_fsm.runtime.hypervisors.vm_file import (
    Phase,
    VmFile,
    VmRecord,
    parent_of,
    process_state,
    started_ticks,
)
from he_fsm.testing.waiting import until

RECORD = VmRecord(pid=1, started_ticks=7, phase=Phase.RUNNING, port=0, since=1.0)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = VmFile(tmp_path / "vm.json")
    file.write(RECORD)
    assert file.read() == RECORD


def test_a_record_that_is_cleared_leaves_nothing_of_a_writer_that_was_killed(
    tmp_path: Path,
) -> None:
    file = VmFile(tmp_path / "vm.json")
    file.write(RECORD)
    (tmp_path / f".vm.json.{os.urandom(4).hex()}.new").write_text("{")
    file.clear(RECORD)
    assert [path.name for path in tmp_path.iterdir()] == ["vm.lock"]


def test_another_record_stays(tmp_path: Path) -> None:
    file = VmFile(tmp_path / "vm.json")
    file.write(attrs.evolve(RECORD, pid=2))
    file.clear(RECORD)
    assert file.read() == attrs.evolve(RECORD, pid=2)


# Its first thread ends; the other one lives for as long as something can be read from.
_FIRST_THREAD_ENDS = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
ctypes.CDLL(None).syscall(EXIT, 0)
"""


def test_a_process_has_ended_only_when_its_last_thread_has() -> None:
    # As with a VM that was killed while one of its threads waits for the storage.
    number = {"x86_64": 60, "aarch64": 93}[os.uname().machine]
    code = _FIRST_THREAD_ENDS.replace("EXIT", str(number))
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    ticks = started_ticks(process.pid)
    try:
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        assert process_state(process.pid, ticks) is not None
        assert parent_of(process.pid) == (os.getpid(), ticks)
    finally:
        process.kill()
        until(lambda: process_state(process.pid, ticks) is None)
        process.communicate()
