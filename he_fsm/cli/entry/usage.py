"""
The help of `he-fsm`, as click would print it.

It is asked for more often than any other, by people and by shells, and click takes longer to load
than it takes to print. `tests/cli/entry/test_usage.py` holds it against click's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Final

ABOUT: Final = (
    "Keep one virtual machine running on exactly one of several hosts, and see beforehand how."
)
_OPTIONS: Final = {
    "-V, --version": "Show the version and exit.",
    "-h, --help": "Show this message and exit.",
}
# click prints no wider than this, and leaves two columns free.
_WIDTH_MIN, _WIDTH_MAX, _FREE = 50, 80, 2


def usage(lines: Mapping[str, str], columns: int) -> str:
    """Return the help for a terminal of so many columns; *lines*: each command's, by name."""
    width = max(min(columns, _WIDTH_MAX) - _FREE, _WIDTH_MIN)
    return "\n".join(
        (
            "Usage: he-fsm [OPTIONS] COMMAND [ARGS]...",
            "",
            *(f"  {line}" for line in _wrapped(ABOUT, width - 2)),
            "",
            "Options:",
            *_listed(_OPTIONS, width),
            "",
            "Commands:",
            *_listed(lines, width),
            "",
        )
    )


def columns() -> int:
    """Return how many columns the terminal has, as `shutil.get_terminal_size` finds them."""
    try:
        asked = int(os.environ.get("COLUMNS", "0"))
    except ValueError:
        asked = 0
    if asked > 0:
        return asked
    try:
        found = os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else 0
    except (AttributeError, ValueError, OSError):
        found = 0
    return found or _WIDTH_MAX


def _listed(rows: Mapping[str, str], width: int) -> Iterable[str]:
    first = max(map(len, rows)) + 2
    for name, text in rows.items():
        for index, line in enumerate(_wrapped(text, width - first - 2)):
            yield f"  {name if not index else '':<{first}}{line}"


def _wrapped(text: str, width: int) -> list[str]:
    """Return the words of a text in lines of at most so many characters."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
