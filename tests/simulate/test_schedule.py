from __future__ import annotations

import math

from hypothesis import example, given
from hypothesis import strategies as st

from he_fsm.simulate.clock import HostClock
from he_fsm.simulate.schedule import PERIOD, LoopTimes

# One that shows true time.
TRUE = HostClock(0.0, 0.0)
loops_s = st.floats(0.1, 60.0)
jitters_s = st.one_of(st.just(0.0), st.floats(0.0, 10.0))
starts_s = st.floats(-1e4, 1e6)
seeds = st.text(max_size=5)


def walked(times: LoopTimes, count: int) -> list[float]:
    """Return the next *count* times, one by one."""
    found = []
    for _ in range(count):
        found.append(times.next)
        times.advance()
    return found


@given(starts_s, loops_s, jitters_s, seeds)
def test_each_loop_is_up_to_the_jitter_longer(
    start: float, loop: float, jitter: float, seed: str
) -> None:
    found = walked(LoopTimes(start, loop, jitter, seed), 2 * PERIOD)
    assert found[0] == start
    rounding = 1e-6
    for earlier, later in zip(found, found[1:]):
        assert loop - rounding <= later - earlier <= loop + jitter + rounding


def test_the_seed_says_which() -> None:
    one, same, other = (LoopTimes(0.0, 10.0, 1.0, seed) for seed in ("1/1/0", "1/1/0", "2/1/0"))
    assert walked(one, 50) == walked(same, 50) != walked(other, 50)


# Exactly at a loop, at the turn of a round, and before the beginning.
@example(start=0.0, loop=10.0, jitter=0.0, seed="", before=3, target=70.0)
@example(start=5.0, loop=10.0, jitter=1.0, seed="x", before=PERIOD - 1, target=5360.0)
@example(start=100.0, loop=10.0, jitter=1.0, seed="x", before=0, target=-50.0)
@given(
    start=starts_s,
    loop=loops_s,
    jitter=jitters_s,
    seed=seeds,
    before=st.integers(0, 1200),
    target=st.floats(-100.0, 5e4),
)
def test_skipping_is_advancing_one_by_one(
    start: float, loop: float, jitter: float, seed: str, before: int, target: float
) -> None:
    time = start + min(target, 2000 * loop)
    skipped, stepped = (LoopTimes(start, loop, jitter, seed) for _ in range(2))
    walked(skipped, before)
    walked(stepped, before)
    skipped.go_to(skipped.first_at(time, TRUE))
    while stepped.next < time:
        stepped.advance()
    assert walked(skipped, 3) == walked(stepped, 3)


# Here rounding leaves the estimate a loop too early.
@example(start=1104314.0, loop=51.01015448356944, jitter=1.0, seed="d", index=1962)
@given(start=starts_s, loop=loops_s, jitter=jitters_s, seed=seeds, index=st.integers(0, 3 * PERIOD))
def test_a_hair_decides_to_which_loop_is_skipped(
    start: float, loop: float, jitter: float, seed: str, index: int
) -> None:
    # The bisection meets rounding here: the time asked for is one that was computed.
    here, following = walked(LoopTimes(start, loop, jitter, seed), index + 2)[-2:]
    for time, there in ((here, here), (math.nextafter(here, math.inf), following)):
        times = LoopTimes(start, loop, jitter, seed)
        times.go_to(times.first_at(time, TRUE))
        assert times.next == there


def test_time_never_goes_back() -> None:
    times = LoopTimes(0.0, 10.0, 1.0, "x")
    times.go_to(times.first_at(1000.0, TRUE))
    there = times.next
    times.go_to(times.first_at(10.0, TRUE))
    assert times.next == there
