"""
Heart-beats of one side of a connection: when to send one, and when the other side is silent.

Both sides say in milliseconds what they can send and what they want (CONNECT, CONNECTED), 0 for
nothing. vdsm closes a connection as soon as it has heard nothing for the time that the client
promised, and its clock has other work: promise more than you send. Times are of any one clock,
which the caller reads.
"""

from __future__ import annotations

import re
from typing import Final, Optional

import attrs

# vdsm raises shorter intervals to this one (milliseconds).
SHORTEST_MS: Final = 1000
_HEADER: Final = re.compile(r"\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*")


def read_header(text: Optional[str]) -> tuple[int, int]:
    """Return both numbers of a `heart-beat` header, (0, 0) where it is missing or no such thing."""
    found = _HEADER.fullmatch(text or "")
    return (int(found[1]), int(found[2])) if found else (0, 0)


@attrs.define
class Heartbeats:
    """What one side does; both times 0: nothing is sent, and nobody is ever silent (seconds)."""

    send_every_s: float
    silent_after_s: float
    sent_at: float
    heard_at: float

    def sent(self, now: float) -> None:
        """Note that something was sent, whatever it was."""
        self.sent_at = now

    def heard(self, now: float) -> None:
        """Note that something came, whatever it was."""
        self.heard_at = now

    def is_due(self, now: float) -> bool:
        """Whether a heart-beat has to be sent."""
        return bool(self.send_every_s) and now >= self.sent_at + self.send_every_s

    def is_silent(self, now: float) -> bool:
        """
        Whether the other side has been silent for too long.

        Read what has come before you ask: after this process was stopped for a while, the other
        side's heart-beats are there, and unread.
        """
        return bool(self.silent_after_s) and now >= self.heard_at + self.silent_after_s

    def next_s(self, now: float, longest_s: float) -> float:
        """Return how long there is nothing to do, at most *longest_s* (seconds)."""
        ends = [longest_s]
        if self.send_every_s:
            ends.append(self.sent_at + self.send_every_s - now)
        if self.silent_after_s:
            ends.append(self.heard_at + self.silent_after_s - now)
        return max(0.0, min(ends))
