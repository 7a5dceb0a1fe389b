"""
The one line of a slot's text part that machines read: the watchdog's time of its host.

    watchdog-fire-timeout=60 crc32:1c291ca3

The first 512 bytes of a slot are oVirt's, which has no field for this. So the line stands in the
text part, behind all that oVirt's readers look for, and has a checksum of its own: the CRC-32 of
host id, timestamp and time, joined with `|`. A line of another host, of an earlier record, or with
a damaged number is no line.
"""

from __future__ import annotations

import math
import re
import zlib
from typing import Final, Optional

_KEY: Final = "watchdog-fire-timeout"
_LINE: Final = re.compile(
    rf"^{_KEY}=(?P<seconds>[0-9]+(\.[0-9]+)?) crc32:(?P<crc>[0-9a-f]{{8}})$", re.MULTILINE
)
_ANY_LINE: Final = re.compile(rf"^{_KEY}=.*\n?", re.MULTILINE)


def watchdog_line(host_id: int, timestamp: int, watchdog_s: Optional[float]) -> str:
    """Return the line that tells the watchdog's time; empty where nothing is to be told."""
    if watchdog_s is None or not math.isfinite(watchdog_s) or watchdog_s <= 0:
        return ""
    seconds = _decimal(watchdog_s)
    return f"{_KEY}={seconds} crc32:{_crc(host_id, timestamp, seconds)}\n"


def told_watchdog_s(host_id: int, timestamp: int, text: str) -> Optional[float]:
    """Return the watchdog's time that a slot's text tells (seconds); None: none, or damaged."""
    found = _LINE.search(text) if _KEY in text else None
    if found is None or found["crc"] != _crc(host_id, timestamp, found["seconds"]):
        return None
    seconds = float(found["seconds"])
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def without_line(text: str) -> str:
    """Return a text without that line, which is of the record that it was written with."""
    return _ANY_LINE.sub("", text) if _KEY in text else text


def _decimal(seconds: float) -> str:
    """Return the shortest digits that read as the same number, without an exponent."""
    if seconds == int(seconds):
        return str(int(seconds))
    shortest = repr(seconds)
    return f"{seconds:f}" if "e" in shortest else shortest


def _crc(host_id: int, timestamp: int, seconds: str) -> str:
    return f"{zlib.crc32(f'{host_id}|{timestamp}|{seconds}'.encode()):08x}"
