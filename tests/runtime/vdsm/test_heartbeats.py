"""When a heart-beat is due, and when the other side is silent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.runtime.vdsm.frames import CONNECTED, Frame
from he_fsm.runtime.vdsm.heartbeats import Heartbeats, read_header
from he_fsm.runtime.vdsm.session import Session, SessionError, Times


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0,24000", (0, 24000)),
        (" 1000 , 2000 ", (1000, 2000)),
        (None, (0, 0)),
        ("", (0, 0)),
        ("5", (0, 0)),
        ("-1,5", (0, 0)),
        ("a,b", (0, 0)),
        ("1,2,3", (0, 0)),
    ],
)
def test_a_header_has_two_numbers_or_means_none(text: str | None, numbers: tuple[int, int]) -> None:
    assert read_header(text) == numbers


def test_a_beat_is_due_when_nothing_was_sent_for_the_time() -> None:
    beats = Heartbeats(5.0, 0.0, sent_at=100.0, heard_at=100.0)
    assert not beats.is_due(104.999)
    assert beats.is_due(105.0)
    beats.sent(105.0)
    assert not beats.is_due(109.999)


def test_the_other_side_is_silent_when_nothing_came_for_the_time() -> None:
    beats = Heartbeats(0.0, 15.0, sent_at=100.0, heard_at=100.0)
    assert not beats.is_silent(114.999)
    assert beats.is_silent(115.0)
    beats.heard(115.0)
    assert not beats.is_silent(115.0)


def test_zero_is_never() -> None:
    beats = Heartbeats(0.0, 0.0, 0.0, 0.0)
    assert not beats.is_due(1e9)
    assert not beats.is_silent(1e9)
    assert beats.next_s(1e9, 30.0) == 30.0


@given(st.floats(0, 60), st.floats(0, 60), st.floats(0, 100), st.floats(0, 100), st.floats(0, 200))
def test_nothing_is_to_do_before_the_time_that_is_said(
    send_s: float, silent_s: float, sent_at: float, heard_at: float, now: float
) -> None:
    beats = Heartbeats(send_s, silent_s, sent_at, heard_at)
    wait_s = beats.next_s(now, 30.0)
    assert 0 <= wait_s <= 30
    if wait_s > 0.001:
        before = now + wait_s - 0.001
        assert not beats.is_due(before)
        assert not beats.is_silent(before)


def accepted(heart_beat: str | None, times: Times | None = None) -> Heartbeats:
    session = Session(times or Times(), with_events=False)
    headers = {"version": "1.2"}
    if heart_beat is not None:
        headers["heart-beat"] = heart_beat
    assert session.take(Frame(CONNECTED, headers), 0.0) == []
    assert session.beats is not None
    return session.beats


@given(expected_ms=st.integers(1000, 120_000))
def test_more_is_sent_than_the_server_expects(expected_ms: int) -> None:
    assert accepted(f"0,{expected_ms}").send_every_s <= expected_ms / 1000 / 2


def test_a_server_that_sends_none_is_never_silent_and_one_that_wants_none_gets_none() -> None:
    assert accepted("0,0") == accepted(None) == Heartbeats(0.0, 0.0, 0.0, 0.0)


def test_a_server_that_sends_seldom_has_the_time_of_three() -> None:
    assert accepted("60000,0").silent_after_s == 180


@given(times=st.builds(Times, promised_s=st.floats(1, 60), send_every_s=st.floats(0.1, 60)))
def test_what_the_server_expects_is_what_was_promised_and_more_is_sent(times: Times) -> None:
    opening = Session(times, with_events=False).opening().decode()
    promised = opening.partition("heart-beat:")[2].partition(",")[0]
    assert accepted(f"5000,{promised}", times).send_every_s <= times.promised_s / 2 + 0.001


def test_another_version_is_refused() -> None:
    session = Session(Times(), with_events=False)
    with pytest.raises(SessionError, match=r"version 1\.1"):
        session.take(Frame(CONNECTED, {"version": "1.1"}), 0.0)
