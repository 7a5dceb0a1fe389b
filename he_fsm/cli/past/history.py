"""`he-fsm history`: what happened to the engine, and why, as this host has kept it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import attrs
import click

from he_fsm.cli.options.common import json_option
from he_fsm.cli.options.config import config_option
from he_fsm.cli.past.archive import Part
from he_fsm.cli.past.lines import event_json, note, print_events
from he_fsm.cli.past.reading import Left, looks_of, since
from he_fsm.cli.past.times import iso_text, moment_of
from he_fsm.errors import HeFsmError
from he_fsm.history.book import Recorded
from he_fsm.report.events import Event
from he_fsm.report.recorded import DETAILS, events_of
from he_fsm.runtime.config import Config, load_config
from he_fsm.runtime.history.ring import FOLDER, ring_parts


@click.command()
@config_option
@click.option(
    "--since",
    "since_at",
    callback=moment_of,
    metavar="TIME",
    help="From this time on: 2h is two hours ago; or 2026-12-01 13:00, or 13:00 (today).",
)
@click.option(
    "--until", "until_at", callback=moment_of, metavar="TIME", help="Up to this time, as above."
)
@click.option(
    "--all", "shows_all", is_flag=True, help="Scores, readings, leases, slots and mails too."
)
@json_option
def history(
    path: Path,
    since_at: Optional[float],
    until_at: Optional[float],
    shows_all: bool,
    as_json: bool,
) -> None:
    """
    List what happened to the engine, and why, as this host has seen and decided it.

    Each agent keeps its decisions below its state folder (`history` in the configuration says how
    many). No agent has to run. Times are those of this host's wall clock.

    Exit status 2: nothing is kept here, or it can't be read.
    """
    config = load_config(path)
    course = _Course(since_at, until_at)
    left = Left()
    events = course.events(looks_of(since(_parts(config), since_at), left))
    # All is read before anything is printed: what can't be read says so alone.
    shown = [each for each in events if shows_all or each.kind not in DETAILS]
    if as_json:
        found = [event_json(each) for each in shown]
        plain = {**course.as_json(config), "left_out": attrs.asdict(left), "events": found}
        click.echo(json.dumps(plain, indent=2))
    else:
        print_events(shown)
        if course.first is None:
            note("no look lies between these times")
    for text in left.notes(str(config.state_dir / FOLDER)):
        note(text)


def _parts(config: Config) -> list[Part]:
    folder = config.state_dir / FOLDER
    parts = [Part(name=str(file), data=data) for file, data in ring_parts(folder)]
    if not parts:
        why = (
            "the configuration says history: {size: 0}"
            if not config.history.size_mib
            else "its agent has not run with this release"
        )
        msg = f"{folder}: no decisions of this host are kept there: {why}"
        raise HeFsmError(msg)
    return parts


@attrs.define
class _Course:
    """The looks between two times, and what happened in them."""

    since_at: Optional[float]
    until_at: Optional[float]
    looks: int = 0
    first: Optional[Recorded] = None
    last: Optional[Recorded] = None

    def events(self, looks: Iterator[Recorded]) -> Iterator[Event]:
        """Return what happened, in order."""
        before: Optional[Recorded] = None
        for now in looks:
            wall_at = now.look.seen.wall_at
            if self.until_at is not None and wall_at > self.until_at:
                return
            if self.since_at is None or wall_at >= self.since_at:
                self.looks += 1
                self.first = self.first or now
                self.last = now
                yield from events_of(before, now)
            before = now

    def as_json(self, config: Config) -> dict[str, Any]:
        """Return what the events are of."""
        return {
            "host": config.host.id,
            "looks": self.looks,
            "from": None if self.first is None else iso_text(self.first.look.seen.wall_at),
            "to": None if self.last is None else iso_text(self.last.look.seen.wall_at),
        }
