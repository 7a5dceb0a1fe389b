from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.document.units import (
    Comparison,
    format_seconds,
    parse_comparison,
    parse_duration,
    parse_number,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60", 60),
        ("0.5", 0.5),
        ("10ms", 0.01),
        ("10s", 10),
        ("3m", 180),
        ("2h", 7200),
        ("2d", 172800),
        ("1y", 365 * 86400),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1m0.5s", 60.5),
        ("1s500ms", 1.5),
        ("+5h", 18000),
        ("-300s", -300),
        (" 5 s ", 5),
        (".5s", 0.5),
    ],
)
def test_a_time_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "10x", "10 s s", "ten", "10S", "--5s", "5s3", "nan", "inf", "1e999", "+", "3m-"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_duration(text)


@given(st.integers(0, 10**7))
def test_milliseconds_add_up_exactly(milliseconds: int) -> None:
    minutes, rest = divmod(milliseconds, 60_000)
    seconds, ms = divmod(rest, 1000)
    assert parse_duration(f"{minutes}m{seconds}s{ms}ms") == milliseconds / 1000


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("<= 200s", 200, True),
        ("<= 200s", 200.001, False),
        ("< 200s", 200, False),
        ("<3m", 179, True),
        (">= 1400", 1400, True),
        (">1400", 1400, False),
        ("!= 0", 0, False),
        ("!= 0", 1, True),
        ("5", 5, True),
        ("5", 5.0000001, True),
        ("5", 5.1, False),
        (">= -5", -5, True),
    ],
)
def test_a_comparison_holds(text: str, value: float, holds: bool) -> None:
    assert parse_comparison(text, parse_duration).holds(value) is holds


@pytest.mark.parametrize(("operator", "holds"), [(">", True), ("<=", False), ("!=", True)])
def test_just_above_a_number_is_above_it(operator: str, holds: bool) -> None:
    assert Comparison(operator, 60).holds(60, just_above=True) is holds


@pytest.mark.parametrize("text", ["<", "<= ", "=> 3", "<=x", "nan", "!= inf"])
def test_what_is_no_comparison_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_comparison(text, parse_number)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(180.0, "180 s"), (0.25, "0.25 s"), (1 / 3, "0.333 s"), (1e6, "1000000 s")],
)
def test_seconds_are_written_without_needless_digits(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
