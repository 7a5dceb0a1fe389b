"""The courses of several hosts, decided anew look by look, and put into one timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import attrs

from he_fsm.cli.past.archive import ArchiveError, Source, read_source
from he_fsm.cli.past.reading import Left, decided_today, looks_of
from he_fsm.cli.past.times import iso_text
from he_fsm.history.align import Alignment, Track, Tracks, align, clock_time
from he_fsm.history.book import Recorded
from he_fsm.history.compare import Difference, difference, words
from he_fsm.report.events import Event
from he_fsm.report.recorded import events_of, is_new_agent
from he_fsm.scenario.beginning.story import HostStory


@attrs.define
class Course:
    """One host: its looks in short, what happened there, and where today differs."""

    source: Source
    at: Optional[float] = None
    shows_all: bool = False
    left: Left = attrs.field(factory=Left)
    tracks: Tracks = attrs.field(factory=Tracks)
    differences: list[Difference] = attrs.field(factory=list)
    story: HostStory = attrs.field(factory=HostStory)
    looks: int = 0
    first: Optional[Recorded] = None
    last: Optional[Recorded] = None
    # The look at the time that is asked about, or just before, with those from which it followed
    # at once; each with the one before it.
    looked: list[tuple[Optional[Recorded], Recorded]] = attrs.field(factory=list)
    # Each event with the clock by which its time is; so with every look, where that is asked for.
    _events: list[tuple[Track, float, Event]] = attrs.field(factory=list)

    @property
    def host_id(self) -> int:
        """The host's id."""
        assert self.first is not None  # noqa: S101 - `read` refuses a source without a look
        return self.first.session.identity.host_id

    def read(self) -> None:
        """
        Read and decide everything.

        Raises:
            ArchiveError: it can't be read, or has no look, or those of several hosts.
        """
        for now in looks_of(self.source.parts, self.left, decided_today):
            if self.first is None:
                self.first = now
            if now.session.identity.host_id != self.host_id:
                msg = f"{self.source.name}: looks of hosts {self.host_id} and " + str(
                    now.session.identity.host_id
                )
                raise ArchiveError(msg)
            try:
                self._take(now)
            except (TypeError, ValueError, ArithmeticError, LookupError) as error:
                # Nobody has decided this: its numbers are none.
                msg = f"{self.source.name}: record {now.number} can't be used: {error}"
                raise ArchiveError(msg) from error
            self.last = now
        if self.first is None:
            msg = f"{self.source.name}: it holds no whole look"
            raise ArchiveError(msg)

    def _take(self, now: Recorded) -> None:
        last = self.last
        self.looks += 1
        track, t = self.tracks.add(now), clock_time(now)
        self.story.add(now, is_new_agent=is_new_agent(last, now))
        found = difference(None if last is None else last.look, now)
        if found is not None:
            self._differ(found)
        self._events += [(track, t, event) for event in events_of(last, now)]
        if self.shows_all:
            self._events.append((track, t, _decision(now)))
        if self.at is not None and now.look.seen.wall_at <= self.at:
            if last is None or last.look.decided.edge is None:
                self.looked.clear()
            self.looked.append((last, now))

    def _differ(self, found: Difference) -> None:
        if self.differences and self.differences[-1].goes_on(found):
            self.differences[-1] = attrs.evolve(self.differences[-1], last=found.last)
        else:
            self.differences.append(found)

    def events(self, clocks: Clocks) -> Iterator[Event]:
        """Return what happened, with the times of the clock that all have in common."""
        for track, t, event in self._events:
            yield attrs.evolve(event, t=clocks.wall(track, t))


def _decision(now: Recorded) -> Event:
    text = words(now.look.seen.before.state.value, now.look.decided)
    host = str(now.session.identity.host_id)
    details = {"text": text, "record": now.number, "same": now.otherwise is None}
    return Event(now.look.seen.wall_at, host, "decision", details)


@attrs.frozen(kw_only=True)
class Clocks:
    """How the times of all tracks become those of the reference's wall clock."""

    reference: Track
    ways: dict[tuple[int, str], Alignment]

    @classmethod
    def of(cls, courses: Sequence[Course]) -> Clocks:
        """Align the clocks of hosts with that of the first one in its last boot."""
        tracks = [track for course in courses for track in course.tracks.found]
        reference = courses[0].tracks.found[-1]
        return cls(reference=reference, ways=align(tracks, reference))

    def wall(self, track: Track, t: float) -> float:
        """Return a time of a track's clock by the reference's wall clock."""
        at, _ = self.ways[track.key].at(t)
        return self.reference.wall(at)

    def report(self, course: Course) -> dict[str, Any]:
        """
        Return how a host's clock stands to the reference's, as of its last look.

        `ahead_s`: by how much its wall clock is ahead; `within_s`: how wrong the times of its
        looks may be in the timeline, at most; None: nobody knows, they rest on the wall clocks.
        """
        errors: list[Optional[float]] = []
        for track in course.tracks.found:
            way = self.ways[track.key]
            errors += [way.at(t)[1] for t, _ in track.looks]
        track = course.tracks.found[-1]
        t, ahead = track.looks[-1]
        known = [error for error in errors if error is not None]
        return {
            "host": course.host_id,
            "ahead_s": round(t + ahead - self.wall(track, t), 3),
            "within_s": None if len(known) < len(errors) else round(max(known), 3),
        }


def courses_of(paths: Sequence[Path], at: Optional[float], *, shows_all: bool) -> list[Course]:
    """
    Read the archives of several hosts.

    Raises:
        ArchiveError: one can't be used, or two are of the same host.
    """
    courses: dict[int, Course] = {}
    for path in paths:
        course = Course(source=read_source(path), at=at, shows_all=shows_all)
        course.read()
        if course.host_id in courses:
            other = courses[course.host_id].source.name
            msg = f"{other} and {path} are both of host {course.host_id}: give one of each host"
            raise ArchiveError(msg)
        courses[course.host_id] = course
    return list(courses.values())


def summary(course: Course) -> dict[str, Any]:
    """Return in short what a course is, as a plain object."""
    first, last = course.first, course.last
    assert first is not None  # noqa: S101 - see `Course.host_id`
    assert last is not None  # noqa: S101
    return {
        "host": course.host_id,
        "hostname": last.session.identity.hostname,
        "source": course.source.name,
        "program": last.session.program,
        "policy": last.session.policy.name,
        "decisions": course.looks,
        "from": iso_text(first.look.seen.wall_at),
        "to": iso_text(last.look.seen.wall_at),
        "first": first.number,
        "last": last.number,
        "left_out": attrs.asdict(course.left),
        "differences": [
            {**attrs.asdict(each), "at": iso_text(each.wall_at)} for each in course.differences
        ],
    }
