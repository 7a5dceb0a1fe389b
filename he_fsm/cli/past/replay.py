"""`he-fsm replay`: what hosts decided then is decided anew, and put into one timeline."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Optional

import click

from he_fsm.cli.options.common import json_option
from he_fsm.cli.options.hosts import HostId
from he_fsm.cli.past import scenario as scenarios
from he_fsm.cli.past.courses import Clocks, Course, courses_of, summary
from he_fsm.cli.past.lines import event_json, note, print_events
from he_fsm.cli.past.one_look import look_json, look_lines
from he_fsm.cli.past.times import moment_of, time_text
from he_fsm.errors import HeFsmError
from he_fsm.files.inputs import Inputs
from he_fsm.history.compare import Difference
from he_fsm.report.events import Event
from he_fsm.report.recorded import DETAILS
from he_fsm.words import printable, several

# What clocks may differ by and be said to agree (seconds): it is not seen in the times.
_AGREE_S: Final = 0.05


@click.command()
@click.argument(
    "archives",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="ARCHIVE...",
)
@click.option("--host", type=HostId(), metavar="HOST", help="Show this host alone.")
@click.option(
    "--at",
    callback=moment_of,
    metavar="TIME",
    help="Show the decision at this time, or just before, with all that it was made from.",
)
@click.option(
    "--all", "shows_all", is_flag=True, help="Every decision, and all that hosts saw of each other."
)
@click.option(
    "--scenario",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a scenario in which the same happens to the same hosts.",
)
@json_option
def replay(  # noqa: PLR0913 - one for each option
    archives: tuple[Path, ...],
    host: Optional[int],
    at: Optional[float],
    shows_all: bool,
    output: Optional[Path],
    as_json: bool,
) -> None:
    """
    Decide anew, with this version, what hosts decided then.

    An ARCHIVE is a file that `he-fsm capture` wrote, or the folder of a ring (`history` below a
    host's state folder). Every decision is made again from what the host saw; where this version
    comes to another one, that is named. Archives of several hosts make one timeline: their clocks
    are aligned by what each had read of the others' heartbeats.

    Exit status: 0 this version decides the same everywhere; 1 it does not; 2 an archive can't be
    used.
    """
    Inputs.files("an archive that is read", archives).spare("--scenario", output)
    courses = courses_of(archives, at, shows_all=shows_all)
    clocks = Clocks.of(courses)
    shown = _chosen(courses, host)
    played = None
    if output is not None:
        played = scenarios.play(courses, clocks)
        scenarios.write(output, played, [course.source.name for course in courses])
    if as_json:
        plain = _plain(shown, clocks, courses, shows_all=shows_all, at=at)
        if played is not None:
            plain["scenario"] = played.as_json()
        click.echo(json.dumps(plain, indent=2))
    elif at is not None:
        _show_looks(shown)
    else:
        _show(shown, clocks, courses, shows_all=shows_all)
    for course in courses:
        for text in course.left.notes(course.source.name):
            note(printable(text))
    if played is not None:
        for text in played.told.notes:
            note(printable(text))
        click.echo(f"{output}: {played.sentence()}", err=as_json)
    if any(course.differences for course in shown):
        sys.exit(1)


def _chosen(courses: Sequence[Course], host: Optional[int]) -> list[Course]:
    found = [course for course in courses if host in (None, course.host_id)]
    if not found:
        ids = ", ".join(str(course.host_id) for course in courses)
        msg = f"--host {host}: no archive is of this host; there are {ids}"
        raise HeFsmError(msg)
    return found


def _events(shown: Sequence[Course], clocks: Clocks, *, shows_all: bool) -> Iterator[Event]:
    events = [event for course in shown for event in course.events(clocks)]
    for event in sorted(events, key=lambda each: each.t):
        if shows_all or event.kind not in DETAILS:
            yield event


def _show(
    shown: Sequence[Course], clocks: Clocks, courses: Sequence[Course], *, shows_all: bool
) -> None:
    for course in shown:
        click.echo(printable(_head(course)))
    for line in _clock_lines(clocks, courses):
        click.echo(line)
    click.echo()
    print_events(_events(shown, clocks, shows_all=shows_all))
    click.echo()
    for course in shown:
        for line in _verdict(course):
            click.echo(line)


def _head(course: Course) -> str:
    plain = summary(course)
    first, last = course.first, course.last
    begin = "" if first is None else time_text(first.look.seen.wall_at)
    end = "" if last is None else time_text(last.look.seen.wall_at)
    return (
        f"host {plain['host']} ({plain['hostname']}): {several(course.looks, 'decision')}, {begin}"
        f" to {end}, release {plain['program']}, policy {plain['policy']}"
    )


def _clock_lines(clocks: Clocks, courses: Sequence[Course]) -> Iterator[str]:
    """Return how the clocks of several hosts stand to that of the first one."""
    first, *others = courses
    for course in others:
        found = clocks.report(course)
        ahead_s, within_s = found["ahead_s"], found["within_s"]
        if within_s is None:
            yield (
                f"clocks: no heartbeats connect all looks of host {course.host_id} with those of"
                f" host {first.host_id}: the times there are those of their wall clocks, and may be"
                " wrong by any amount"
            )
            continue
        if abs(ahead_s) < _AGREE_S:
            how = "agree, as far as their heartbeats show"
        else:
            word = "behind" if ahead_s < 0 else "ahead"
            how = f"do not agree: that of host {course.host_id} was {abs(ahead_s):.3f} s {word}"
        yield (
            f"clocks: the wall clocks of hosts {first.host_id} and {course.host_id} {how}; the"
            f" times of host {course.host_id} below are wrong by {within_s:.3f} s at most"
        )


def _verdict(course: Course) -> Iterator[str]:
    if not course.differences:
        yield click.style(
            f"host {course.host_id}: this version decides the same, {course.looks} of"
            f" {course.looks} times",
            fg="green",
        )
        return
    count = sum(each.last - each.first + 1 for each in course.differences)
    yield click.style(
        f"host {course.host_id}: this version decides otherwise {count} of {course.looks} times",
        fg="red",
    )
    for each in course.differences:
        yield from map(printable, _difference_lines(each))


def _difference_lines(found: Difference) -> Iterator[str]:
    records = f"record {found.first}"
    if found.last > found.first:
        records = f"records {found.first} to {found.last}"
    yield f"  {records}, since {time_text(found.wall_at)}: {', '.join(found.what)}"
    yield f"    then:  {found.then}"
    yield f"    today: {found.today}"
    yield f"    from:  {json.dumps(found.inputs)}"


def _show_looks(shown: Sequence[Course]) -> None:
    for course in shown:
        if not course.looked:
            note(f"host {course.host_id} has no decision so early")
        for last, now in course.looked:
            for line in look_lines(last, now):
                click.echo(printable(line))


def _plain(
    shown: Sequence[Course],
    clocks: Clocks,
    courses: Sequence[Course],
    *,
    shows_all: bool,
    at: Optional[float],
) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "same": not any(course.differences for course in shown),
        "hosts": [summary(course) for course in shown],
        "clocks": [clocks.report(course) for course in courses],
    }
    if at is None:
        events = _events(shown, clocks, shows_all=shows_all)
        plain["events"] = [event_json(event) for event in events]
    else:
        plain["looks"] = [look_json(last, now) for course in shown for last, now in course.looked]
    return plain
