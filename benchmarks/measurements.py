"""What is measured, by name; each is a function that yields its rows of the table."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Iterator
from typing import NamedTuple

from table import Row


class Measurement(NamedTuple):
    """
    One thing that is measured: the function of its name in a module of this folder.

    The module is imported when it is measured: an older package may lack what others need.
    """

    name: str
    module: str
    # What the table calls the first figure of the compiled build, where it shows that too.
    compiled_as: str = ""

    def rows(self) -> Iterator[Row]:
        """Measure."""
        function = self.name.replace("-", "_")
        found: Iterator[Row] = getattr(importlib.import_module(self.module), function)()
        return found


# In the order of the table.
MEASUREMENTS = {
    each.name: each
    for each in (
        Measurement("step-3", "core"),
        Measurement("step-250", "core"),
        Measurement("parse", "core"),
        Measurement("quiet-day", "simulations"),
        Measurement("year", "simulations", "  compiled"),
        Measurement("hourly", "simulations"),
        Measurement("crash-250", "simulations"),
        Measurement("busy-250", "simulations", "  compiled"),
        Measurement("what-if-250", "commands"),
        Measurement("what-if-2000", "commands"),
        Measurement("talk-file", "commands"),
        Measurement("usage-text", "commands"),
        Measurement("replay-day", "history"),
        Measurement("what-if", "pages"),
        Measurement("node-fail", "pacemaker"),
        Measurement("check-2", "scale"),
        Measurement("check-3", "scale", "  compiled"),
        Measurement("campaign", "scale", "  compiled, from 2000"),
        Measurement("precision", "scale"),
        Measurement("recoveries", "daemons"),
        Measurement("usage", "daemons"),
        Measurement("crowd", "daemons"),
        Measurement("vm-status", "daemons"),
        Measurement("dashboard", "dashboard"),
    )
}


def add_only(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what is measured."""
    names = ", ".join(MEASUREMENTS)
    parser.add_argument(
        "--only",
        action="append",
        choices=MEASUREMENTS,
        metavar="NAME",
        help=f"measure this and not all; again for more: {names}",
    )


def to_line(row: Row) -> str:
    """Return a row as a line of JSON."""
    return json.dumps(row._asdict())


def from_line(line: str) -> Row:
    """Return the row of a line of JSON."""
    return Row(**json.loads(line))
