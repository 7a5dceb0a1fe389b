from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.simulate.clock import HostClock

UPTIME_S, WALL_S = 5000.0, 1378510362.0
rates = st.floats(0.5, 2.0)
moments = st.floats(0.0, 1e6)


def wall(clock: HostClock, time: float) -> float:
    return clock.monotonic(time) + clock.wall_offset_s


def test_both_clocks_run_with_true_time() -> None:
    clock = HostClock(UPTIME_S, WALL_S)
    assert (clock.monotonic(0.0), wall(clock, 0.0)) == (UPTIME_S, WALL_S)
    assert (clock.monotonic(60.0), wall(clock, 60.0)) == (UPTIME_S + 60, WALL_S + 60)


@given(moments, rates, st.floats(-1e6, 1e6))
def test_only_the_wall_clock_jumps(time: float, rate: float, seconds: float) -> None:
    clock = HostClock(UPTIME_S, WALL_S)
    clock.run_at(0.0, rate)
    before = clock.monotonic(time), wall(clock, time)
    clock.jump(seconds)
    assert clock.monotonic(time) == before[0]
    assert wall(clock, time) == pytest.approx(before[1] + seconds)


@given(moments, rates, rates)
def test_a_new_rate_changes_nothing_that_was(time: float, first: float, second: float) -> None:
    clock = HostClock(UPTIME_S, WALL_S)
    clock.run_at(0.0, first)
    before = clock.monotonic(time)
    clock.run_at(time, second)
    assert clock.monotonic(time) == before
    assert clock.monotonic(time + 100) == pytest.approx(before + 100 * second)


@given(moments, rates, moments)
def test_true_time_is_the_other_way_round(time: float, rate: float, asked: float) -> None:
    clock = HostClock(UPTIME_S, WALL_S)
    clock.run_at(time, rate)
    assert clock.true_time(clock.monotonic(asked)) == pytest.approx(asked, abs=1e-6)


def test_a_boot_begins_the_monotonic_clock_anew_and_the_wall_clock_goes_on() -> None:
    clock = HostClock(UPTIME_S, WALL_S)
    clock.jump(3600)
    clock.boot(200.0)
    assert clock.monotonic(200.0) == 0.0
    assert clock.monotonic(210.0) == 10.0
    assert wall(clock, 210.0) == WALL_S + 3600 + 210
