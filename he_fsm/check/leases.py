"""What a host's lease manager shows: in the checker's numbers, and in the agent's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from he_fsm.check.memories import now_of
from he_fsm.check.scale import LOOP_S, loops
from he_fsm.policy import Policy
from he_fsm.snapshot import LeaseView, OwnerState

_JOINED = LeaseView()


class Lease(NamedTuple):
    """
    What one host's lease manager shows, in numbers.

    `left`: loops until the lease expires. `doomed`: loops until the watchdog resets the host.
    """

    joined: bool
    owner: int
    fails: bool
    left: int
    dead: tuple[int, ...]
    doomed: int = 0


class LeaseTimes:
    """
    The leases' times in loops, for hosts with their policies.

    `expiries`: of each host, after how many loops its sanlock takes another's lease, whoever has
    it. `kills`: the latest time at which sanlock kills, after the polite kill and the grace.
    """

    def __init__(self, policies: Sequence[Policy]) -> None:
        """Compute them."""
        self.expiries = [loops(each.lease_expiry_s) for each in policies]
        self.expiry_max = max(self.expiries)
        self.kills = [loops(each.lease_kill_s + each.kill_grace_s) for each in policies]
        # After so many loops others miss a renewal (he_fsm.simulate.lockspace).
        self._overdue = int(5 * policies[0].io_timeout_s // LOOP_S) + 1

    def lease(self, host: int, owner: int, lapses: tuple[int, ...], doomed: int) -> Lease:
        """Return what a host's lease manager shows; *lapses*: of each host, since its renewal."""
        if lapses[host]:
            return Lease(joined=False, owner=0, fails=False, left=0, dead=(), doomed=doomed)
        dead = tuple(
            other
            for other, lapse in enumerate(lapses, start=1)
            if lapse > self.expiries[host] and other != host + 1
        )
        fails, left = False, 0
        if owner:
            lapse = lapses[owner - 1]
            if lapse > self._overdue:
                # The time stays as it is when it has passed: others may wait for longer.
                longest = self.expiries[host] - self.expiry_max
                fails, left = True, max(longest, self.expiries[host] + 1 - lapse)
        return Lease(joined=True, owner=owner, fails=fails, left=left, dead=dead, doomed=doomed)


def view_of(host_id: int, lease: Lease) -> LeaseView:
    """Return the lease in the form that a host's agent reads."""
    state = OwnerState.FREE
    if lease.owner:
        state = OwnerState.FAILING if lease.fails else OwnerState.LIVE
    now = now_of(host_id)
    return LeaseView(
        owner=lease.owner or None,
        owner_state=state,
        free_at=now + lease.left * LOOP_S if lease.fails else None,
        dead_hosts=frozenset(lease.dead),
        joined=lease.joined,
        doomed_until=now + lease.doomed * LOOP_S if lease.doomed else None,
        doom="its watchdog is about to reset this host" if lease.doomed else "",
    )


def view_of_writer(host_id: int, doomed: int) -> LeaseView:
    """Return the parts of a view that affect a record; a host that writes has its host id."""
    if not doomed:
        return _JOINED
    return view_of(host_id, Lease(True, 0, fails=False, left=0, dead=(), doomed=doomed))
