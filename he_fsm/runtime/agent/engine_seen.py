"""Since when the engine has been as it is, as far as this agent has seen: for the status alone."""

from __future__ import annotations

from typing import Any, Optional

from he_fsm.metadata.engine import engine_condition
from he_fsm.metadata.record import EngineStatus
from he_fsm.step import Step


class EngineSeen:
    """Follows from look to look where the engine is and in which condition."""

    def __init__(self) -> None:
        """Begin without having seen it."""
        self._seen: Optional[tuple[Optional[int], str]] = None
        self._since = 0.0
        # Whether its beginning was seen; the engine was so already when this agent first looked.
        self._saw_change = False

    def look(self, decision: Step, host_id: int, here: EngineStatus, now: float) -> None:
        """
        Take what one look of host *host_id* shows; a look that sees nothing changes nothing.

        *here*: the engine VM on this host itself.
        """
        if decision.memory.is_blind:
            return
        runs_on = decision.placement.engine_on
        condition = "down"
        if runs_on is not None:
            status = here if runs_on == host_id else _status_of(runs_on, decision)
            condition = "unknown" if status is None else engine_condition(status)
        found = (runs_on, condition)
        if found != self._seen:
            self._saw_change = self._seen is not None
            self._seen, self._since = found, now

    def report(self, now: float) -> Optional[dict[str, Any]]:
        """Return host, condition and time for the report; None before the first look."""
        if self._seen is None:
            return None
        host_id, condition = self._seen
        return {
            "host": host_id,
            "condition": condition,
            "for_s": round(now - self._since, 3),
            "saw_change": self._saw_change,
        }


def _status_of(host_id: int, decision: Step) -> Optional[EngineStatus]:
    sighting = decision.memory.sightings.get(host_id)
    record = None if sighting is None else sighting.record
    return None if record is None else record.engine
