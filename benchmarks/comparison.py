"""Two builds' figures, taken in turn: how they compare, and which got worse. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

# A figure is worse when it is so by more than this part of the old one.
TOLERATED = 0.1
_HEAD = ("what", "old", "new", "new/old", "spread")


class Compared(NamedTuple):
    """One figure of two builds, each the median of several rounds."""

    what: str
    unit: str
    old: float
    new: float
    # The widest that one build's own figures are apart, as a part of their median: what noise does.
    # None: one round says nothing of it.
    spread: Optional[float]
    is_worse: bool

    @property
    def ratio(self) -> Optional[float]:
        """Return new / old; None: nothing can be divided by the old one."""
        return self.new / self.old if self.old else None

    @property
    def is_within_spread(self) -> bool:
        """Whether the rounds of one build differ as much as the two builds do."""
        return self.spread is not None and abs(self.new - self.old) <= self.spread * abs(self.old)


def compared(
    what: str, unit: str, better: str, old: Sequence[float], new: Sequence[float]
) -> Compared:
    """Compare a figure's rounds; *better* is what is better: `less`, `more` or `neither`."""
    before, after = statistics.median(old), statistics.median(new)
    is_worse = {
        "less": after > before * (1 + TOLERATED),
        "more": after < before * (1 - TOLERATED),
    }.get(better, False)
    spread = max(_spread(old), _spread(new)) if min(len(old), len(new)) > 1 else None
    return Compared(what, unit, before, after, spread, is_worse)


def table_head(width: int) -> str:
    """Return the line above the figures."""
    what, old, new, ratio, spread = _HEAD
    return f"{what:<{width}} {old:>12} {new:>12} {'':>4} {ratio:>8} {spread:>8}"


def table_line(found: Compared, width: int) -> str:
    """Return the line of one figure."""
    ratio = "-" if found.ratio is None else f"{found.ratio:.2f}"
    spread = "-" if found.spread is None else f"{found.spread:.0%}"
    line = (
        f"{found.what:<{width}} {found.old:>12.4g} {found.new:>12.4g} {found.unit:>4}"
        f" {ratio:>8} {spread:>8}"
    )
    return f"{line}  WORSE" if found.is_worse else line


def summary(found: Sequence[Compared], broken: Sequence[str]) -> Iterator[str]:
    """Say what got worse; *broken* are what the new build can't do and the old one can."""
    worse = [each for each in found if each.is_worse]
    if worse:
        yield f"worse by more than a tenth: {len(worse)} of {len(found)} figures"
        unsure = sum(each.is_within_spread for each in worse)
        if unsure:
            yield f"  {unsure} by no more than their own rounds differ: measure these again"
    else:
        yield f"none of {len(found)} figures is worse by more than a tenth"
    yield from (f"the new build can't be measured: {each}" for each in broken)


def _spread(values: Sequence[float]) -> float:
    middle = statistics.median(values)
    return (max(values) - min(values)) / abs(middle) if middle else 0.0
