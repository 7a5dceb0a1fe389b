"""Reading the looks of a source, one after the other: a month of them fits no memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Optional

import attrs

from he_fsm import tick
from he_fsm.cli.past.archive import ArchiveError, Part
from he_fsm.history.book import Ask, BookError, Recorded, read
from he_fsm.history.frames import Damage
from he_fsm.history.look import Decided, Seen, Session
from he_fsm.words import several


@attrs.define
class Left:
    """What could not be read: a torn end costs the last look, damage some in the middle."""

    torn: int = 0
    damaged: int = 0
    lost: int = 0

    def notes(self, name: str) -> Iterator[str]:
        """Return a sentence for each kind."""
        if self.torn:
            yield f"{name}: {several(self.torn, 'look')} torn, as by a loss of power: left out"
        if self.damaged:
            places = several(self.damaged, "place")
            yield f"{name}: damaged at {places}: what was kept there is left out"
        if self.lost:
            yield f"{name}: {several(self.lost, 'look')} could not be kept by the agent"


def decided_today(session: Session, seen: Seen) -> Decided:
    """Decide anew from what was seen then, with the state machine of this release."""
    return Decided.of(
        tick.decide(
            seen.before, seen.facts, seen.own, seen.whiteboard, session.identity, session.policy
        )
    )


def looks_of(parts: Iterable[Part], left: Left, ask: Optional[Ask] = None) -> Iterator[Recorded]:
    """
    Return the looks in files of a ring, in order; count in *left* what can't be read.

    Raises:
        ArchiveError: a file holds what no release up to this one writes.
    """
    for part in parts:
        try:
            for found in read(part.data, ask):
                if isinstance(found, Damage):
                    if found.is_torn:
                        left.torn += 1
                    else:
                        left.damaged += 1
                else:
                    left.lost += found.lost
                    yield found
        except BookError as error:
            msg = f"{part.name}: {error}"
            raise ArchiveError(msg) from error


def since(parts: Sequence[Part], wall_at: Optional[float]) -> Sequence[Part]:
    """Return the files that can have looks from a time on: the others need not be read."""
    if wall_at is None:
        return parts
    first = 0
    for index, part in enumerate(parts):
        begin = next(looks_of([part], Left()), None)
        if begin is not None and begin.look.seen.wall_at <= wall_at:
            first = index
    return parts[first:]
