"""The part of a slot that is for people; no decision ever reads it back."""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
from collections.abc import Mapping
from typing import Final, Optional

from he_fsm.metadata.layout import RECORD_BYTES, SLOT_BYTES
from he_fsm.metadata.record import HostRecord

# Source: ovirt-hosted-engine-ha 2.5, the states' own lines.
_OVIRT_KEYS: Final = frozenset(("maintenance", "state", "stopped", "timeout"))
_DAY_S: Final = 86400
# The year 2001; a monotonic clock takes 31 years to come there.
_WALL_CLOCK_MIN: Final = 1_000_000_000
# The day number of 1970-01-01, as `date` counts days.
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
# In English whatever the locale, so that every host writes the same words.
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
# The line of the record's own timestamp, whose moment `utc_text` writes.
_WRITTEN: Final = re.compile(
    r"^timestamp=\d+ \(\w+ (?P<month>\w+) +(?P<day>\d+)"
    r" (?P<hour>\d+):(?P<minute>\d+):(?P<second>\d+) (?P<year>\d{4})\)$",
    re.MULTILINE | re.ASCII,
)


def human_text(record: HostRecord, extra: Mapping[str, str], wall_offset_s: float) -> str:
    """
    Return the lines of a slot that people read, in oVirt's order.

    Args:
        record: what the slot's first 512 bytes say.
        extra: further lines, one line of text each, sorted by key. Those that oVirt's agents write
            come first, because some programs count lines.
        wall_offset_s: seconds since 1970 (UTC) minus the writer's monotonic clock, for display.
    """
    refreshed = record.local_conf_timestamp
    # The version of a shared definition is the wall-clock time at which it was written
    # (`metadata.definition`); oVirt's agents have their own clock there, which is never so high.
    refreshed_offset_s = 0.0 if refreshed >= _WALL_CLOCK_MIN else wall_offset_s
    keys = sorted(extra, key=lambda key: (key not in _OVIRT_KEYS, key))
    own = "".join([f"{key}={extra[key]}\n" for key in keys])
    return (
        f"metadata_parse_version={record.parse_version}\n"
        f"metadata_feature_version={record.feature_version}\n"
        f"timestamp={record.timestamp} ({utc_text(record.timestamp, wall_offset_s)})\n"
        f"host-id={record.host_id}\n"
        f"score={record.score}\n"
        f"vm_conf_refresh_time={refreshed} ({utc_text(refreshed, refreshed_offset_s)})\n"
        f"conf_on_shared_storage={record.conf_on_shared_storage}\n"
        f"{own}"
    )


def utc_text(monotonic_s: float, wall_offset_s: float) -> str:
    """
    Return a moment of a monotonic clock as a date and time in UTC, in the form of C's `ctime`.

    This is the only formatter of times, and it always needs the offset: without it a monotonic
    time would be shown as a day in January 1970. A moment before year 1 or after year 9999, which
    a damaged record may hold, is shown as "unknown".
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
    """Return the parts before and after the time of day; *day* counts from 1970-01-01."""
    date = dt.date.fromordinal(_EPOCH_DAY + day)
    weekday = _WEEKDAYS[date.weekday()]
    return f"{weekday} {_MONTHS[date.month - 1]} {date.day:2d}", f"{date.year:04d}"


def told_utc_s(text: str) -> Optional[int]:
    """
    Return the wall clock's time at which he_fsm wrote a slot's text (seconds since 1970, UTC).

    None: the text tells none. oVirt's agents write the local time of a zone that they do not name,
    so the text of theirs says nothing.
    """
    found = _WRITTEN.search(text)
    if found is None or found["month"] not in _MONTHS:
        return None
    month = _MONTHS.index(found["month"]) + 1
    day, hour, minute, second = (int(found[part]) for part in ("day", "hour", "minute", "second"))
    try:
        moment = dt.datetime(
            int(found["year"]), month, day, hour, minute, second, 0, dt.timezone.utc
        )
    except ValueError:
        return None
    return int(moment.timestamp())


def shown(field: bytes) -> str:
    """Return bytes from a slot as short, plain ASCII for a message."""
    text = field[:40].decode("ascii", "backslashreplace")
    return text if field.isalnum() else ascii(text)


def decoded_text(block: bytes) -> str:
    """Return the text of a slot, with damage replaced."""
    text = block[RECORD_BYTES:SLOT_BYTES]
    end = text.find(b"\0")
    if end >= 0 and not text[end:].strip(b"\0"):
        text = text[:end]
    elif end >= 0:
        # oVirt pads by characters: after a hostname that is not ASCII its text begins too late.
        text = text.replace(b"\0", b"")
    return text.decode("utf-8", "replace")
