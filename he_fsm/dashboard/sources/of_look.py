"""A kept look of a host, in the form of its broker's status."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Optional, cast

import attrs

from he_fsm.errors import HeFsmError
from he_fsm.history.book import Recorded
from he_fsm.history.look import Look
from he_fsm.metadata.engine import engine_words
from he_fsm.runtime.agent.engine_seen import EngineSeen
from he_fsm.runtime.broker.status import status_of
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.step import Step
from he_fsm.tick import engine_status

_EVENTS_KEPT: Final = 20


@attrs.define
class LookReader:
    """Makes statuses of looks, which are put in one after the other."""

    _seen: EngineSeen = attrs.field(factory=EngineSeen)
    _events: deque[dict[str, Any]] = attrs.field(factory=lambda: deque(maxlen=_EVENTS_KEPT))
    _last: Optional[Recorded] = None

    def take(self, recorded: Recorded) -> None:
        """Take the next look of a host."""
        look = recorded.look
        here = engine_status(look.seen.facts.vm)
        # A kept decision has the same fields as the step that it was.
        step = cast("Step", look.decided)
        self._seen.look(step, recorded.session.identity.host_id, here, look.seen.facts.now)
        if look.decided.edge is not None:
            self._events.append(_edge(look))
        self._last = recorded

    def status(self, since_s: float = 0.0) -> dict[str, Any]:
        """
        Return the status that a broker shows so many seconds after the last look.

        Raises:
            HeFsmError: there was no look yet.
        """
        recorded = self._last
        if recorded is None:
            msg = "nothing was seen yet"
            raise HeFsmError(msg)
        seen = recorded.look.seen
        leases, can_read = seen.facts.leases, seen.whiteboard is not None
        return status_of(
            host_id=recorded.session.identity.host_id,
            whiteboard=seen.whiteboard,
            read_age_s=since_s if can_read else None,
            storage="ok" if can_read else "the whiteboard can't be read",
            leases=None if leases is None else LeaseStatus(view=leases),
            now=seen.facts.now + since_s,
            report=self._report(recorded),
            report_age_s=since_s,
            monitors=_monitors(recorded.look),
            local_maintenance=seen.facts.local_maintenance,
            local_problem="",
            counts={},
            threads={},
        )

    def _report(self, recorded: Recorded) -> dict[str, Any]:
        look, policy = recorded.look, recorded.session.policy
        seen, decided, now = look.seen, look.decided, look.seen.facts.now
        memory = decided.memory
        since = {raised.name: raised.since for raised in memory.alarms}
        forgotten = memory.has_run_well(now, policy.endings_forget_s)
        return {
            "state": memory.state.value,
            "state_for_s": round(now - memory.since, 3),
            "why": decided.reason,
            "published": seen.own is not None,
            "vm": seen.facts.vm.state.value,
            "health": seen.facts.vm.health.value,
            "engine": engine_words(engine_status(seen.facts.vm)),
            "alive": sorted(decided.liveness.alive),
            "pending": sorted(decided.liveness.pending),
            "placement": decided.placement.reason,
            "sees": _sees(look),
            "failed_starts": 0 if forgotten else memory.failed.count,
            "alarms": [
                {"name": each["name"], "text": each["text"], "for_s": now - since[each["name"]]}
                for each in decided.alarms
                if each.get("name") in since
            ],
            "events": [{**event, "age_s": round(now - event["at"], 3)} for event in self._events],
            "hostname": recorded.session.identity.hostname,
            "loop_s": policy.loop_s,
            "score": seen.score,
            "score_why": seen.score_why,
            "threads": {},
            "engine_seen": self._seen.report(now),
        }


def _edge(look: Look) -> dict[str, Any]:
    return {
        "at": look.seen.facts.now,
        "source": look.seen.before.state.value,
        "to": look.decided.memory.state.value,
        "edge": look.decided.edge,
        "why": look.decided.reason,
        "told": False,
    }


def _sees(look: Look) -> dict[str, Any]:
    now, memory = look.seen.facts.now, look.decided.memory
    found = {}
    for host_id in look.decided.liveness.alive:
        sighting = memory.sightings.get(host_id)
        if sighting is None or sighting.record is None:
            continue
        grew_at = sighting.since if sighting.grew_at is None else sighting.grew_at
        found[str(host_id)] = {
            "score": sighting.record.score,
            "vm": sighting.record.engine.vm,
            "hostname": sighting.record.hostname,
            "maintenance": sighting.record.local_maintenance,
            "stopped": sighting.record.stopped,
            "age_s": round(now - grew_at, 3),
        }
    return found


def _monitors(look: Look) -> dict[str, object]:
    readings = look.seen.facts.readings
    found: dict[str, object] = {}
    for name in ("gateway", "bridge", "mem_free", "cpu_load", "mem_load"):
        reading: Optional[Any] = getattr(readings, name, None)
        if reading is not None and reading.value is not None:
            found[name] = {"value": reading.value, "age_s": round(reading.age_s, 3), "fault": ""}
    return found
