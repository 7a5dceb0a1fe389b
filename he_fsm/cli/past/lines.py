"""Events of the past as lines, in the words of the simulator's timeline."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from shutil import get_terminal_size
from typing import Any, Final

import click

from he_fsm.cli.output.timeline import PLAIN_WIDTH, line_of, print_line
from he_fsm.cli.past.times import iso_text, time_text
from he_fsm.report.events import Event

_TIME_WIDTH: Final = 21


def print_events(events: Iterable[Event], marks: str = "") -> None:
    """Print events, a line each (more on a narrow terminal); *marks*: stands before the time."""
    width = get_terminal_size().columns if sys.stdout.isatty() else PLAIN_WIDTH
    for event in events:
        print_line(line_of(event), width, f"{marks}{time_text(event.t)}", _TIME_WIDTH)


def event_json(event: Event) -> dict[str, Any]:
    """Return an event as a plain object; `t` in seconds since 1970."""
    host = event.host
    return {
        "at": iso_text(event.t),
        "t": round(event.t, 3),
        "host": int(host) if host is not None and host.isdecimal() else host,
        "kind": event.kind,
        **event.details,
    }


def note(text: str) -> None:
    """Say something on standard error."""
    click.echo(f"note: {text}", err=True)
