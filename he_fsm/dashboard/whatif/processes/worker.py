"""
A process that answers what-if questions, one after the other.

It reads a question from each line of its standard input, and writes each answer as a line. An empty
line means that nobody waits any more: the answer ends with the runs so far. Simulations compute
for long; in the server's own process they would hold up everything else.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from typing import Final

from he_fsm.dashboard.whatif.asking import reply

# After so long no further run is begun (seconds).
ENOUGH_S: Final = 8.0
# A scenario of 250 hosts takes half of it. Two processes and the server have to fit the memory that
# he-fsm-dashboard.service may take.
MEMORY_BYTES_MAX: Final = 192 << 20
_PART_BYTES: Final = 1 << 16


class Inbox:
    """The lines that come; whether another one has come is known without waiting."""

    def __init__(self, descriptor: int) -> None:
        """Begin with nothing."""
        self._descriptor = descriptor
        self._data = b""

    def next(self) -> bytes | None:
        """Wait for a line that says something; None: no more come."""
        while True:
            line, found, rest = self._data.partition(b"\n")
            if found:
                self._data = rest
                if line:
                    return line
                continue
            part = os.read(self._descriptor, _PART_BYTES)
            if not part:
                return None
            self._data += part

    def has_more(self) -> bool:
        """Whether something has come, or the other end is gone."""
        if self._data:
            return True
        readable, _, _ = select.select([self._descriptor], [], [], 0)
        return bool(readable)


def main() -> None:
    """Answer until the standard input ends."""
    # Ctrl-C is for the server, which ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    inbox = Inbox(sys.stdin.fileno())
    while (line := inbox.next()) is not None:
        stops_at = time.monotonic() + ENOUGH_S
        found = reply(
            json.loads(line),
            goes_on=lambda: not inbox.has_more() and time.monotonic() < stops_at,  # noqa: B023 - called at once
        )
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
