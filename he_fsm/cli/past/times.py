"""Times of the past as people write them and as they are shown."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final, Optional

import click

from he_fsm.document.units import parse_duration

_FRACTION: Final = re.compile(r"\.(\d+)")
_FORMS: Final = "2h (so long ago), 2026-12-01 13:00, or 13:00 (today)"


def moment_of(
    _ctx: click.Context, _param: click.Parameter, value: Optional[str]
) -> Optional[float]:
    """Return the time that an option's value means (seconds since 1970); None: not given."""
    if value is None:
        return None
    now = dt.datetime.now().astimezone()
    try:
        ago_s = parse_duration(value)
    except ValueError:
        pass
    else:
        if ago_s < 0:
            msg = f"expected {_FORMS}, got {value!r}, which is still to come"
            raise click.BadParameter(msg)
        return now.timestamp() - ago_s
    try:
        return _time_of(value.strip(), now).timestamp()
    except (ValueError, OverflowError) as error:
        msg = f"expected {_FORMS}, got {value!r}"
        raise click.BadParameter(msg) from error


def _time_of(text: str, now: dt.datetime) -> dt.datetime:
    """Return a time; without a zone it is one of this machine's."""
    # Python 3.9 knows three digits or six after the point, and no Z.
    text = _FRACTION.sub(lambda match: f".{match[1]:0<6.6}", text).replace("Z", "+00:00")
    if "-" not in text:
        at = dt.time.fromisoformat(text)
        return dt.datetime.combine(now.date(), at).astimezone()
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.astimezone()


def time_text(t: float) -> str:
    """Return a time (seconds since 1970) in this machine's zone, with tenths of a second."""
    try:
        tenths = round(t * 10)
        at = dt.datetime.fromtimestamp(tenths // 10).astimezone()
    except (ValueError, OverflowError, OSError):
        # Who sent this had no clock.
        return f"{t:.1f}"
    return f"{at:%Y-%m-%d %H:%M:%S}.{tenths % 10}"


def iso_text(t: float) -> str:
    """Return a time (seconds since 1970) for programs: UTC, with milliseconds."""
    try:
        at = dt.datetime.fromtimestamp(t, dt.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return f"{t:.3f}"
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
