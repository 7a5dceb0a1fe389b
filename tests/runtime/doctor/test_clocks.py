"""What other hosts' records tell of their wall clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm import TALK, __version__
from he_fsm.metadata import EngineStatus, HostRecord, decode_slot, encode_slot, human_text
from he_fsm.runtime.doctor.clocks import clock_findings

DOWN = EngineStatus("down", "bad", "unknown", "vm not running on this host")
NOW_S = 1_790_000_000.0


def record(written_s: float, release: str = __version__) -> HostRecord:
    """Return host 2's record, written at a moment of its own wall clock."""
    plain = HostRecord(host_id=2, timestamp=700, score=1, engine=DOWN, hostname="two")
    text = human_text(plain, {}, written_s - 700)
    found = decode_slot(2, encode_slot(plain, text, release=release))
    assert isinstance(found, HostRecord)
    return found


def said(found: HostRecord, *alive: int) -> list[str]:
    return [each.what for each in clock_findings([found], alive or (1, 2), NOW_S, TALK)]


@given(
    skew_s=st.floats(-1e6, 1e6), age_s=st.floats(0.0, 2 * TALK.loop_s), moment=st.floats(0.0, 1.0)
)
def test_no_host_is_blamed_for_more_than_its_clock_is_off(
    skew_s: float, age_s: float, moment: float
) -> None:
    now_s = NOW_S + moment
    found = list(clock_findings([record(now_s + skew_s - age_s)], (2,), now_s, TALK))
    for each in found:
        assert ("ahead" in each.what) is (skew_s > 0)
        assert abs(skew_s) > 5.0
    # What is far off is always found.
    assert bool(found) or abs(skew_s) < 5.0 + 2 * TALK.loop_s + 2.0


def test_the_host_and_the_difference_are_named() -> None:
    assert said(record(NOW_S + 3600)) == [
        "the wall clock of host 2 (two) is at least 1 h ahead of this host's"
    ]
    [behind] = said(record(NOW_S - 3621))
    assert behind == "the wall clock of host 2 (two) is at least 1 h behind this host's"


@pytest.mark.parametrize(
    ("release", "alive"),
    # An agent of oVirt's writes local time; what a dead host wrote is old.
    [("", (1, 2)), (__version__, (1, 3))],
)
def test_who_can_not_be_judged_is_not(release: str, alive: tuple[int, ...]) -> None:
    assert said(record(NOW_S - 7200, release), *alive) == []
