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
# Numbers that differ by less are equal, for sums of seconds have rounding errors.
TOLERANCE: Final = 1e-6

NUMBER_PATTERN: Final = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
DURATION_PATTERN: Final = (
    rf"(?:{NUMBER_PATTERN} ?(?:ms|s|m|h|d|y) ?)*{NUMBER_PATTERN} ?(?:ms|s|m|h|d|y)?"
)
_PART: Final = re.compile(rf"({NUMBER_PATTERN})\s*(ms|s|m|h|d|y)\s*")
_COMPARISON: Final = re.compile(r"(<=|>=|!=|<|>)\s*(.*)", re.DOTALL)

# Each operator, applied to 0 and the sign (-1, 0 or 1) of the value minus the wanted number.
_OPERATORS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "!=": operator.ne,
    "==": operator.eq,
}


# Beyond this a float (53 bits) no longer holds fractions of a millisecond.
LONGEST_TEXT: Final = "10000y"
LONGEST_S: Final = 10_000 * SECONDS_IN["y"]


def parse_number(text: str) -> float:
    """
    Read a plain, finite number.

    Raises:
        ValueError: it is not a finite number.
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
        ValueError: it is not a time.
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
        # Whole milliseconds add up exactly; tenths of a second do not.
        milliseconds += float(part.group(1)) * (SECONDS_IN[part.group(2)] * 1000)
        position = part.end()
    return milliseconds / 1000 if position else None


def format_seconds(seconds: float) -> str:
    """Write seconds to the millisecond, without needless digits: `180 s`, `0.25 s`."""
    return f"{format_number(seconds)} s"


def format_number(number: float) -> str:
    """Write a number to three places, without needless digits."""
    return f"{round(number, 3):.15g}"


_LONG_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("millisecond", "msec", "msecs"), "ms"),
    **dict.fromkeys(("second", "sec", "secs"), "s"),
    **dict.fromkeys(("minute", "min", "mins"), "m"),
    **dict.fromkeys(("hour", "hr", "hrs"), "h"),
    "day": "d",
    **dict.fromkeys(("year", "yr", "yrs"), "y"),
    # A week has no letter of its own.
    "week": "7d",
}
_LONG_PART: Final = re.compile(rf"({NUMBER_PATTERN})\s*([a-zA-Z]+)\s*(?:,|and\b)?\s*")


def short_duration(text: str) -> str:
    """Return a time with its units spelt out (`1 hour`) as it has to be written; empty: unknown."""
    parts, position = [], 0
    while position < len(text.strip()):
        part = _LONG_PART.match(text.strip(), position)
        if part is None:
            return ""
        word = part.group(2).lower()
        unit = _LONG_UNITS.get(word) or _LONG_UNITS.get(word.removesuffix("s"))
        unit = unit or (word if word in SECONDS_IN else None)
        if unit is None:
            return ""
        number = part.group(1)
        parts.append(f"{7 * float(number):g}d" if unit == "7d" else f"{number}{unit}")
        position = part.end()
    return "".join(parts)


@attrs.frozen
class Comparison:
    """A condition on a number: an operator (`==`, `!=`, `<`, `<=`, `>`, `>=`) and a number."""

    operator: str
    number: float

    def holds(self, value: float, *, just_above: bool = False) -> bool:
        """
        Return whether a value meets the condition.

        Args:
            value: the value seen.
            just_above: the value is growing, and the question is about the next instant: a value
                that equals the number now is above it then.
        """
        difference = value - self.number
        if abs(difference) <= TOLERANCE:
            return _OPERATORS[self.operator](int(just_above), 0)
        return _OPERATORS[self.operator](1 if difference > 0 else -1, 0)


def parse_comparison(text: str, parse: Callable[[str], float]) -> Comparison:
    """
    Read a comparison (`<= 200s`, `!= 0`), or a bare value, which means "equal".

    Args:
        text: the comparison as written.
        parse: the parser of the value, `parse_number` or `parse_duration`.

    Raises:
        ValueError: the value can't be read.
    """
    found = _COMPARISON.fullmatch(text.strip())
    if found is None:
        return Comparison("==", parse(text))
    return Comparison(found.group(1), parse(found.group(2)))
