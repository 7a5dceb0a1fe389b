"""How fast commands of people are, the interpreter's start included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from table import Row
from timing import command_s

TALK_FILE = Path(__file__).resolve().parents[1] / "examples" / "talk.yaml"


def talk_file() -> Iterator[Row]:
    """Play every scenario of the talk."""
    seconds = command_s("simulate", str(TALK_FILE))
    yield Row("the talk's file, whole process", seconds, 1.5, "s")


def usage_text() -> Iterator[Row]:
    """Print the help."""
    yield Row("he-fsm --help, whole process", command_s("--help"), 0.3, "s")
