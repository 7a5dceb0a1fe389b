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


@given(moments, rates, st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_asleep_only_wall_and_boot_clock_go_on(
    time: float, rate: float, slept_s: float, later_s: float
) -> None:
    clock = HostClock(UPTIME_S, WALL_S)
    clock.run_at(0.0, rate)
    before = clock.monotonic(time), wall(clock, time), clock.boottime(time)
    clock.suspend(time)
    assert clock.monotonic(time + slept_s / 2) == before[0]
    assert clock.boottime(time + slept_s / 2) == pytest.approx(before[2] + slept_s / 2 * rate)
    clock.resume(time + slept_s)
    end = time + slept_s + later_s
    assert clock.monotonic(end) == pytest.approx(before[0] + later_s * rate)
    assert wall(clock, end) == pytest.approx(before[1] + (slept_s + later_s) * rate)
    assert clock.boottime(end) == pytest.approx(before[2] + (slept_s + later_s) * rate)
    assert clock.true_time(clock.monotonic(end)) == pytest.approx(end, abs=1e-6)
    assert clock.slept_s(0.0, end) == pytest.approx(slept_s, abs=1e-6)


def test_a_time_counts_as_slept_as_far_as_it_lies_in_the_sleep() -> None:
    clock = HostClock(UPTIME_S, WALL_S)
    for start, end in ((10.0, 20.0), (30.0, 35.0)):
        clock.suspend(start)
        clock.resume(end)
    clock.suspend(50.0)
    assert [clock.slept_s(*span) for span in ((0, 9), (0, 12), (15, 32), (0, 40), (34, 60))] == [
        *(0.0, 2.0, 7.0, 15.0),
        11.0,
    ]


def test_a_boot_begins_the_boot_clock_anew_as_well() -> None:
    clock = HostClock(UPTIME_S, WALL_S)
    clock.suspend(10.0)
    clock.resume(20.0)
    clock.boot(200.0)
    assert (clock.boottime(200.0), clock.boottime(210.0)) == (0.0, 10.0)
    assert wall(clock, 210.0) == WALL_S + 210


def test_another_rate_asleep_counts_from_then_on() -> None:
    clock = HostClock(UPTIME_S, WALL_S)
    clock.suspend(10.0)
    clock.run_at(20.0, 2.0)
    clock.resume(30.0)
    assert clock.monotonic(30.0) == UPTIME_S + 10
    assert clock.boottime(30.0) == UPTIME_S + 40
    assert wall(clock, 30.0) == WALL_S + 40
    assert clock.monotonic(31.0) == UPTIME_S + 12
