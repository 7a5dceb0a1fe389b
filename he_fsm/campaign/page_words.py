"""Times, fractions and estimates of a campaign, as people read them."""

from __future__ import annotations

import math
from typing import Optional

from he_fsm.campaign.results import Estimate

# From so many of a unit on, the next one reads better.
_UNITS = (
    ("s", 1.0, 120.0),
    ("min", 60.0, 120.0),
    ("h", 3600.0, 48.0),
    ("d", 86_400.0, 730.0),
    ("y", 31_536_000.0, math.inf),
)
_DIGITS_MIN, _DIGITS_MAX = 2, 7


def duration_text(seconds: float) -> str:
    """Return seconds in the unit that reads best: `92 s`, `4.5 min`, `3 h`, `12 d`."""
    for unit, length_s, limit in _UNITS:
        amount = seconds / length_s
        if abs(amount) < limit:
            return f"{number_text(amount)} {unit}"
    return f"{number_text(amount)} {unit}"


def number_text(number: float) -> str:
    """Return a number to three figures, and whole ones whole: `0.12`, `3.4`, `181`."""
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def availability_text(estimate: Estimate) -> str:
    """Return an availability as a percentage, with the digits that its interval leaves."""
    return percent_text(estimate.value, _span(estimate))


def percent_text(fraction: float, span: float) -> str:
    """Return a fraction as a percentage, to a tenth of *span* or so."""
    digits = _DIGITS_MIN if span <= 0 else math.ceil(-math.log10(span * 100)) + 1
    return f"{fraction:.{min(_DIGITS_MAX, max(_DIGITS_MIN, digits))}%}"


def _span(estimate: Estimate) -> float:
    if estimate.low is None or estimate.high is None:
        return 1 - estimate.value
    return estimate.high - estimate.low


def interval_text(estimate: Estimate) -> str:
    """Return the ends of an interval of availability."""
    if estimate.low is None or estimate.high is None:
        return "no interval: one run, or all the same"
    span = estimate.high - estimate.low
    return f"{percent_text(estimate.low, span)} to {percent_text(estimate.high, span)}"


def between_text(estimate: Estimate, text: Optional[str] = None) -> str:
    """Return a time with the ends of its interval: `12 min (10 min to 14 min)`."""
    shown = duration_text(estimate.value) if text is None else text
    if estimate.low is None or estimate.high is None:
        return shown
    return f"{shown} ({duration_text(estimate.low)} to {duration_text(estimate.high)})"
