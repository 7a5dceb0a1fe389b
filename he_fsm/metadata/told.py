"""
The lines of a slot's text part that machines read: watchdog, policy and release of the writer.

    watchdog-fire-timeout=60 crc32:1c291ca3
    policy-fingerprint=c819fa55 crc32:6a9ce2a5
    agent-release=0.1.0 crc32:327ce01c

The first 512 bytes of a slot are oVirt's, which has no field for these. So the lines stand in the
text part, behind all that oVirt's readers look for, and each has a checksum of its own: the CRC-32
of host id, timestamp and value, joined with `|`. A line of another host, of an earlier record, or
with a damaged value is no line.

Every reader of a record reads the watchdog's time. The fingerprint (`he_fsm.metadata.policy_print`)
and the release are read only where somebody asks whether all hosts have the same.
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
_POLICY_KEY: Final = "policy-fingerprint"
_RELEASE_KEY: Final = "agent-release"
_LINES: Final = {
    _POLICY_KEY: re.compile(
        rf"^{_POLICY_KEY}=(?P<value>[0-9a-f]+) crc32:(?P<crc>[0-9a-f]{{8}})$", re.MULTILINE
    ),
    # Versions as PEP 440 writes them.
    _RELEASE_KEY: re.compile(
        rf"^{_RELEASE_KEY}=(?P<value>[0-9A-Za-z.+!-]{{1,40}}) crc32:(?P<crc>[0-9a-f]{{8}})$",
        re.MULTILINE,
    ),
}
_KEYS: Final = (_KEY, *_LINES)
_ANY_LINE: Final = re.compile(rf"^(?:{'|'.join(_KEYS)})=.*\n?", re.MULTILINE)


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


def policy_line(host_id: int, timestamp: int, policy_print: str) -> str:
    """Return the line that tells a policy's fingerprint; empty where there is none to tell."""
    return _line(_POLICY_KEY, host_id, timestamp, policy_print)


def told_policy_print(host_id: int, timestamp: int, text: str) -> Optional[str]:
    """Return the fingerprint that a slot's text tells; None: none, or damaged."""
    return _told(_POLICY_KEY, host_id, timestamp, text)


def release_line(host_id: int, timestamp: int, release: str) -> str:
    """Return the line that tells the writer's release; empty where there is none to tell."""
    return _line(_RELEASE_KEY, host_id, timestamp, release)


def told_release(host_id: int, timestamp: int, text: str) -> Optional[str]:
    """Return the release of he_fsm that a slot's text tells; None: none, or damaged."""
    return _told(_RELEASE_KEY, host_id, timestamp, text)


def without_lines(text: str) -> str:
    """Return a text without these lines, which are of the record that it was written with."""
    return _ANY_LINE.sub("", text) if any(key in text for key in _KEYS) else text


def _line(key: str, host_id: int, timestamp: int, value: str) -> str:
    return f"{key}={value} crc32:{_crc(host_id, timestamp, value)}\n" if value else ""


def _told(key: str, host_id: int, timestamp: int, text: str) -> Optional[str]:
    found = _LINES[key].search(text) if key in text else None
    if found is None or found["crc"] != _crc(host_id, timestamp, found["value"]):
        return None
    return found["value"]


def _decimal(seconds: float) -> str:
    """Return the shortest digits that read as the same number, without an exponent."""
    if seconds == int(seconds):
        return str(int(seconds))
    shortest = repr(seconds)
    return f"{seconds:f}" if "e" in shortest else shortest


def _crc(host_id: int, timestamp: int, value: str) -> str:
    return f"{zlib.crc32(f'{host_id}|{timestamp}|{value}'.encode()):08x}"
