"""What a host that has joined a lockspace of sanlock knows of the others, and of the engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Optional

import attrs

from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.daemon.command import Leader, SeenHost, Space
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.snapshot import LeaseView, OwnerState

# In I/O timeouts: how long after its last renewal a host has lost its id. Source: `Rules.lost_s`.
_LOST: Final = 8
# In I/O timeouts: a host renews, and others look for that, every two; and one for both. sanlock's
# own flag FAIL comes with the loss: until then a host that lost its power would count as living.
OVERDUE: Final = 5


@attrs.frozen(kw_only=True)
class JoinedView:
    """
    The hosts at one moment, by the second *then* of the daemon's clock.

    It began to show that second at *now* on ours (seconds). Times follow from when the daemon last
    saw each host renew, by the owner's own I/O timeout: that is what sanlock itself goes by. The
    daemon counts whole seconds and takes a lease in the second after the computed one, so nobody
    can have it earlier than is said here.
    """

    hosts: Mapping[int, SeenHost]
    space: Space
    then: int
    now: float
    rules: Rules
    clock_rate: float

    def status(self, lease: Leader) -> LeaseStatus:
        """Judge the engine's lease by how its owner is seen."""
        view = LeaseView(dead_hosts=self._dead_hosts(), joined=True)
        owner = self.hosts.get(lease.owner)
        if lease.timestamp == 0 or (owner is not None and _has_let_go(owner, lease)):
            return LeaseStatus(view=view)
        renewed_at = self._renewed_at(lease.owner, owner)
        runs_out_at = free_at = None
        if owner is not None and renewed_at is not None:
            runs_out_at = renewed_at + _LOST * owner.io_timeout / self.clock_rate
            runs_out_at += self.rules.watchdog_s
            if self._has_failed(lease.owner, owner):
                free_at = runs_out_at
        state = OwnerState.LIVE if free_at is None else OwnerState.FAILING
        return LeaseStatus(
            view=view._replace(owner=lease.owner, owner_state=state, free_at=free_at),
            owner_generation=lease.generation,
            renewed_at=renewed_at,
            runs_out_at=runs_out_at,
        )

    def _dead_hosts(self) -> frozenset[int]:
        found = {host_id for host_id, host in self.hosts.items() if self._is_dead(host)}
        return frozenset(found - {self.space.host_id})

    def _is_dead(self, host: SeenHost) -> bool:
        limit = _LOST * host.io_timeout + self.rules.watchdog_s * self.clock_rate
        return host.timestamp == 0 or self.then - host.last_live > limit

    def _has_failed(self, host_id: int, host: SeenHost) -> bool:
        is_late = self.then - host.last_live > OVERDUE * host.io_timeout
        return is_late and host_id != self.space.host_id

    def _renewed_at(self, host_id: int, host: Optional[SeenHost]) -> Optional[float]:
        if host_id == self.space.host_id:
            then = self.space.renewed_at
        elif host is None:
            return None
        else:
            then = host.last_live
        # By whole milliseconds it stays the same from look to look, and is not too early.
        return math.ceil((self.now - (self.then - then) / self.clock_rate) * 1e3) / 1e3


def _has_let_go(owner: SeenHost, lease: Leader) -> bool:
    """Whether the owner gave its id back, or joined anew after it had taken the lease."""
    return owner.timestamp == 0 or owner.generation > lease.generation
