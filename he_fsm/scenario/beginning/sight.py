"""Facts that a whiteboard does not hold: who was alive, and who held the engine's lease."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Optional

import attrs

from he_fsm.errors import ScenarioError


@attrs.frozen(kw_only=True)
class Sight:
    """
    Who was alive, and who held the engine's lease, when a whiteboard was copied.

    `alive`: host ids; None: not known. `dead`: the hosts that the lease manager reports dead.
    `owner`: who held the engine's lease; None: nobody. `owner_fails`: the owner no longer renewed
    it. `lease_left_s`: after how long others could acquire it; None: not known. `host_id`: whose
    status it is, and `state` and `state_for_s` those of its agent; `local_until`: when its local
    maintenance ends by itself (seconds since 1970), None: it does not.
    """

    alive: Optional[frozenset[int]] = None
    dead: frozenset[int] = frozenset()
    knows_lease: bool = False
    owner: Optional[int] = None
    owner_fails: bool = False
    lease_left_s: Optional[float] = None
    host_id: Optional[int] = None
    state: str = ""
    state_for_s: float = 0.0
    local_until: Optional[int] = None

    def lives(self, host_id: int) -> bool:
        """Return whether a host is assumed to be alive."""
        return self.alive is None or host_id in self.alive or self.is_failing_owner(host_id)

    def is_failing_owner(self, host_id: int) -> bool:
        """Return whether a host holds the engine's lease and no longer renews it."""
        return self.owner_fails and host_id == self.owner

    def is_known_to_live(self, host_id: int) -> bool:
        """Return whether the status shows that a host is alive, whatever its slot says."""
        return host_id == self.owner or (self.alive is not None and host_id in self.alive)


def sight_of(status: object, file_name: str) -> Sight:
    """
    Read a status: ours (`he-fsm status --json`) or oVirt's.

    Args:
        status: the decoded JSON. oVirt's `hosted-engine --vm-status --json` says nothing of leases.
        file_name: the name of the status in errors.

    Raises:
        ScenarioError: *status* is neither.
    """
    try:
        if isinstance(status, dict) and "global_maintenance" in status:
            return _of_ovirt(status)
        if isinstance(status, dict) and {"agent", "lease", "hosts"} <= set(status):
            return _of_ours(status)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        msg = f"{file_name}: a status that can't be understood ({type(error).__name__}: {error})"
        raise ScenarioError(msg) from error
    msg = (
        f"{file_name}: expected what `he-fsm status --json` or"
        " `hosted-engine --vm-status --json` prints"
    )
    raise ScenarioError(msg)


def _of_ovirt(status: Mapping[str, Any]) -> Sight:
    hosts = {int(key): host for key, host in status.items() if key != "global_maintenance"}
    return Sight(alive=frozenset(number for number, host in hosts.items() if host["live-data"]))


def _of_ours(status: Mapping[str, Any]) -> Sight:
    agent, lease = status["agent"], status["lease"]
    # Pending hosts are not known to be dead either.
    alive = [*agent["alive"], *agent.get("pending", ())] if "alive" in agent else None
    sight = Sight(alive=None if alive is None else frozenset(map(int, alive)), **_own_state(status))
    if lease is None:
        return sight
    owner, left_s = lease["owner"], lease.get("free_in_s")
    return attrs.evolve(
        sight,
        dead=frozenset(map(int, lease["dead_hosts"])),
        knows_lease=True,
        owner=None if owner is None else int(owner),
        owner_fails=lease["owner_state"] == "failing",
        lease_left_s=None if left_s is None else _seconds(left_s),
    )


def _own_state(status: Mapping[str, Any]) -> dict[str, Any]:
    agent, host_id = status["agent"], status.get("host_id")
    if host_id is None or not agent.get("state"):
        return {}
    for_s = _seconds(agent.get("state_for_s") or 0.0) + _seconds(agent.get("age_s") or 0.0)
    until = status.get("maintenance", {}).get("local_until")
    return {
        "host_id": int(host_id),
        "state": str(agent["state"]),
        "state_for_s": max(0.0, for_s),
        "local_until": None if until is None else int(until),
    }


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not math.isfinite(seconds):
        msg = f"{seconds} is no time"
        raise ValueError(msg)
    return seconds
