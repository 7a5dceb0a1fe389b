"""Times with units, and comparisons, as people write them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Final

import attrs

SECONDS_IN: Final[Mapping[str, float]] = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "y": 365 * 86400.0,
}
# Two numbers that differ by less are the same: sums of seconds do not come out even.
TOLERANCE: Final = 1e-6

NUMBER_PATTERN: Final = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
DURATION_PATTERN: Final = (
    rf"(?:{NUMBER_PATTERN} ?(?:ms|s|m|h|d|y) ?)*{NUMBER_PATTERN} ?(?:ms|s|m|h|d|y)?"
)
_PART: Final = re.compile(rf"({NUMBER_PATTERN})\s*(ms|s|m|h|d|y)\s*")
_COMPARISON: Final = re.compile(r"(<=|>=|!=|<|>)\s*(.*)", re.DOTALL)

# What each operator says about the sign (-1, 0 or 1) of "seen less wanted".
_OPERATORS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "!=": operator.ne,
    "==": operator.eq,
}


# In a longer time, seconds have no room for parts of a millisecond (a float has 53 bits).
LONGEST_TEXT: Final = "10000y"
LONGEST_S: Final = 10_000 * SECONDS_IN["y"]


def parse_number(text: str) -> float:
    """
    Read a plain, finite number.

    Raises:
        ValueError: it is none.
    """
    number = float(text)
    if not math.isfinite(number):
        msg = f"{text} is not finite"
        raise ValueError(msg)
    return number


def parse_duration(text: str) -> float:
    """
    Read a time: `10ms`, `1h30m`, `2d`, `+5h`, `-300s`; without a unit it is in seconds.

    Returns:
        Seconds; below 0 where the text begins with `-`.

    Raises:
        ValueError: it is no time.
    """
    stripped = text.strip()
    sign = -1.0 if stripped.startswith("-") else 1.0
    body = stripped[1:] if stripped[:1] in ("+", "-") else stripped
    seconds = _sum_of_parts(body)
    return sign * (parse_number(body) if seconds is None else seconds)


def _sum_of_parts(body: str) -> float | None:
    position = 0
    milliseconds = 0.0
    while position < len(body):
        part = _PART.match(body, position)
        if part is None:
            return None
        # Whole milliseconds add up exactly, tenths of a second do not.
        milliseconds += float(part.group(1)) * (SECONDS_IN[part.group(2)] * 1000)
        position = part.end()
    return milliseconds / 1000 if position else None


def format_seconds(seconds: float) -> str:
    """Write seconds to the millisecond, without needless digits: `180 s`, `0.25 s`."""
    return f"{format_number(seconds)} s"


def format_number(number: float) -> str:
    """Write a number to three places, without needless digits."""
    return f"{round(number, 3):.15g}"


@attrs.frozen
class Comparison:
    """What a number has to be: `==`, `!=`, `<`, `<=`, `>` or `>=` and a number."""

    operator: str
    number: float

    def holds(self, value: float, *, just_above: bool = False) -> bool:
        """
        Say whether a value is as wanted.

        Args:
            value: what was seen.
            just_above: the value is growing, and we ask about the instant after this one:
                where it equals the number now, it is above it then.
        """
        difference = value - self.number
        if abs(difference) <= TOLERANCE:
            return _OPERATORS[self.operator](int(just_above), 0)
        return _OPERATORS[self.operator](1 if difference > 0 else -1, 0)


def parse_comparison(text: str, parse: Callable[[str], float]) -> Comparison:
    """
    Read a comparison (`<= 200s`, `!= 0`), or a bare value, which means "equal".

    Args:
        text: as written.
        parse: reads the value, `parse_number` or `parse_duration`.

    Raises:
        ValueError: the value can't be read.
    """
    found = _COMPARISON.fullmatch(text.strip())
    if found is None:
        return Comparison("==", parse(text))
    return Comparison(found.group(1), parse(found.group(2)))
