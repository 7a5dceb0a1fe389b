"""What an agent reports to the broker after each look, for the status: one JSON object."""

from __future__ import annotations

from typing import Any, Optional

from he_fsm import tick
from he_fsm.metadata.engine import engine_words
from he_fsm.metadata.record import HostRecord
from he_fsm.runtime.agent.telling import Telling
from he_fsm.step import Step


def report_of(
    facts: tick.Facts,
    decision: Step,
    own: Optional[HostRecord],
    telling: Telling,
    *,
    endings_forget_s: float,
    **others: Any,
) -> dict[str, Any]:
    """
    Put the report together.

    Args:
        own: this host's record, if it could be published.
        endings_forget_s: see `Policy.endings_forget_s`.
        others: what the loop alone knows.
    """
    memory, now = decision.memory, facts.now
    is_forgotten = memory.has_run_well(now, endings_forget_s)
    return {
        "state": memory.state.value,
        "state_for_s": round(now - memory.since, 3),
        "why": decision.reason,
        "published": own is not None,
        "vm": facts.vm.state.value,
        "health": tick.believed_vm(facts).health.value,
        "engine": engine_words(tick.engine_status(facts.vm)),
        "alive": sorted(decision.liveness.alive),
        "pending": sorted(decision.liveness.pending),
        "placement": decision.placement.reason,
        "sees": _sees(decision, now),
        "failed_starts": 0 if is_forgotten else memory.failed.count,
        "alarms": telling.alarms(decision, now),
        "events": telling.events(now),
        **others,
    }


def _sees(decision: Step, now: float) -> dict[str, Any]:
    """Return the records that this host believes of those that it takes for alive."""
    seen = {}
    for host_id in decision.liveness.alive:
        sighting = decision.memory.sightings.get(host_id)
        if sighting is None or sighting.record is None:
            continue
        record = sighting.record
        grew_at = sighting.since if sighting.grew_at is None else sighting.grew_at
        seen[str(host_id)] = {
            "score": record.score,
            "vm": record.engine.vm,
            "hostname": record.hostname,
            "maintenance": record.local_maintenance,
            "stopped": record.stopped,
            "age_s": round(now - grew_at, 3),
        }
    return seen
