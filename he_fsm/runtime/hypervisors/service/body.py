"""What runs under the lease, as the warden sees it: a program, a unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.event_loop import HasFileno


class BodyError(HypervisorError):
    """It can't be started, or asked for, and why."""


@attrs.frozen
class Ending:
    """How a body ended, in words; `is_orderly`: it was told to stop, and did."""

    why: str
    is_orderly: bool


class Body(Protocol):
    """
    One program or unit, from its start to the end of its last process.

    All methods are called by one thread, and wait for 5 s at most. After a fork: nothing is opened
    before `begin`.
    """

    def begin(self) -> int:
        """
        Start it; return the number of its main process, or 0 where it is not known yet.

        Raises:
            BodyError: it can't be started; nothing of it is left.
        """

    @property
    def pid(self) -> int:
        """Return the number of its main process as it is now; 0: there is none."""

    @property
    def readers(self) -> Sequence[HasFileno]:
        """Return what can be read when something may have happened to it, once it has begun."""

    def look(self) -> Ending | None:
        """Take what has happened; return how it ended, or None while it runs."""

    def stop(self) -> None:
        """Ask it to end in order; asking twice is asking once."""

    def end(self) -> bool:
        """
        Order the end of all that is left of it, and return whether nothing was left.

        It is called again and again, until nothing is.
        """

    @property
    def is_gone(self) -> bool:
        """Whether nothing is left of it."""
