"""What every source of a cluster can do, and what it can't."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional, Protocol

from he_fsm.policy import Policy
from he_fsm.runtime.config import Config


class Moment(NamedTuple):
    """What a status said at a time (seconds since 1970, by the clock of the host that saw it)."""

    at: float
    status: dict[str, Any]


class Source(Protocol):
    """
    Where one cluster is read. All of it may wait for I/O, so threads call it; one at a time.

    `title`: names the cluster for people. `kind`: broker, whiteboard or demo. `policy`: the
    cluster's, where it is known. `config`: this host's, if the cluster's daemons run here and may
    be asked for more than a look.
    """

    title: str
    kind: str
    policy: Optional[Policy]
    config: Optional[Config]

    def status(self) -> dict[str, Any]:
        """Return the status, in the form of `he-fsm status --json`; raises `HeFsmError`."""

    def whiteboard(self) -> bytes:
        """Return the bytes of all slots; raises `HeFsmError`."""

    def wait(self, limit_s: float) -> None:
        """Wait until something has changed, so many seconds at most; raises `HeFsmError`."""

    def past(self, since: float) -> Iterator[Moment]:
        """Return what is kept from a time on (seconds since 1970), the oldest first."""
