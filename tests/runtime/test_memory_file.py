"""What survives a restart of the agent: the file, whatever befalls it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.errors import HeFsmError
from he_fsm.memory import FailedStarts, Memory, Moves, VmWatch
from he_fsm.runtime import memory_file
from he_fsm.runtime.memory_file import MemoryFile, write_json

KNOWN = Memory(
    failed=FailedStarts(count=2, last_at=900.0),
    vm=VmWatch(since=950.0, started_here=True, was_good=True, bad_since=990.5),
    moves=Moves(target=3, failures=1, failed_at=800.0, moves=2, moved_at=700.0),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.json"


def boot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the machine have booted since."""
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("another\n", encoding="ascii")
    monkeypatch.setattr(memory_file, "_BOOT_ID", boot_id)


def test_a_restarted_agent_knows_what_has_to_survive(path: Path) -> None:
    MemoryFile(path).save(KNOWN, 1000.0)
    assert MemoryFile(path).load(1010.0) == KNOWN.after_restart(1010.0)


def test_the_time_that_a_host_was_off_does_not_count(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    MemoryFile(path).save(KNOWN, 1000.0)
    boot(monkeypatch, tmp_path)
    found = MemoryFile(path).load(50.0)
    assert found == KNOWN.after_boot(50.0, 1000.0)
    assert found.failed == FailedStarts(count=2, last_at=-50.0)
    assert found.vm is None


def test_where_boots_have_no_name_all_are_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory_file, "_BOOT_ID", tmp_path / "missing")
    MemoryFile(path).save(KNOWN, 1000.0)
    assert MemoryFile(path).load(1010.0).vm == KNOWN.vm


def test_no_file_is_no_news(path: Path) -> None:
    assert MemoryFile(path).load(7.0) == Memory.beginning(7.0)


def test_it_is_written_when_it_has_changed_and_only_then(path: Path) -> None:
    file = MemoryFile(path)
    file.save(KNOWN, 1000.0)
    path.unlink()
    file.save(attrs.evolve(KNOWN, since=5.0), 1001.0)
    assert not path.exists()
    file.save(attrs.evolve(KNOWN, failed=FailedStarts()), 1002.0)
    assert json.loads(path.read_bytes())["failed"]["count"] == 0


def test_others_do_not_read_it(path: Path) -> None:
    MemoryFile(path).save(KNOWN, 1000.0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"null",
        b"[1, 2]",
        b"{}",
        b'{"boot_id": "x", "saved_at": NaN, "failed": {}, "vm": null, "moves": {}}',
        b'{"boot_id": "x", "saved_at": 1, "failed": {"count": "two"}, "vm": null, "moves": {}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_said_in_one_sentence(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(HeFsmError, match=r"memory\.json is damaged") as caught:
        MemoryFile(path).load(1.0)
    assert "\n" not in str(caught.value)


@given(content=st.binary(max_size=200))
def test_no_bytes_crash_it(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.json"
    path.write_bytes(content)
    with pytest.raises(HeFsmError):
        MemoryFile(path).load(1.0)


def test_a_folder_in_its_place_is_said(path: Path) -> None:
    path.mkdir()
    with pytest.raises(HeFsmError, match="can't read"):
        MemoryFile(path).load(1.0)
    with pytest.raises(HeFsmError, match="can't write"):
        MemoryFile(path).save(KNOWN, 1.0)
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(HeFsmError, match=r"can't write .*: No such file or directory"):
        MemoryFile(tmp_path / "missing" / "memory.json").save(KNOWN, 1.0)


def test_a_full_disk_leaves_the_old_content(path: Path) -> None:
    """No file may grow beyond 16 bytes in a process of its own: what a full disk looks like."""
    write_json(path, {"old": 1})
    code = f"""
import resource
from pathlib import Path
from he_fsm.errors import HeFsmError
from he_fsm.runtime.memory_file import write_json
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
try:
    write_json(Path({str(path)!r}), {{"new": "x" * 10_000}})
except HeFsmError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == f"can't write {path}: File too large\n"
    assert json.loads(path.read_bytes()) == {"old": 1}
    assert list(path.parent.iterdir()) == [path]
