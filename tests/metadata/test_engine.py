from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.metadata import EngineStatus, engine_from_text, engine_json, engine_words

UNREADABLE = EngineStatus("unknown", "unknown", "serialization error")
statuses = st.builds(
    EngineStatus, vm=st.text(), health=st.text(), detail=st.text(), reason=st.none() | st.text()
)


@pytest.mark.parametrize(
    ("words", "vm", "health", "rank"),
    [
        ("vm-up good-health-status", "up", "good", 4),
        ("vm-up bad-health-status", "up", "bad", 3),
        ("vm-down", "down", "bad", 1),
        ("None", "unknown", "unknown", 0),
    ],
)
def test_the_words_of_2013_are_understood(words: str, vm: str, health: str, rank: int) -> None:
    status = engine_from_text(words)
    assert status == EngineStatus(vm, health, words)
    assert status.rank == rank
    assert engine_words(status) == words


@pytest.mark.parametrize(
    ("vm", "health", "words"),
    [
        ("up", "good", "vm-up good-health-status"),
        ("up", "bad", "vm-up bad-health-status"),
        ("up", "unknown", "vm-up bad-health-status"),
        ("down", "bad", "vm-down"),
        ("down_unexpected", "bad", "vm-down"),
        ("down_missing", "bad", "vm-down"),
        ("unknown", "unknown", "None"),
        ("sideways", "good", "None"),
    ],
)
def test_every_status_has_words(vm: str, health: str, words: str) -> None:
    assert engine_words(EngineStatus(vm, health, "detail")) == words


def test_json_is_written_as_ovirt_writes_it() -> None:
    assert (
        engine_json(EngineStatus("down", "bad", "Down", "VM \u00fc"))
        == '{"vm": "down", "health": "bad", "detail": "Down", "reason": "VM \\u00fc"}'
    )
    assert (
        engine_json(EngineStatus("up", "good", "Up"))
        == '{"vm": "up", "health": "good", "detail": "Up"}'
    )


@given(status=statuses)
def test_json_survives_the_round_trip(status: EngineStatus) -> None:
    text = engine_json(status)
    assert text.isascii()
    assert engine_from_text(text) == status


@pytest.mark.parametrize(
    "text",
    ["", "vm-sideways", "null", "[]", "3", '"up"', "{}", '{"vm": "up"}', '{"vm": ', "[" * 500],
)
def test_anything_else_is_a_serialization_error(text: str) -> None:
    assert engine_from_text(text) == UNREADABLE


def test_all_values_are_taken_as_text() -> None:
    text = '{"vm": 1, "health": NaN, "detail": [true, 1e999], "reason": %s}' % ("9" * 400)
    assert engine_from_text(text) == EngineStatus("1", "NaN", "[True, '1e999']", "9" * 400)


def test_a_detail_that_is_missing_is_unknown() -> None:
    assert engine_from_text('{"health": "good", "vm": "up"}') == EngineStatus(
        "up", "good", "unknown"
    )


@given(text=st.text() | st.from_regex(r'\{"vm": [^|]{0,80}, "health": [^|]{0,80}\}'))
def test_no_text_raises(text: str) -> None:
    engine_from_text(text)


def test_a_paused_vm_ranks_below_an_unhealthy_one() -> None:
    assert EngineStatus("up", "bad", "Paused").rank == 2
    assert EngineStatus("up", "good", "Paused").rank == 2
