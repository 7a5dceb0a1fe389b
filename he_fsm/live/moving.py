"""Where the engine can be moved to, as this host sees the cluster, and why not elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from he_fsm.errors import HypervisorError
from he_fsm.live.verdict import verdict_of
from he_fsm.policy import Policy
from he_fsm.words import span_text


def target_of(status: Mapping[str, Any], wanted: Optional[int], policy: Policy) -> int:
    """
    Return where the engine is to go; *wanted* None: to the best other host.

    Raises:
        HypervisorError: it can't be moved there, or from here, and why.
    """
    here, runs_on = status["host_id"], verdict_of(status).engine_on
    if runs_on is None:
        msg = f"nothing moves: {verdict_of(status).line}"
        raise HypervisorError(msg)
    if runs_on != here:
        msg = f"the engine is on host {runs_on}: run this command there"
        raise HypervisorError(msg)
    fit = {
        int(host_id): plain["score"]
        for host_id, plain in status["hosts"].items()
        if int(host_id) != here and not why_not(status, int(host_id), policy)
    }
    if wanted is None:
        if not fit:
            msg = "there is no other host that could take the engine (he-fsm status)"
            raise HypervisorError(msg)
        return min(fit, key=lambda host_id: (-fit[host_id], host_id))
    if wanted == here:
        msg = f"the engine is on host {here} already"
        raise HypervisorError(msg)
    if wanted not in fit:
        msg = f"host {wanted} can't take the engine: {why_not(status, wanted, policy)}"
        raise HypervisorError(msg)
    return wanted


def why_not(status: Mapping[str, Any], host_id: int, policy: Policy) -> str:
    """Return why a host is no target; empty: it may be one."""
    plain = status["hosts"].get(str(host_id))
    if plain is None:
        return "it has no slot on the whiteboard"
    if "problem" in plain:
        return f"its slot can't be believed: {plain['detail']}"
    if host_id not in status["agent"].get("alive", ()):
        return "it is not alive, as this host sees it"
    if plain["maintenance"]:
        return "it is in local maintenance"
    if not 0 < plain["score"] <= policy.score_max:
        return f"its score is {plain['score']}"
    return ""


def moves_back(status: Mapping[str, Any], to: int, policy: Policy) -> str:
    """Return when the agents will move the engine back, and why; empty: they won't."""
    own = status["hosts"].get(str(status["host_id"]), {}).get("score", 0)
    worse_by = own - status["hosts"][str(to)]["score"]
    if worse_by < policy.migration_threshold:
        return ""
    return (
        f"host {to} is worse by {worse_by}: the engine moves back after"
        f" {span_text(policy.migration_hold_s)}, unless global maintenance is on"
    )
