"""Damage that lasts, whatever is written meanwhile."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from he_fsm.lab.masks import Mask
from he_fsm.testing.waiting import until

OLD, SHOWN, NEW = b"o" * 4096, b"s" * 4096, b"n" * 4096


@pytest.fixture
def board(tmp_path: Path) -> Path:
    path = tmp_path / "whiteboard"
    path.write_bytes(OLD * 3)
    return path


def write(board: Path, slot: int, block: bytes) -> None:
    with board.open("r+b") as file:
        file.seek(slot * 4096)
        file.write(block)


def test_readers_see_the_mask_and_then_what_was_written_meanwhile(board: Path):
    mask = Mask(board, 1, SHOWN, time.monotonic() + 60)
    assert board.read_bytes() == OLD + SHOWN + OLD
    write(board, 1, NEW)
    until(lambda: mask.written == NEW)
    until(lambda: board.read_bytes() == OLD + SHOWN + OLD)
    mask.close()
    assert mask.is_over
    assert board.read_bytes() == OLD + NEW + OLD


def test_a_mask_ends_when_its_time_is_up(board: Path):
    mask = Mask(board, 2, SHOWN, time.monotonic() + 0.05)
    until(lambda: mask.is_over)
    assert board.read_bytes() == OLD * 3
