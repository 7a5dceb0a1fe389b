"""
The lines of a slot's text part that machines read: the watchdog's time, and the policy's print.

    watchdog-fire-timeout=60 crc32:1c291ca3
    policy-fingerprint=c819fa55 crc32:6a9ce2a5

The first 512 bytes of a slot are oVirt's, which has no field for these. So the lines stand in the
text part, behind all that oVirt's readers look for, and each has a checksum of its own: the CRC-32
of host id, timestamp and value, joined with `|`. A line of another host, of an earlier record, or
with a damaged value is no line.

Every reader of a record reads the watchdog's time; the fingerprint
(`he_fsm.metadata.policy_print`) is read only where somebody asks whether all hosts have one policy.
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
_POLICY_LINE: Final = re.compile(
    rf"^{_POLICY_KEY}=(?P<print>[0-9a-f]+) crc32:(?P<crc>[0-9a-f]{{8}})$", re.MULTILINE
)
_ANY_LINE: Final = re.compile(rf"^(?:{_KEY}|{_POLICY_KEY})=.*\n?", re.MULTILINE)


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
    if not policy_print:
        return ""
    return f"{_POLICY_KEY}={policy_print} crc32:{_crc(host_id, timestamp, policy_print)}\n"


def told_policy_print(host_id: int, timestamp: int, text: str) -> Optional[str]:
    """Return the fingerprint that a slot's text tells; None: none, or damaged."""
    found = _POLICY_LINE.search(text) if _POLICY_KEY in text else None
    if found is None or found["crc"] != _crc(host_id, timestamp, found["print"]):
        return None
    return found["print"]


def without_lines(text: str) -> str:
    """Return a text without these lines, which are of the record that it was written with."""
    return _ANY_LINE.sub("", text) if _KEY in text or _POLICY_KEY in text else text


def _decimal(seconds: float) -> str:
    """Return the shortest digits that read as the same number, without an exponent."""
    if seconds == int(seconds):
        return str(int(seconds))
    shortest = repr(seconds)
    return f"{seconds:f}" if "e" in shortest else shortest


def _crc(host_id: int, timestamp: int, value: str) -> str:
    return f"{zlib.crc32(f'{host_id}|{timestamp}|{value}'.encode()):08x}"
