"""The thread that keeps an agent's looks: the loop waits for nothing, and trouble is said once."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from he_fsm.history.book import Recorded, read
from he_fsm.runtime.history import ring as ring_module
from he_fsm.runtime.history.keeper import Keeper
from he_fsm.runtime.history.ring import Limits, Ring, ring_parts
from he_fsm.testing.waiting import until
from tests.history.recordings import recorded

LOOKS = recorded()["2"]
SESSION = LOOKS[0][0]
LIMITS = Limits(bytes_max=2**20, looks_max=10_000)


class Clock:
    """A monotonic clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def keeping(folder: Path, clock: Clock) -> Iterator[Keeper]:
    keeper = Keeper(Ring(folder, LIMITS), SESSION, clock)
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.close()


def kept(folder: Path) -> list[Recorded]:
    data = b"".join(data for _, data in ring_parts(folder))
    return [each for each in read(data) if isinstance(each, Recorded)]


def is_settled(folder: Path, keeper: Keeper, count: int) -> bool:
    return len(kept(folder)) + keeper._lost == count


def test_all_that_was_taken_is_written_at_the_end(tmp_path: Path) -> None:
    with keeping(tmp_path, Clock()) as keeper:
        for _, look in LOOKS:
            keeper.take(look)
    assert [each.look for each in kept(tmp_path)] == [look for _, look in LOOKS]


def test_the_next_agent_counts_on(tmp_path: Path) -> None:
    for _ in range(2):
        with keeping(tmp_path, Clock()) as keeper:
            keeper.take(LOOKS[0][1])
            keeper.take(LOOKS[1][1])
    assert [each.number for each in kept(tmp_path)] == [1, 2, 3, 4]


def test_a_reload_begins_another_session(tmp_path: Path) -> None:
    other = attrs.evolve(SESSION, program="later")
    with keeping(tmp_path, Clock()) as keeper:
        keeper.take(LOOKS[0][1])
        keeper.renew(other)
        keeper.take(LOOKS[1][1])
    assert [each.session.program for each in kept(tmp_path)] == [SESSION.program, "later"]


@pytest.mark.interpreted
def test_a_full_disk_is_said_once_costs_looks_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "he_fsm")
    clock, tried, write = Clock(), [], os.write

    def full(descriptor: int, data: bytes) -> int:
        if not data.startswith(b"H"):
            return write(descriptor, data)
        tried.append(len(data))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with keeping(tmp_path, clock) as keeper:
        with monkeypatch.context() as patch:
            patch.setattr(ring_module.os, "write", full)
            for _, look in LOOKS[:5]:
                keeper.take(look)
            until(lambda: keeper._lost == 5)
        keeper.take(LOOKS[5][1])
        until(lambda: keeper._lost == 6)
        clock.now += 61.0
        keeper.take(LOOKS[6][1])
    assert len(tried) == 1
    assert caplog.messages == [
        "this host's decisions are not kept: No space left on device",
        "this host's decisions are kept again (after 61 s, once)",
    ]
    assert [(each.number, each.lost, each.look) for each in kept(tmp_path)] == [(1, 6, LOOKS[6][1])]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_disk_that_is_really_full_loses_what_came_meanwhile_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "he_fsm")
    mount, umount = shutil.which("mount") or "mount", shutil.which("umount") or "umount"
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run([mount, *options], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        clock, ballast = Clock(), tmp_path / "ballast"
        with keeping(tmp_path / "history", clock) as keeper:
            for _, look in LOOKS[:3]:
                keeper.take(look)
            until(lambda: len(kept(tmp_path / "history")) == 3)
            with contextlib.suppress(OSError):
                ballast.write_bytes(bytes(2**17))
            count = 0
            while not keeper._lost:
                # What is left in the last page of the file may take some.
                keeper.take(LOOKS[3][1])
                count += 1
                until(functools.partial(is_settled, tmp_path / "history", keeper, 3 + count))
            whole = len(kept(tmp_path / "history"))
            ballast.unlink()
            clock.now += 61.0
            keeper.take(LOOKS[4][1])
        found = kept(tmp_path / "history")
        assert [each.number for each in found] == list(range(1, whole + 2))
        assert (found[-1].lost, found[-1].look) == (1, LOOKS[4][1])
        assert [line for line in caplog.messages if "No space" in line] == [
            "this host's decisions are not kept: No space left on device"
        ]
    finally:
        subprocess.run([umount, str(tmp_path)], check=True)


@pytest.mark.interpreted
def test_a_disk_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, hangs, write = threading.Event(), threading.Event(), os.write

    def hanging(descriptor: int, data: bytes) -> int:
        if data.startswith(b"H"):
            hangs.set()
            goes_on.wait(30)
        return write(descriptor, data)

    monkeypatch.setattr(ring_module.os, "write", hanging)
    with keeping(tmp_path, Clock()) as keeper:
        keeper.take(LOOKS[0][1])
        assert hangs.wait(10)
        for _ in range(300):
            keeper.take(LOOKS[1][1])
        keeper.close(0.01)
        assert keeper._lost == 300 - 256
        goes_on.set()
        keeper.close()
    assert len(kept(tmp_path)) == 257


def test_a_folder_that_can_not_be_made_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "history").write_text("in the way")
    with keeping(tmp_path / "history", Clock()) as keeper:
        keeper.take(LOOKS[0][1])
        keeper.take(LOOKS[1][1])
        until(lambda: keeper._lost == 2)
    assert len([each for each in caplog.messages if "are not kept" in each]) == 1
