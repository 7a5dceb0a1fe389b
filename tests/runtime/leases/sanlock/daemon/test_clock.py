"""What is found out about a clock that tells whole seconds; no daemon is needed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.runtime.leases.sanlock.daemon.clock import DaemonClock

RATES = (1.0, 10.0)
# Far below a second, far above what floating point loses.
EXACT_S = 1e-6


def shows(now: float, ahead_s: float, rate: float) -> int:
    return math.floor((now + ahead_s) * rate)


def begins(shown: int, ahead_s: float, rate: float) -> float:
    return shown / rate - ahead_s


@given(
    rate=st.sampled_from(RATES),
    ahead_s=st.floats(-1000, 1000),
    pauses=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=80),
    late_s=st.floats(0.0, 0.5),
)
def test_a_second_never_seems_to_begin_before_it_does(
    rate: float, ahead_s: float, pauses: list[float], late_s: float
) -> None:
    clock, now = DaemonClock(rate), 5000.0
    for pause in pauses:
        now += pause
        shown = shows(now, ahead_s, rate)
        found = clock.began(shown, now + late_s)
        assert found >= begins(shown, ahead_s, rate) - EXACT_S
        assert found <= begins(shown, ahead_s, rate) + 1 / rate + late_s + EXACT_S


@pytest.mark.parametrize("rate", RATES)
def test_after_many_looks_the_moment_is_known(rate: float) -> None:
    clock, ahead_s = DaemonClock(rate), 12.345
    for look in range(60):
        # A look each second, and what it takes.
        now = 5000.0 + look * 1.02
        shown = shows(now, ahead_s, rate)
        found = clock.began(shown, now)
    assert found == pytest.approx(begins(shown, ahead_s, rate), abs=0.03)


@pytest.mark.parametrize("ahead_s", [-500.0, 500.0])
def test_another_daemon_has_another_clock(ahead_s: float) -> None:
    clock = DaemonClock(1.0)
    for look in range(100):
        now = 5000.0 + look * 0.99
        clock.began(shows(now, 0.0, 1.0), now)
    now = 6000.0
    shown = shows(now, ahead_s, 1.0)
    assert begins(shown, ahead_s, 1.0) <= clock.began(shown, now) <= now
