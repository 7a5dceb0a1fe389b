"""A number that somebody writes to a text file: for rehearsals, and for sites with own probes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Optional

import attrs

from he_fsm.errors import MonitorError

# No file of one number is longer; a wrong path may point at anything.
_READ_MAX_BYTES = 4096
# Local files answer at once; what takes longer hangs.
_DEADLINE_S = 5.0


@attrs.frozen
class NumberFile:
    """
    A number in the text file *path*, as it is; *place* says which, where there are several.

    true and up are 1, false and down are 0, and unknown is None. *maximum*: what is larger, or
    below 0, is refused. Whoever writes the file replaces it as a whole (write beside it, rename).
    """

    path: Path
    place: int = 0
    maximum: float = math.inf
    deadline_s: float = _DEADLINE_S

    def measure(self) -> Optional[float]:
        """
        Read the number.

        Raises:
            MonitorError: the file can't be read, or holds no such number.
        """
        try:
            return parse_number(read_text(self.path), self.place, self.maximum)
        except ValueError as error:
            msg = f"{self.path}: {error}"
            raise MonitorError(msg) from error


def read_text(path: Path) -> str:
    """
    Read a short text file.

    Raises:
        MonitorError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(_READ_MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        msg = f"{path} can't be read: {error.strerror or error}"
        raise MonitorError(msg) from error


def parse_number(text: str, place: int = 0, maximum: float = math.inf) -> Optional[float]:
    """
    Parse the number at *place* of those that white space separates, from 0 to *maximum*.

    Raises:
        ValueError: it is not there, no number, or out of range.
    """
    words = text.split()
    word = words[place] if place < len(words) else ""
    known = word.lower()
    if known in _WORDS:
        return _WORDS[known]
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    # An infinite number is none that was measured.
    if not (0.0 <= number <= maximum and math.isfinite(number)):
        limit = "" if math.isinf(maximum) else f" to {maximum:g}"
        msg = f"number {place + 1}: one from 0{limit} is expected, found {word[:40]!r}"
        raise ValueError(msg)
    return number


_WORDS = {"true": 1.0, "up": 1.0, "false": 0.0, "down": 0.0, "unknown": None}
