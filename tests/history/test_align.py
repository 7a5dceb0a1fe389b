"""Clocks by heartbeats: the true difference always lies within the bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.history.align import DRIFT_MAX, Alignment, Track, Tracks, align
from he_fsm.history.book import Recorded, read
from tests.history.recordings import recorded, ring_of

# Rounding of sums of floats.
NEARLY_S = 1e-6


@attrs.frozen
class Clock:
    """A clock that was *ahead_s* at true time 0, and drifts at one rate, then at another."""

    ahead_s: float
    rates: tuple[float, float]
    turns_at: float

    def at(self, true: float) -> float:
        first, second = self.rates
        early, late = min(true, self.turns_at), max(0.0, true - self.turns_at)
        return self.ahead_s + true + first * early + second * late


# Two of them drift apart by the maximum at most, with room for that the one is the other's measure.
_RATE = DRIFT_MAX / 2 / (1 + DRIFT_MAX)
rates = st.floats(-_RATE, _RATE)
clocks = st.builds(Clock, st.floats(0.0, 1e6), st.tuples(rates, rates), st.floats(0.0, 400.0))
delays = st.floats(0.0, 30.0)


@attrs.frozen
class Pass:
    """One look: when it begins, is written, has read, and is over (true times)."""

    began: float
    written: float
    read: float
    done: float


@st.composite
def passes(draw: st.DrawFn) -> list[Pass]:
    """The looks of one host: whatever each takes, one begins after the other."""
    found, now = [], draw(st.floats(0.0, 10.0))
    for _ in range(draw(st.integers(4, 14))):
        times = [now]
        for _ in range(3):
            times.append(times[-1] + draw(delays) * draw(st.sampled_from((0.0, 0.01, 1.0))))
        found.append(Pass(*times))
        now = times[-1] + draw(st.floats(1.5, 20.0))
    return found


def track(
    host_id: int,
    clock: Clock,
    looks: Sequence[Pass],
    others: dict[int, tuple[Clock, Sequence[Pass]]],
) -> Track:
    wrote: dict[int, float] = {}
    heard: dict[int, list[tuple[int, float]]] = {}
    for look in looks:
        wrote.setdefault(int(clock.at(look.began)), clock.at(look.began))
        for other, (its_clock, its_looks) in others.items():
            stamps = [
                int(its_clock.at(each.began)) for each in its_looks if each.written <= look.read
            ]
            so_far = heard.setdefault(other, [])
            if stamps and (not so_far or so_far[-1][0] != stamps[-1]):
                so_far.append((stamps[-1], clock.at(look.done)))
    return Track(
        key=(host_id, "boot"),
        wrote=wrote,
        heard=heard,
        looks=[(clock.at(look.began), 0.0) for look in looks],
    )


@given(st.lists(st.tuples(clocks, passes()), min_size=2, max_size=3), st.data())
def test_the_true_time_always_lies_within_the_bound(
    hosts: list[tuple[Clock, list[Pass]]], data: st.DataObject
) -> None:
    by_id = dict(enumerate(hosts, start=1))
    # Of three hosts in a row, the outer ones may see each other or not.
    sees_all = data.draw(st.booleans())
    tracks = [
        track(
            host_id,
            clock,
            looks,
            {
                other: its
                for other, its in by_id.items()
                if other != host_id and (sees_all or abs(other - host_id) == 1)
            },
        )
        for host_id, (clock, looks) in by_id.items()
    ]
    true = data.draw(st.floats(0.0, 500.0))
    reference = hosts[0][0]
    for (clock, _), way in zip(hosts, align(tracks, tracks[0]).values()):
        at, error_s = way.at(clock.at(true))
        if error_s is not None:
            assert abs(at - reference.at(true)) <= error_s + NEARLY_S


@pytest.mark.parametrize(("wrong_s", "off_s"), [(0.0, 0.0), (4.0, 4.0), (3600.0, 5.0)])
def test_wall_clocks_are_believed_as_far_as_heartbeats_allow(wrong_s: float, off_s: float) -> None:
    looks = {1: [10.0 * n for n in range(30)], 2: [10.0 * n + 5.0 for n in range(30)]}
    ahead = {1: 0.0, 2: 1000.25}
    clocks_of = {host: Clock(ahead[host], (0.0, 0.0), 0.0) for host in looks}
    run = {host: [Pass(t, t, t, t) for t in times] for host, times in looks.items()}
    one = track(1, clocks_of[1], run[1], {2: (clocks_of[2], run[2])})
    two = track(2, clocks_of[2], run[2], {1: (clocks_of[1], run[1])})
    two.looks[:] = [(t, wrong_s - ahead[2]) for t, _ in two.looks]
    at, error_s = align([one, two], one)[two.key].at(1000.25 + 105.0)
    assert error_s is not None
    # Each reads the other's heartbeats when they are 5 s old.
    assert at - 105.0 == pytest.approx(off_s, abs=0.01)
    assert error_s == pytest.approx(5.0 + off_s, abs=0.01)


def chain(steps: Optional[tuple[object, ...]] = None) -> Alignment:
    at = Track(key=(1, "a"), wrote={}, heard={}, looks=[(100.0, 5000.0)])
    other = Track(key=(2, "b"), wrote={}, heard={}, looks=[(7.0, 5193.0), (9.0, 6000.0)])
    assert steps is None
    return align([at, other], at)[other.key]


def test_without_heartbeats_wall_clocks_are_all_there_is_and_that_is_said() -> None:
    assert chain().at(7.0) == (200.0, None)


def test_heartbeats_of_another_boot_are_not_taken_for_those_of_this_one() -> None:
    # Timestamps of a boot that host 1 read, of which a few are by chance those of another one.
    heard = [(stamp, 500.0 + stamp) for stamp in range(100, 200, 10)]
    one = Track(key=(1, "a"), wrote={}, heard={2: heard}, looks=[(600.0, 0.0)])
    wrote = {stamp: float(stamp) for stamp in range(101, 200, 7)} | {110: 110.0, 150: 150.0}
    two = Track(key=(2, "b"), wrote=wrote, heard={}, looks=[(101.0, 0.0)])
    assert align([one, two], one)[two.key].steps is None


def tracks_of(looks: Sequence[Recorded]) -> list[Track]:
    tracks = Tracks()
    for look in looks:
        tracks.add(look)
    return tracks.found


def of_simulation(host: str) -> list[Recorded]:
    looks = recorded("{at: 60s, host: 2, agent: kill}, {at: 90s, host: 2, agent: start}")[host]
    return [each for each in read(ring_of(looks)) if isinstance(each, Recorded)]


def test_simulated_hosts_are_found_where_they_truly_are() -> None:
    every = {host: of_simulation(host) for host in ("1", "2", "3")}
    tracks = [track for each in every.values() for track in tracks_of(each)]
    ways = align(tracks, tracks[0])
    offsets = {
        host: each[0].look.seen.wall_at - each[0].look.seen.facts.now
        for host, each in every.items()
    }
    for track_ in tracks:
        t = track_.looks[20][0]
        at, error_s = ways[track_.key].at(t)
        # The simulator's wall clocks are right.
        true = t + offsets[str(track_.key[0])] - offsets["1"]
        assert error_s is not None
        assert abs(at - true) <= error_s + NEARLY_S
        assert error_s < 12.0
        assert at == pytest.approx(true, abs=1.5)
        assert not math.isnan(at)
