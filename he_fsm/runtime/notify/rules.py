"""Which events are notified."""

from __future__ import annotations

import re
from typing import Callable, Optional

from he_fsm.runtime.ports import Event
from he_fsm.states.names import State
from he_fsm.states.table import TABLE

# The same event twice within this time is notified once.
DUPLICATE_S = 60.0

_FAILED_STARTS = frozenset(
    (state.value, edge.name)
    for state, edges in TABLE.items()
    for edge in edges
    if edge.counts_failed_start
)


class Rule:
    """
    Says which events are notified: all alarms, and what the decision or the administrator says.

    *transitions* is a regular expression, looked for anywhere in `From-To` whatever its case, as
    oVirt does with its `state_transition`. Failed starts and migrations that the decision tells are
    told besides. None: all that the decision tells.

    Raises:
        ValueError: *transitions* is no regular expression.
    """

    def __init__(self, transitions: Optional[str] = None) -> None:
        try:
            self._transitions = (
                None if transitions is None else re.compile(transitions, re.IGNORECASE)
            )
        except re.error as error:
            msg = f"{transitions!r} is no regular expression: {error}"
            raise ValueError(msg) from error

    def wants(self, event: Event) -> bool:
        """Return whether this event is notified."""
        if event.alarm or self._transitions is None:
            return event.notifies
        if self._transitions.search(f"{event.source}-{event.to}") is not None:
            return True
        # An alarm notifies people of a long series of them.
        return event.notifies and (is_failed_start(event) or is_migration(event))


def is_failed_start(event: Event) -> bool:
    """Say whether the edge counts a failed start."""
    return (event.source, event.edge) in _FAILED_STARTS


def is_migration(event: Event) -> bool:
    """Say whether a migration begins, ends or fails."""
    return State.ENGINE_MIGRATING_AWAY.value in (event.source, event.to)


class Duplicates:
    """Remembers what was told within the last *within_s* seconds. Not for several threads."""

    def __init__(self, clock: Callable[[], float], within_s: float = DUPLICATE_S) -> None:
        self._clock = clock
        self._within_s = within_s
        self._told: dict[tuple[object, ...], float] = {}

    def is_news(self, event: Event) -> bool:
        """Say whether it was not told lately, and take it for told."""
        now = self._clock()
        self._told = {key: at for key, at in self._told.items() if now - at < self._within_s}
        key: tuple[object, ...]
        if event.alarm:
            # An alarm is repeated on purpose, or says something new.
            key = (event.host_id, event.alarm, event.is_over, event.told, event.why)
        else:
            # The reason is left out: its numbers change although nothing else does.
            key = (event.host_id, event.source, event.to, event.edge)
        if key in self._told:
            return False
        self._told[key] = now
        return True
