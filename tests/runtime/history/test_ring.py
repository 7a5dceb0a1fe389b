"""A ring of files: bounded, and whole whatever befalls it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from he_fsm.errors import HeFsmError
from he_fsm.history.book import Recorded, Writer, read
from he_fsm.runtime.history import ring as ring_module
from he_fsm.runtime.history.ring import Limits, Ring, ring_files, ring_parts
from tests.history.recordings import recorded

SESSION, LOOK = recorded()["2"][0]
FRAME = len(Writer(SESSION).frame(LOOK))


class Book:
    """An agent's way with its ring: open, append look after look, end at any time."""

    def __init__(self, folder: Path, *, bytes_max: int = 2**20, looks_max: int = 10_000) -> None:
        self.ring = Ring(folder, Limits(bytes_max=bytes_max, looks_max=looks_max))
        self.writer = Writer(SESSION, self.ring.open() + 1)

    def write(self, count: int = 1) -> None:
        for _ in range(count):
            number = self.writer.number
            begins = self.ring.needs_key(number)
            if begins:
                self.writer.begin_anew()
            self.ring.append(number, self.writer.frame(LOOK), begins=begins)


def numbers(folder: Path) -> list[int]:
    data = b"".join(data for _, data in ring_parts(folder))
    return [each.number for each in read(data) if isinstance(each, Recorded)]


@given(
    runs=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), min_size=1, max_size=5),
    bytes_max=st.sampled_from((4 * FRAME, 20 * FRAME, 100 * FRAME)),
    looks_max=st.sampled_from((16, 50, 1000)),
)
@settings(max_examples=40)
def test_both_limits_hold_over_restarts_and_only_the_oldest_goes(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[int, int]],
    bytes_max: int,
    looks_max: int,
) -> None:
    folder = tmp_path_factory.mktemp("ring") / "history"
    written = 0
    for count, torn in runs:
        book = Book(folder, bytes_max=bytes_max, looks_max=looks_max)
        book.write(count)
        book.ring.close()
        written += count
        kept = numbers(folder)
        assert kept == list(range(written - len(kept) + 1, written + 1))
        assert kept
        assert len(kept) <= looks_max
        assert sum(file.path.stat().st_size for file in ring_files(folder)) <= bytes_max
        if torn and len(ring_files(folder)) == 1:
            # The power goes while something more is written.
            with ring_files(folder)[-1].path.open("ab") as file:
                file.write(Writer(SESSION).frame(LOOK)[: torn * 20])


def test_what_is_torn_is_cut_off_when_the_next_agent_goes_on(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.write(5)
    [file] = ring_files(tmp_path)
    os.truncate(file.path, file.path.stat().st_size - 3)
    assert numbers(tmp_path) == [1, 2, 3, 4]
    again = Book(tmp_path)
    assert again.ring.torn_bytes > 0
    again.write(2)
    assert numbers(tmp_path) == [1, 2, 3, 4, 5, 6]
    assert len(ring_files(tmp_path)) == 1


def test_a_file_without_one_whole_look_is_removed(tmp_path: Path) -> None:
    Book(tmp_path).write(3)
    (tmp_path / "000000000004.ring").write_bytes(b"HK\x05")
    again = Book(tmp_path)
    again.write()
    assert numbers(tmp_path) == [1, 2, 3, 4]


def test_a_file_of_a_later_release_stays_and_another_one_begins(tmp_path: Path) -> None:
    from he_fsm.history.frames import KEY, framed

    later = framed(KEY, b"what a later release writes")
    (tmp_path / "000000000100.ring").write_bytes(later)
    Book(tmp_path).write()
    first, second = ring_files(tmp_path)
    assert first.path.read_bytes() == later
    assert second.first > first.first


def test_a_disk_that_is_full_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(tmp_path)
    book.write(3)
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 10:
            return write(descriptor, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ring_module.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        book.ring.append(4, b"x" * 20, begins=False)
    with pytest.raises(OSError, match="No space left"):
        book.ring.append(4, b"x" * 20, begins=True)
    monkeypatch.undo()
    assert numbers(tmp_path) == [1, 2, 3]
    assert len(ring_files(tmp_path)) == 1


def test_other_files_are_none_of_the_ring(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "mine.ring").write_text("mine")
    assert ring_files(tmp_path) == []
    assert ring_files(tmp_path / "nowhere") == []


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("mine")
    with pytest.raises(HeFsmError, match=r"can't read .*history: Not a directory"):
        ring_files(tmp_path / "history")


def test_others_can_not_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    Book(folder).write()
    [file] = ring_files(folder)
    assert file.path.stat().st_mode & 0o007 == 0
    assert folder.stat().st_mode & 0o007 == 0
