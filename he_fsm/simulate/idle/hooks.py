"""What the world, and what happens in it, say to whoever skips idle time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from he_fsm.simulate.before import Before, LastLook
from he_fsm.simulate.host import SimHost


class IdleHooks:
    """Here: nobody, every look is made. `idle.skipper.Skipper` is the one who does."""

    def stir(self, host: SimHost) -> None:
        """Something on a host is not as it was."""

    def end(self, host: SimHost) -> None:
        """A host is about to be changed: leave it as its last look before now left it."""

    def end_all(self, slot: Optional[int] = None) -> None:
        """Every host is about to be changed, or the one of a *slot*."""

    def begins_with_crowd(self) -> bool:
        """Whether hosts that have run for long are to begin as a crowd (`begin_crowd`)."""
        return False

    def begin_crowd(self, before: Before, last_looks: Mapping[str, LastLook]) -> None:
        """Begin with what agents saw of each other with their last looks, by name."""

    def note_rate(self, rate: float) -> None:
        """A host's clock is to run at *rate*."""
