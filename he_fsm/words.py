"""Counts, lists of host ids and lengths of time as people say them; text without control."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_MIN_S: Final = 60
_PARTS: Final = ((31_536_000, "y"), (86_400, "d"), (3600, "h"), (_MIN_S, "min"), (1, "s"))
_UNITS: Final = ((86_400.0, "days"), (3600.0, "h"), (60.0, "min"))


def several(count: int, word: str) -> str:
    """Return a count with its noun: `1 host`, `2 hosts`."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def id_ranges(ids: Iterable[int]) -> str:
    """Return host ids with runs joined, as the scenario language writes them: `1-3, 7`."""
    runs: list[tuple[int, int]] = []
    for number in sorted(set(ids)):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def few_ranges(ids: Iterable[int], shown: int = 8) -> str:
    """Return `id_ranges`, cut after *shown* runs: a list of 2000 ids must stay one short line."""
    every = sorted(set(ids))
    runs = id_ranges(every).split(", ")
    if len(runs) <= shown:
        return ", ".join(runs)
    return f"{', '.join(runs[:shown])} and others, {len(every)} in all"


def slots_text(ids: Iterable[int]) -> str:
    """Return `slot 3` or `slots 3-5, 9`, cut where there are many."""
    every = sorted(set(ids))
    return f"slot{'' if len(every) == 1 else 's'} {few_ranges(every)}"


def hosts_text(ids: Iterable[int]) -> str:
    """Return `host 3` or `hosts 3-5, 9`, cut where there are many."""
    every = sorted(set(ids))
    return f"host{'' if len(every) == 1 else 's'} {few_ranges(every)}"


def span_text(seconds: float) -> str:
    """Return a length of time in its two largest units: `95 s`, `3 min 18 s`, `100 y`."""
    if seconds < 2 * _MIN_S:
        return f"{round(seconds, 1):g} s"
    index = next(i for i, (unit, _) in enumerate(_PARTS) if seconds >= unit)
    (unit, name), (smaller, small_name) = _PARTS[index], _PARTS[index + 1]
    # Rounded first, so that no part is as large as the unit above it.
    whole, rest = divmod(round(seconds / smaller) * smaller, unit)
    text = f"{whole} {name}"
    return text if rest < smaller else f"{text} {rest // smaller} {small_name}"


def long_text(seconds: float) -> str:
    """Return a length of time in the unit in which people would say it: `75 s`, `2 h`."""
    for unit, name in _UNITS:
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def printable(text: str) -> str:
    """Replace control characters by escapes: the content of a slot must not control a terminal."""
    if text.isprintable():
        return text
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)
