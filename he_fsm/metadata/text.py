"""The part of a slot that is for people: nothing in it is ever read back by a machine."""

from __future__ import annotations

import datetime as dt
import functools
import math
from collections.abc import Mapping
from typing import Final

from he_fsm.metadata.record import HostRecord

_DAY_S: Final = 86400
# The day number of 1970-01-01, as `date` counts days.
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
# English whatever the locale: the same words on every host.
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


def human_text(record: HostRecord, extra: Mapping[str, str], wall_offset_s: float) -> str:
    """
    Give the lines that people read in a slot, in oVirt's order.

    Args:
        record: what the slot's first 512 bytes say.
        extra: the state's own lines, one line of text each; they are sorted by key.
        wall_offset_s: seconds since 1970 (UTC) minus the writer's monotonic clock, for display.
    """
    refreshed = record.local_conf_timestamp
    own = "".join([f"{key}={extra[key]}\n" for key in sorted(extra)])
    return (
        f"metadata_parse_version={record.parse_version}\n"
        f"metadata_feature_version={record.feature_version}\n"
        f"timestamp={record.timestamp} ({utc_text(record.timestamp, wall_offset_s)})\n"
        f"host-id={record.host_id}\n"
        f"score={record.score}\n"
        f"vm_conf_refresh_time={refreshed} ({utc_text(refreshed, wall_offset_s)})\n"
        f"conf_on_shared_storage={record.conf_on_shared_storage}\n"
        f"{own}"
    )


def utc_text(monotonic_s: float, wall_offset_s: float) -> str:
    """
    Give a moment of a monotonic clock as a date and time in UTC, in the form of C's `ctime`.

    This is the only formatter of times, and it never works without the offset: a monotonic
    time shown as it is reads as a day in January 1970. A moment before year 1 or after year
    9999, which a damaged record may claim, is shown as "unknown".
    """
    try:
        day, second = divmod(math.floor(monotonic_s + wall_offset_s), _DAY_S)
        date, year = _day_text(day)
    except (OverflowError, ValueError):
        return "unknown"
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return f"{date} {hour:02d}:{minute:02d}:{second:02d} {year}"


@functools.lru_cache(maxsize=64)
def _day_text(day: int) -> tuple[str, str]:
    """Give the parts before and after the time of day; *day* counts from 1970-01-01."""
    date = dt.date.fromordinal(_EPOCH_DAY + day)
    weekday = _WEEKDAYS[date.weekday()]
    return f"{weekday} {_MONTHS[date.month - 1]} {date.day:2d}", f"{date.year:04d}"
