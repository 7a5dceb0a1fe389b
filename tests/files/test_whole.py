"""A file is replaced as a whole, or is as it was."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from he_fsm.files.whole import replacing, write_whole


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_two_that_write_the_same_file_at_once_both_end_with_a_whole_one(path: Path) -> None:
    with replacing(path) as first, replacing(path) as second:
        first.write_text("whole")
        second.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_whose_writing_failed_is_not_there(path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(path) as fresh:
        shutil.copyfile(path.parent / "nothing", fresh)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("is_durable", [True, False])
def test_a_mode_is_so_whatever_the_umask(path: Path, is_durable: bool) -> None:
    path.write_bytes(b"old")
    before = os.umask(0o077)
    try:
        write_whole(path, b"new", mode=0o640, is_durable=is_durable)
    finally:
        os.umask(before)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)
    assert list(path.parent.iterdir()) == [path]


def test_content_and_folder_are_on_disk_when_it_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), path.exists()))
        sync(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    write_whole(path, b"new")
    (new, was_there), folder = synced
    assert new.name.startswith(".file.")
    assert not was_there
    assert folder == (path.parent, True)
    write_whole(path, b"newer", is_durable=False)
    assert len(synced) == 2


@pytest.mark.parametrize(("number", "is_error"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_disk_that_can_not_sync_is_no_error_and_one_that_fails_is(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_error: bool
) -> None:
    path.write_bytes(b"old")

    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", fsync)
    if is_error:
        with pytest.raises(OSError, match="Input/output error"):
            write_whole(path, b"new")
    else:
        write_whole(path, b"new")
    assert path.read_bytes() == (b"old" if is_error else b"new")
    assert list(path.parent.iterdir()) == [path]
