"""The whiteboard's file: what is written is there, past the cache; every failure is a sentence."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from he_fsm.errors import StorageError
from he_fsm.metadata import SLOT_BYTES, WHITEBOARD_BYTES, decode_global, encode_global
from he_fsm.runtime.storage import whiteboard_io
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile, create

HOSTS = 8


def block(text: str) -> bytes:
    return text.encode().ljust(SLOT_BYTES, b"\0")


def slot_of(data: bytes, slot: int) -> bytes:
    return data[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run one of the system's commands, as far as it is there."""
    try:
        return subprocess.run(words, capture_output=True, check=False, text=True)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(words, 127, "", str(error))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "whiteboard"
    create(path, HOSTS)
    return path


@contextmanager
def mounted(folder: Path, kind: str, options: str = "rw") -> Iterator[Path]:
    """Mount a file system of its own; the test is skipped where that is not possible."""
    folder.mkdir()
    done = run("mount", "-t", kind, "-o", options, kind, str(folder))
    if done.returncode:
        pytest.skip(f"no {kind} can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        run("umount", "--lazy", str(folder)).check_returncode()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# What is made, written and read.


def test_a_new_whiteboard_is_empty_and_says_no_maintenance(path: Path) -> None:
    data = WhiteboardFile(path).read()
    assert data == encode_global(False)
    assert path.stat().st_size == SLOT_BYTES * (HOSTS + 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert list(path.parent.iterdir()) == [path]


def test_making_replaces_nothing(path: Path) -> None:
    WhiteboardFile(path).write_slot(1, block("one"))
    with pytest.raises(StorageError, match="whiteboard can't be made: File exists"):
        create(path, HOSTS)
    assert slot_of(WhiteboardFile(path).read(), 1) == block("one")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("hosts", [0, -1, 2001])
def test_a_whiteboard_is_for_1_to_2000_hosts(tmp_path: Path, hosts: int) -> None:
    with pytest.raises(ValueError, match="1 to 2000"):
        create(tmp_path / "whiteboard", hosts)


def test_slots_are_read_as_they_were_written(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = WhiteboardFile(path)
    for slot in (1, HOSTS, 3):
        file.write_slot(slot, bytes([slot]) * SLOT_BYTES)
    data = WhiteboardFile(path).read()
    assert len(data) == SLOT_BYTES * (HOSTS + 1)
    assert [slot_of(data, slot)[:1] for slot in (1, 2, 3, HOSTS)] == [b"\1", b"\0", b"\3", b"\x08"]
    assert path.read_bytes() == data
    assert caplog.records == []


def test_a_shorter_text_leaves_nothing_of_a_longer_one(path: Path) -> None:
    file = WhiteboardFile(path)
    file.write_slot(2, b"x" * SLOT_BYTES)
    file.write_slot(2, block("y"))
    assert slot_of(file.read(), 2) == block("y")


def test_the_last_slot_of_a_whole_whiteboard_is_read_and_nothing_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "whiteboard"
    path.write_bytes(b"")
    os.truncate(path, WHITEBOARD_BYTES + SLOT_BYTES)
    file = WhiteboardFile(path)
    file.write_slot(2000, block("last"))
    with path.open("r+b") as whole:
        whole.seek(WHITEBOARD_BYTES)
        whole.write(b"noise")
    data = file.read()
    assert len(data) == WHITEBOARD_BYTES
    assert slot_of(data, 2000) == block("last")


def test_everything_is_moved_by_the_offset(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"#" * 4 * SLOT_BYTES)
    file = WhiteboardFile(path, 2 * SLOT_BYTES)
    file.write_slot(1, block("one"))
    file.write_global(True)
    assert file.read() == encode_global(True) + block("one")
    assert path.read_bytes()[: 2 * SLOT_BYTES] == b"#" * 2 * SLOT_BYTES


@pytest.mark.parametrize("offset", [-4096, 512, 1])
def test_an_offset_is_a_multiple_of_4096(tmp_path: Path, offset: int) -> None:
    with pytest.raises(ValueError, match="multiple of 4096"):
        WhiteboardFile(tmp_path / "whiteboard", offset)


@pytest.mark.parametrize("slot", [-1, 2001])
def test_only_slots_that_exist_are_written(path: Path, slot: int) -> None:
    with pytest.raises(ValueError, match="0 to 2000"):
        WhiteboardFile(path).write_slot(slot, bytes(SLOT_BYTES))


@pytest.mark.parametrize("size", [0, 512, 4095, 4097])
def test_only_whole_slots_are_written(path: Path, size: int) -> None:
    with pytest.raises(ValueError, match="4096 bytes"):
        WhiteboardFile(path).write_slot(1, bytes(size))


# Where O_DIRECT is not to be had.


def refuse_direct_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make a system call fail as it does on file systems without O_DIRECT."""
    really = getattr(os, name)

    def call(first: Any, *rest: Any) -> Any:
        flags = rest[0] if name == "open" else fcntl.fcntl(first, fcntl.F_GETFL)
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return really(first, *rest)

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("name", ["open", "preadv", "pwrite"])
def test_without_o_direct_slots_go_through_the_cache_and_the_log_says_so_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    refuse_direct_at(monkeypatch, name)
    synced: list[int] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    file = WhiteboardFile(path)
    with caplog.at_level(logging.WARNING):
        for turn in "abc":
            file.write_slot(1, block(turn))
            assert slot_of(file.read(), 1) == block(turn)
        file.write_global(True)
    assert decode_global(file.read()).maintenance is True
    said = (
        f"{path}: its file system does not know O_DIRECT; what is written goes through the "
        "cache, with fsync, and the file is opened anew each time"
    )
    assert [record.getMessage() for record in caplog.records] == [said]
    # The first write may have been a direct one still.
    assert len(synced) >= 3


def test_a_file_system_without_o_direct_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with mounted(tmp_path / "ram", "ramfs") as folder:
        create(folder / "whiteboard", HOSTS)
        file = WhiteboardFile(folder / "whiteboard")
        file.write_slot(1, block("one"))
        assert slot_of(file.read(), 1) == block("one")
        assert not file.is_direct
    assert len(caplog.records) == 1


def test_a_device_with_sectors_of_4096_bytes_is_served(tmp_path: Path) -> None:
    backing = tmp_path / "disk"
    backing.write_bytes(bytes(SLOT_BYTES * 300))
    done = run(
        *("losetup", "--show", "-f", "--sector-size", "4096", "--direct-io=on", str(backing))
    )
    if done.returncode:
        pytest.skip(f"no loop device can be had: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        file = WhiteboardFile(device, SLOT_BYTES * 10)
        file.write_slot(250, block("far"))
        file.write_global(False)
        data = file.read()
        assert file.is_direct
        with pytest.raises(StorageError, match="No space left"):
            file.write_slot(300, block("behind the end"))
    finally:
        run("losetup", "-d", device).check_returncode()
    assert (slot_of(data, 0), slot_of(data, 250)) == (encode_global(False), block("far"))
    assert slot_of(backing.read_bytes()[SLOT_BYTES * 10 :], 250) == block("far")


# Damage and refusals.


@pytest.mark.parametrize("size", [0, 1, 511, 4096, 5000, 10_000])
def test_a_truncated_whiteboard_is_read_up_to_its_end(path: Path, size: int) -> None:
    path.write_bytes(b"#" * SLOT_BYTES * 3)
    os.truncate(path, size)
    assert WhiteboardFile(path).read() == b"#" * size


def test_a_truncated_whiteboard_grows_again_with_the_next_record(path: Path) -> None:
    os.truncate(path, 100)
    file = WhiteboardFile(path)
    file.write_slot(3, block("three"))
    assert slot_of(file.read(), 3) == block("three")


def test_an_offset_behind_the_end_reads_as_empty(path: Path) -> None:
    assert WhiteboardFile(path, SLOT_BYTES * 100).read() == b""


def test_noise_is_given_as_it_is(path: Path) -> None:
    noise = os.urandom(SLOT_BYTES * HOSTS)
    path.write_bytes(noise)
    assert WhiteboardFile(path).read() == noise.rstrip(b"\0").ljust(len(noise), b"\0")


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    file = WhiteboardFile(tmp_path / "none")
    with pytest.raises(StorageError, match="none can't be read: No such file or directory"):
        file.read()
    with pytest.raises(StorageError, match="none can't be written: No such file"):
        file.write_slot(1, bytes(SLOT_BYTES))
    with pytest.raises(StorageError, match="none can't be written: No such file"):
        file.write_global(True)
    assert list(tmp_path.iterdir()) == []


def test_a_replaced_file_is_seen_at_once(path: Path) -> None:
    file = WhiteboardFile(path)
    file.write_slot(1, block("old"))
    path.unlink()
    create(path, HOSTS)
    assert slot_of(file.read(), 1) == b""
    file.write_slot(1, block("new"))
    assert slot_of(path.read_bytes(), 1) == block("new")


@pytest.mark.parametrize("what", ["/dev/null", "/dev/zero"])
def test_only_files_and_block_devices_are_whiteboards(what: str) -> None:
    with pytest.raises(StorageError, match=f"{what} is neither a file nor a block device"):
        WhiteboardFile(what).read()


def test_a_folder_is_no_whiteboard(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="neither a file nor a block"):
        WhiteboardFile(tmp_path).read()


def test_a_read_only_whiteboard_is_read_and_not_written(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "tmpfs", "size=1m") as folder:
        path = folder / "whiteboard"
        create(path, HOSTS)
        WhiteboardFile(path).write_slot(1, block("one"))
        run("mount", "-o", "remount,ro", str(folder)).check_returncode()
        file = WhiteboardFile(path)
        assert slot_of(file.read(), 1) == block("one")
        with pytest.raises(StorageError, match="can't be written: Read-only file system"):
            file.write_slot(1, block("two"))
        with pytest.raises(StorageError, match="can't be written: Read-only file system"):
            file.write_global(True)
        assert slot_of(file.read(), 1) == block("one")


def test_a_full_disk_is_said_and_costs_no_slot(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "tmpfs", "size=64k") as folder:
        path = folder / "whiteboard"
        path.touch()
        os.truncate(path, SLOT_BYTES * 9)
        file = WhiteboardFile(path)
        file.write_slot(1, block("one"))
        with pytest.raises(OSError, match="No space left"):
            (folder / "filler").write_bytes(bytes(1 << 20))
        with pytest.raises(StorageError, match="can't be written: No space left on device"):
            file.write_slot(5, block("five"))
        # A slot that has its place can still be written.
        file.write_slot(1, block("two"))
        assert file.read() == bytes(SLOT_BYTES) + block("two")
        with pytest.raises(StorageError, match="can't be made: No space left on device"):
            create(folder / "another", HOSTS)
        assert sorted(each.name for each in folder.iterdir()) == ["filler", "whiteboard"]


def test_a_slot_that_fits_only_in_part_is_an_error(path: Path) -> None:
    file = WhiteboardFile(path)
    file.is_direct = False
    os.truncate(path, SLOT_BYTES)
    with file_size_limit(SLOT_BYTES * 3 + 1024), pytest.raises(StorageError, match="only 1024 of"):
        file.write_slot(3, b"x" * SLOT_BYTES)


# Slot 0 and its writers.


def test_the_flag_is_set_and_ended(path: Path) -> None:
    file = WhiteboardFile(path)
    for flag in (True, False, True):
        file.write_global(flag)
        assert slot_of(file.read(), 0) == encode_global(flag)


DAMAGED = {
    "zeros": bytes(SLOT_BYTES),
    "garbage": block("what is this?"),
    "a flag that is none": block("maintenance=perhaps"),
    "contradicting flags": block("maintenance=1\nmaintenance=0"),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
@pytest.mark.parametrize("flag", [True, False])
def test_a_slot_0_that_can_not_be_believed_is_mended(
    path: Path, content: bytes, flag: bool
) -> None:
    file = WhiteboardFile(path)
    file.write_slot(0, content)
    assert file.mend_global(flag)
    assert slot_of(file.read(), 0) == encode_global(flag)


def test_a_slot_0_that_somebody_has_mended_is_left_alone(path: Path) -> None:
    file = WhiteboardFile(path)
    file.write_slot(0, block("maintenance=1\nowner=me"))
    assert not file.mend_global(False)
    assert slot_of(file.read(), 0) == block("maintenance=1\nowner=me")


def test_who_mends_slot_0_waits_for_another_writer_and_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whiteboard_io, "GUARD_WAIT_S", 0.05)
    file, other = WhiteboardFile(path), WhiteboardFile(path)
    file.write_slot(0, block("what is this?"))
    with other.opened(os.O_RDWR, "written") as descriptor:
        other._guard(descriptor)
        with pytest.raises(StorageError, match="somebody else is writing slot 0"):
            file.mend_global(True)
    assert slot_of(file.read(), 0) == block("what is this?")


def test_a_writer_waits_for_another_one_and_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whiteboard_io, "GUARD_WAIT_S", 0.05)
    file, other = WhiteboardFile(path), WhiteboardFile(path)
    with other.opened(os.O_RDWR, "written") as descriptor:
        other._guard(descriptor)
        with pytest.raises(StorageError, match="somebody else is writing slot 0"):
            file.write_global(True)
        # No host's slot waits for it.
        file.write_slot(1, block("one"))
    file.write_global(True)
    assert decode_global(file.read()).maintenance is True


@pytest.mark.parametrize("write", [WhiteboardFile.write_global, WhiteboardFile.mend_global])
def test_who_is_written_over_by_another_machine_is_told(
    path: Path,
    write: Callable[[WhiteboardFile, bool], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = WhiteboardFile(path)
    file.write_slot(0, bytes(4096))
    other = block("maintenance=1\nowner=me")
    # Another machine's write arrives in the moment in which ours is waited for.
    monkeypatch.setattr(time, "sleep", lambda _: WhiteboardFile(path).write_slot(0, other))
    with pytest.raises(StorageError, match="written by somebody else just now; look again"):
        write(file, False)
    assert slot_of(file.read(), 0) == other


WRITER = """
import sys
from he_fsm.errors import StorageError
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile
file = WhiteboardFile(sys.argv[1])
for turn in range(40):
    try:
        file.write_global(turn % 2 == 0)
        file.write_slot(int(sys.argv[2]), bytes([int(sys.argv[2])]) * 4096)
    except StorageError as error:
        print(error)
"""


def test_many_processes_write_and_no_slot_is_ever_torn(path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(host_id)], stdout=subprocess.PIPE
        )
        for host_id in (1, 2, 3)
    ]
    file = WhiteboardFile(path)
    while any(writer.poll() is None for writer in writers):
        data = file.read()
        assert slot_of(data, 0) in {encode_global(True), encode_global(False)}
        for host_id in (1, 2, 3):
            assert slot_of(data, host_id) in {
                *(b"", bytes(SLOT_BYTES), bytes([host_id]) * SLOT_BYTES)
            }
    for writer in writers:
        said = writer.communicate()[0].decode().splitlines()
        assert writer.returncode == 0
        assert all("somebody else" in line for line in said)
    assert len(file.read()) == 4 * SLOT_BYTES
