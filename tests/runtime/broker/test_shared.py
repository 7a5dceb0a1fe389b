"""Whoever looks at the same time is served by one reading."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from he_fsm.errors import StorageError
from he_fsm.runtime.broker.shared import SharedReading
from he_fsm.testing.waiting import until


class Source:
    """Counts its readings; each waits until it is let go."""

    def __init__(self) -> None:
        self.readings = 0
        self.goes_on = threading.Event()
        self.is_broken = False
        self.now = 0.0

    def read(self) -> int:
        self.readings += 1
        assert self.goes_on.wait(10)
        if self.is_broken:
            msg = "no storage"
            raise StorageError(msg)
        return self.readings


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def shared(source: Source) -> SharedReading[int]:
    return SharedReading(source.read, 1.0, lambda: source.now)


@pytest.mark.parametrize("is_broken", [False, True])
def test_who_asks_while_another_reads_gets_the_same(
    source: Source, shared: SharedReading[int], is_broken: bool
) -> None:
    def ask(_: int) -> object:
        asked.release()
        try:
            return shared.get()
        except StorageError as error:
            return str(error)

    asked = threading.Semaphore(0)
    source.is_broken = is_broken
    with ThreadPoolExecutor(16) as threads:
        answers = threads.map(ask, range(16))
        for _ in range(16):
            assert asked.acquire(timeout=10)
        until(lambda: source.readings == 1)
        source.goes_on.set()
        assert set(answers) == {"no storage" if is_broken else 1}
    assert source.readings == 1


def test_what_is_too_old_is_read_again(source: Source, shared: SharedReading[int]) -> None:
    source.goes_on.set()
    assert [shared.get(), shared.get()] == [1, 1]
    source.now = 1.0
    assert shared.get() == 1
    source.now = 1.125
    assert shared.get() == 2


def test_an_error_is_not_kept(source: Source, shared: SharedReading[int]) -> None:
    source.goes_on.set()
    source.is_broken = True
    with pytest.raises(StorageError):
        shared.get()
    source.is_broken, source.now = False, 0.125
    assert shared.get() == 2


def test_what_was_read_for_another_purpose_is_taken_and_what_was_written_is_forgotten(
    source: Source, shared: SharedReading[int]
) -> None:
    source.goes_on.set()
    shared.put(7)
    assert shared.get() == 7
    shared.forget()
    assert shared.get() == 1


def test_what_took_long_is_kept_for_four_times_as_long(source: Source) -> None:
    def read() -> int:
        source.readings += 1
        source.now += 0.5
        return source.readings

    shared = SharedReading(read, 1.0, lambda: source.now)
    assert shared.get() == 1
    source.now += 2.0
    assert shared.get() == 1
    source.now += 0.125
    assert shared.get() == 2
    # Nobody knows how long this took.
    shared.put(7)
    source.now += 1.125
    assert shared.get() == 3


def test_a_fresh_value_is_that_of_a_reading_under_way(
    source: Source, shared: SharedReading[int]
) -> None:
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(shared.get)
        until(lambda: source.readings == 1)
        source.now = 0.5
        second = threads.submit(shared.get, fresh=True)
        source.goes_on.set()
        assert (first.result(10), second.result(10)) == (1, 1)
    source.now = 0.625
    assert shared.get(fresh=True) == 2


def test_a_reading_that_began_before_something_was_written_serves_nobody_who_asks_later(
    source: Source, shared: SharedReading[int]
) -> None:
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(shared.get)
        until(lambda: source.readings == 1)
        shared.forget()
        second = threads.submit(shared.get)
        source.goes_on.set()
        assert (first.result(10), second.result(10)) == (1, 2)
    assert shared.get() == 2
