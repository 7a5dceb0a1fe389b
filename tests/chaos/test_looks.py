"""By how much looks are late, by what the agent reports."""

from __future__ import annotations

import pytest

from he_fsm.chaos.looks import Lateness, Looks


def seen(*begins_s: float) -> Looks:
    """Return what is seen of looks that began then, each reported twice."""
    looks = Looks(0.1)
    for for_s in begins_s:
        for _ in range(2):
            looks.take({"state": "EngineUp", "state_for_s": for_s})
    return looks


def test_looks_that_are_in_time_are_not_late() -> None:
    lateness = seen(1.0, 1.1, 1.2).lateness(2)
    assert lateness == Lateness(loop_s=0.1, looks=2, late=0, latest_s=0.0)
    assert lateness.is_small


@pytest.mark.parametrize(
    ("gap_s", "late", "is_small"), [(0.14, 0, True), (0.2, 1, True), (0.201, 1, False)]
)
def test_a_look_is_due_a_loop_after_the_last(gap_s: float, late: int, is_small: bool) -> None:
    lateness = seen(1.0, 1.0 + gap_s).lateness(1)
    assert (lateness.late, lateness.is_small) == (late, is_small)
    assert lateness.latest_s == pytest.approx(gap_s - 0.1)


def test_a_change_of_state_is_no_clock() -> None:
    looks = seen(7.0)
    looks.take({"state": "Unknown", "state_for_s": 9.0})
    looks.take({"age_s": None})
    lateness = looks.lateness(3)
    assert (lateness.looks, lateness.unseen, lateness.is_small) == (0, 3, False)
