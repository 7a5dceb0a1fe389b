"""What browsers are sent: whatever they missed, they end up with what is so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.dashboard.clusters.board import Board, Version

KEYS = st.sampled_from(["head", "host/1", "host/2", "event/7"])
CHANGES = st.dictionaries(KEYS, st.one_of(st.none(), st.integers(0, 3)), max_size=3)


def applied(known: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """Return what a browser knows after an event, as the page's script has it."""
    return {key: value for key, value in {**known, **delta}.items() if value is not None}


@given(changes=st.lists(CHANGES, max_size=12), looks=st.sets(st.integers(0, 11)))
def test_a_browser_that_misses_steps_ends_with_what_is_so(
    changes: list[dict[str, Any]], looks: set[int]
) -> None:
    async def play() -> None:
        board, known, version = Board("a"), {}, None
        truth: dict[str, Any] = {}
        for number, change in enumerate(changes):
            board.put(change)
            truth = applied(truth, change)
            if number in looks:
                known, version = applied(known, board.since(version)), board.version
        assert applied(known, board.since(version)) == truth

    asyncio.run(play())


@given(changes=st.lists(CHANGES, max_size=6))
def test_nothing_is_sent_twice(changes: list[dict[str, Any]]) -> None:
    async def play() -> None:
        board = Board("a")
        for change in changes:
            board.put(change)
            before = board.version
            board.put(change)
            assert board.version == before
            assert board.since(before) == {}

    asyncio.run(play())


@pytest.mark.parametrize("version", [None, Version("b", 1), Version("a", 99)])
def test_a_version_of_another_run_is_answered_with_all(version: Version) -> None:
    async def play() -> None:
        board = Board("a")
        board.put({"x": 1, "y": 2})
        board.put({"y": None})
        assert board.since(version) == {"x": 1}

    asyncio.run(play())


def test_who_waits_is_woken_by_a_change_alone() -> None:
    async def play() -> None:
        board = Board("a")
        board.put({"x": 1})
        waiting = asyncio.ensure_future(board.changed_since(board.version.number))
        board.put({"x": 1})
        await asyncio.sleep(0)
        assert not waiting.done()
        board.put({"x": 2})
        await asyncio.wait_for(waiting, 10)

    asyncio.run(play())


@given(run=st.text("abcdef0123456789", min_size=1), number=st.integers(0, 10**9))
def test_a_version_comes_back_as_it_was_sent(run: str, number: int) -> None:
    assert Version.of(Version(run, number).text()) == Version(run, number)


@given(text=st.text(max_size=40))
def test_what_is_no_version_is_none(text: str) -> None:
    found = Version.of(text)
    assert found is None or found.number >= 0
