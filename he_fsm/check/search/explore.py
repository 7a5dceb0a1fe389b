"""Breadth first through every state within the bounds, on one core or on all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable, Optional

from he_fsm.check.expand import Bounds
from he_fsm.check.layout import State
from he_fsm.check.search.explored import Explored, Progress
from he_fsm.check.search.team import Alone, Team, Work, garbage_sought_seldom

# States that a process is given at once: enough that asking costs little, few enough to stop soon.
_CHUNK = 400


def explore(
    explored: Explored,
    *,
    workers: int = 1,
    time_s: Optional[float] = None,
    tell: Optional[Callable[[Progress], None]] = None,
) -> None:
    """
    Go on exploring until all is explored, or the time is over.

    Args:
        workers: processes; 1 works in this one.
        time_s: seconds after which to stop; what was not expanded waits in `explored`.
        tell: called after each handful of states; a KeyboardInterrupt that it raises ends
            exploring, and leaves `explored` so that it can go on from there.
    """
    began = time.monotonic()
    with garbage_sought_seldom(), _working(explored.bounds, workers) as work:
        try:
            while not explored.is_whole:
                if not explored.level:
                    explored.level, explored.later = explored.later, []
                    explored.depth += 1
                for expansion in work.expand(explored, _chunks(explored, workers)):
                    explored.add(expansion)
                    seconds = time.monotonic() - began
                    if tell is not None:
                        tell(explored.progress(seconds))
                    if time_s is not None and seconds >= time_s:
                        work.stop(explored)
                        return
        except KeyboardInterrupt:
            work.stop(explored)
            raise
        finally:
            explored.seconds += time.monotonic() - began


def _chunks(explored: Explored, workers: int) -> Iterator[list[State]]:
    """Take states out of the level, in handfuls."""
    while explored.level:
        size = min(_CHUNK, max(1, len(explored.level) // (2 * workers)))
        chunk = explored.level[-size:]
        del explored.level[-size:]
        yield chunk


@contextmanager
def _working(bounds: Bounds, workers: int) -> Iterator[Work]:
    if workers == 1:
        yield Alone(bounds)
        return
    team = Team(bounds, workers)
    try:
        yield team
    finally:
        team.close()
