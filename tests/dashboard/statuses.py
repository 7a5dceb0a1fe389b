"""Statuses as a broker shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

_UP = {"vm": "up", "health": "good", "detail": "Up", "reason": None}
_DOWN = {"vm": "down", "health": "bad", "detail": "unknown", "reason": None}
_LEASE = {
    "owner_state": "live",
    "generation": 1,
    "renewal_age_s": 3.0,
    "free_in_s": None,
    "runs_out_in_s": 137.0,
    "joined": True,
    "held_by_other": False,
    "dead_hosts": [],
    "doom": "",
    "doomed_for_s": None,
}


def status(
    *,
    engine_on: Optional[int] = 1,
    hosts: Mapping[int, Mapping[str, Any]] = {1: {}, 2: {}},
    alive: Optional[Sequence[int]] = None,
    storage: str = "ok",
    events: Sequence[Mapping[str, Any]] = (),
    **agent: Any,
) -> dict[str, Any]:
    """Return the status of host 1, of a cluster that is well but for what is said."""
    living = list(hosts) if alive is None else list(alive)
    return {
        "host_id": 1,
        "storage": storage,
        "read_age_s": 0.5,
        "maintenance": {"local": False, "global": False},
        "lease": {**_LEASE, "owner": engine_on},
        "agent": {
            "state": "EngineUp" if engine_on == 1 else "EngineDown",
            "why": "the engine runs here and is well",
            "published": True,
            "alive": living,
            "pending": [],
            "placement": "the engine runs on host 1",
            "sees": {str(each): {"age_s": 4.0} for each in living if each != 1},
            "alarms": [],
            "events": list(events),
            "loop_s": 10.0,
            "threads": {},
            "age_s": 1.0,
            "engine_seen": None,
            **agent,
        },
        "monitors": {"network": {"value": 1.0, "age_s": 2.0, "fault": ""}},
        "hosts": {
            str(each): record(each, has_engine=each == engine_on, **changes)
            for each, changes in hosts.items()
        },
        "counts": {},
        "threads": {},
    }


def record(host_id: int, *, has_engine: bool = False, **changes: Any) -> dict[str, Any]:
    """Return a host as the status shows it."""
    state = changes.pop("state", "EngineUp" if has_engine else "EngineDown")
    why = changes.pop("why", "all is well")
    return {
        "hostname": f"host{host_id}",
        "timestamp": 100,
        "score": 2400,
        "engine": _UP if has_engine else _DOWN,
        "maintenance": False,
        "stopped": False,
        "text": ["timestamp=100 (x)", f"state={state}", f"score-why={why}", "mem-free=12367"],
        **changes,
    }
