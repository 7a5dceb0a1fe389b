"""The status of a host and of what it sees: one JSON object, and the same for Prometheus."""

from __future__ import annotations

from typing import Any, Optional

from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.record import HostRecord, SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime.ports import LeaseStatus


def status_of(  # noqa: PLR0913 - one for each source
    *,
    host_id: int,
    whiteboard: Optional[Whiteboard],
    read_age_s: Optional[float],
    storage: str,
    leases: Optional[LeaseStatus],
    now: float,
    report: dict[str, Any],
    report_age_s: Optional[float],
    monitors: dict[str, object],
    local_maintenance: bool,
    local_problem: str,
    counts: dict[str, int],
    threads: dict[str, Any],
    local_until: Optional[int] = None,
) -> dict[str, Any]:
    """
    Put the status together; what is old says how old it is.

    Keys: host_id, storage, read_age_s, maintenance, lease, agent (its own report), monitors,
    hosts (by id: record, or problem), counts, threads (the broker's own that have failed).
    """
    slot_0 = GlobalBlock(None) if whiteboard is None else whiteboard.global_block
    return {
        "host_id": host_id,
        "storage": storage,
        "read_age_s": _rounded(read_age_s),
        "maintenance": {
            "local": local_maintenance,
            **({"local_problem": local_problem} if local_problem else {}),
            **({} if local_until is None else {"local_until": local_until}),
            "global": slot_0.maintenance,
            **({} if slot_0.until is None else {"global_until": slot_0.until}),
        },
        "lease": _lease(leases, now),
        "agent": {**report, "age_s": _rounded(report_age_s)},
        "monitors": monitors,
        "hosts": {} if whiteboard is None else _hosts(whiteboard),
        "counts": counts,
        "threads": threads,
    }


def _lease(leases: Optional[LeaseStatus], now: float) -> Optional[dict[str, Any]]:
    if leases is None:
        return None
    view = leases.view
    return {
        "owner": view.owner,
        "owner_state": view.owner_state.value,
        "generation": leases.owner_generation,
        "renewal_age_s": _rounded(None if leases.renewed_at is None else now - leases.renewed_at),
        "free_in_s": _left(view.free_at, now),
        "runs_out_in_s": _left(leases.runs_out_at, now),
        "joined": view.joined,
        "held_by_other": view.held_by_other,
        "dead_hosts": sorted(view.dead_hosts),
        "doom": view.doom,
        "doomed_for_s": _left(view.doomed_until, now),
    }


def _left(at: Optional[float], now: float) -> Optional[float]:
    return None if at is None else _rounded(max(0.0, at - now))


def _hosts(whiteboard: Whiteboard) -> dict[str, Any]:
    hosts: dict[str, Any] = {}
    for host_id, content in whiteboard.slots.items():
        if isinstance(content, SlotProblem):
            hosts[str(host_id)] = {"problem": content.word.value, "detail": content.detail}
        else:
            hosts[str(host_id)] = _host(content)
    return hosts


def _host(record: HostRecord) -> dict[str, Any]:
    return {
        "hostname": record.hostname,
        "timestamp": record.timestamp,
        "score": record.score,
        "engine": record.engine._asdict(),
        "maintenance": record.local_maintenance,
        "stopped": record.stopped,
        "text": [line for line in record.text.split("\n") if line],
    }


def _rounded(seconds: Optional[float]) -> Optional[float]:
    return None if seconds is None else round(seconds, 3)
