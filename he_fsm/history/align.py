"""
How the clocks of hosts stand to each other, by what each read of the others' heartbeats.

Clocks of hosts are never compared by agents. Who looks at what several hosts have kept can do it
afterwards, and without trust in any wall clock: a heartbeat was written before it was read. So if
host B began the look of a heartbeat at `b` (its clock), and host A had read it at `a` (its own), A
was ahead of B by at most `a - b` then. What B read of A's heartbeats bounds it from the other side.
Between two such moments the difference moves by no more than clocks drift. So the bounds hold
whatever the delays are; these make them wide, and never wrong.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Optional

import attrs

from he_fsm.history.book import Recorded
from he_fsm.metadata.record import HostRecord

# Two clocks drift apart by no more: each is slewed by at most 500 ppm (adjtimex(2)), and the
# oscillators of two machines differ by up to 200 ppm.
DRIFT_MAX: Final = 0.0012
# So many heartbeats of a boot have to be known to both sides, and most of those that were read: a
# timestamp in whole seconds may by chance be that of another boot.
_KNOWN_MIN: Final = 3

# A host, and a boot of it: its clock begins anew with each.
Key = tuple[int, str]


@attrs.frozen(kw_only=True)
class Track:
    """
    What one boot of a host shows of time; all times are of its own clock.

    `wrote`: when the look began of which each heartbeat is, by the heartbeat's timestamp.
    `heard`: for each other host, the timestamps that were read and by when, in order.
    `looks`: when the looks began, with what its wall clock was ahead.
    """

    key: Key
    wrote: dict[int, float] = attrs.field(factory=dict)
    heard: dict[int, list[tuple[int, float]]] = attrs.field(factory=dict)
    looks: list[tuple[float, float]] = attrs.field(factory=list)

    def wall(self, t: float) -> float:
        """Return what the wall clock showed at a time, as of the look before."""
        index = max(0, bisect_left(self.looks, (t, math.inf)) - 1)
        return t + self.looks[index][1]


def clock_time(recorded: Recorded) -> float:
    """Return when a look began, on the clock that counts suspended time where there is one."""
    facts = recorded.look.seen.facts
    return facts.now if facts.boot_now is None else facts.boot_now


class Tracks:
    """Collects the tracks of one host, look after look."""

    def __init__(self) -> None:
        """Begin with none."""
        self.found: list[Track] = []

    def add(self, recorded: Recorded) -> Track:
        """Take the next look; return the track that it belongs to."""
        key = (recorded.session.identity.host_id, recorded.session.boot)
        if not self.found or self.found[-1].key != key:
            self.found.append(Track(key=key))
        track = self.found[-1]
        t = clock_time(recorded)
        seen = recorded.look.seen
        track.looks.append((t, seen.wall_at - t))
        done_at = t + recorded.look.done_at - seen.facts.now
        if seen.own is not None:
            track.wrote.setdefault(seen.own.timestamp, t)
        slots = {} if seen.whiteboard is None else seen.whiteboard.slots
        for host_id, record in slots.items():
            if host_id == key[0] or not isinstance(record, HostRecord):
                continue
            before = track.heard.setdefault(host_id, [])
            if not before or before[-1][0] != record.timestamp:
                before.append((record.timestamp, done_at))
        return track


class _Envelope:
    """
    The highest that something may be at any time, by what it was at most at some times.

    Between them it moves by `DRIFT_MAX` at most.
    """

    def __init__(self, points: Iterable[tuple[float, float]]) -> None:
        """Take pairs of a time and the most that it was then."""
        ordered = sorted(points)
        self._times = [t for t, _ in ordered]
        values = [value for _, value in ordered]
        for steps in (range(1, len(values)), range(len(values) - 2, -1, -1)):
            for index in steps:
                near = index - 1 if steps.step > 0 else index + 1
                apart_s = abs(self._times[index] - self._times[near])
                values[index] = min(values[index], values[near] + DRIFT_MAX * apart_s)
        self._values = values

    def at(self, t: float) -> float:
        """Return the most that it is at a time; infinity: nothing is known."""
        index = bisect_left(self._times, t)
        near = [each for each in (index - 1, index) if 0 <= each < len(self._times)]
        return min(
            (self._values[each] + DRIFT_MAX * abs(t - self._times[each]) for each in near),
            default=math.inf,
        )


class Bounds:
    """By how much one clock is ahead of another, at each time of the other: at most, at least."""

    def __init__(self, ahead: Track, of: Track) -> None:
        """Compare two tracks; `ahead` is the one whose lead is bounded, in the time of `of`."""
        upper = [(wrote, read - wrote) for wrote, read in _heard(ahead, of)]
        lower = [(read, read - wrote) for wrote, read in _heard(of, ahead)]
        self._upper = _Envelope(upper)
        self._lower = _Envelope(lower)
        self.is_known = bool(upper and lower)
        self._tracks = (ahead, of)

    def at(self, t: float) -> tuple[float, float]:
        """Return the least and the most of the lead at a time; infinite where nothing is known."""
        return -self._lower.at(t), self._upper.at(t)

    def likely(self, t: float) -> Optional[tuple[float, float]]:
        """
        Return the lead at a time, and by how much that may be wrong; None: it can't be bounded.

        Within the bounds, wall clocks are believed: a time service keeps them far nearer.
        """
        least, most = self.at(t)
        if most < least:
            # A clock has jumped, as that of a machine that was restored does.
            return None
        ahead, of = self._tracks
        lead = min(max(_by_wall(t, of, ahead) - t, least), most)
        return lead, max(most - lead, lead - least)


def _by_wall(t: float, of: Track, to: Track) -> float:
    """Return a time of one clock on another, by the wall clocks of both."""
    wall = of.wall(t)
    first = to.looks[0][1]
    return wall - (to.wall(wall - first) - (wall - first))


def _heard(by: Track, of: Track) -> list[tuple[float, float]]:
    """
    Return when heartbeats were written (clock of *of*) and had been read (clock of *by*).

    Timestamps that fall are of another boot, or a storage that shows old blocks: each stretch in
    which they grow is taken for one of this boot only if most of it is known there.
    """
    found: list[tuple[float, float]] = []
    if not of.wrote:
        return found
    first, last = min(of.wrote), max(of.wrote)
    for stretch in _growing(by.heard.get(of.key[0], ())):
        within = [(stamp, read) for stamp, read in stretch if first <= stamp <= last]
        known = [(of.wrote[stamp], read) for stamp, read in within if stamp in of.wrote]
        if len(known) >= max(_KNOWN_MIN, len(within) / 2):
            found += known
    return found


def _growing(
    heard: Sequence[tuple[int, float]],
) -> Iterable[Sequence[tuple[int, float]]]:
    begin = 0
    for index in range(1, len(heard) + 1):
        if index == len(heard) or heard[index][0] < heard[index - 1][0]:
            yield heard[begin:index]
            begin = index


@attrs.frozen(kw_only=True)
class Alignment:
    """
    How times of one track become times of the reference's clock.

    `steps`: the tracks on the way there, each with the bounds of its lead over the one before;
    None: no heartbeats connect the two, and only wall clocks can be compared.
    """

    track: Track
    reference: Track
    steps: Optional[tuple[Bounds, ...]]

    def at(self, t: float) -> tuple[float, Optional[float]]:
        """
        Return a time of the reference's clock, and by how much it may be wrong (seconds).

        None: nobody knows, it rests on the wall clocks.
        """
        if self.steps is None:
            return self._by_wall(t), None
        at, error_s = t, 0.0
        for bounds in self.steps:
            found = bounds.likely(at)
            if found is None:
                return self._by_wall(t), None
            lead, off_s = found
            at += lead
            error_s += off_s + DRIFT_MAX * error_s
        return at, error_s

    def _by_wall(self, t: float) -> float:
        return _by_wall(t, self.track, self.reference)


def align(tracks: Sequence[Track], reference: Track) -> dict[Key, Alignment]:
    """
    Return for each track how its times become those of the reference, over others where needed.

    The way with the fewest steps is taken.
    """
    ways: dict[Key, tuple[Bounds, ...]] = {reference.key: ()}
    waiting = deque([reference])
    while waiting:
        near = waiting.popleft()
        for track in tracks:
            if track.key in ways:
                continue
            bounds = Bounds(ahead=near, of=track)
            if bounds.is_known:
                ways[track.key] = (bounds, *ways[near.key])
                waiting.append(track)
    return {
        track.key: Alignment(track=track, reference=reference, steps=ways.get(track.key))
        for track in tracks
    }
