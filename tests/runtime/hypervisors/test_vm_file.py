"""The record of a VM's process."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord

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
