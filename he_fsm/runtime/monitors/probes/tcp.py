"""Whether an address accepts a TCP connection."""

from __future__ import annotations

import socket

import attrs


@attrs.frozen
class Tcp:
    """A TCP connection to *address* and *port*, made within *timeout_s*."""

    address: str
    port: int
    timeout_s: float = 2.0

    @property
    def longest_s(self) -> float:
        """One time-out."""
        return self.timeout_s

    def is_answered(self) -> bool:
        """Connect once, and close."""
        try:
            with socket.create_connection((self.address, self.port), self.timeout_s):
                return True
        except OSError:
            return False
