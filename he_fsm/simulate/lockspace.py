"""
sanlock as it is: host-id leases that are renewed, run out and come back; the engine's lease.

Source: sanlock's `timeouts.h` and `paxos_lease.c`, and measurements on the real daemon: a host
renews every 2 x io_timeout; after 8 x io_timeout without a renewal its own daemon kills the
holders of its leases; after 8 x io_timeout + the watchdog's time others may take them. An owner
that rejoins under the same name frees its old leases at once.
"""

from __future__ import annotations

from typing import Optional

from he_fsm.policy import Policy
from he_fsm.simulate.clock import HostClock

FOREVER = float("inf")
# A host waits for a time that it knows on its own clock; converting it must not make it late.
_ROUNDING_S = 1e-6


class Member:
    """
    One host's part in the lockspace.

    `is_joined`: it holds its host id. `renews`: its daemon runs and can write. `renewed_at`: a
    renewal's time; while it renews, one of a row with period `period_s`; else the last one.
    """

    def __init__(
        self,
        host_id: int,
        name: str,
        clock: HostClock,
        period_s: float,
        renewed_at: float = 0.0,
    ) -> None:
        """Begin as one that holds its host id and renews it."""
        self.host_id = host_id
        self.name = name
        self.clock = clock
        self.period_s = period_s
        self.is_joined = True
        self.renews = True
        self.renewed_at = renewed_at
        self.generation = 1
        self.joined_at = -FOREVER
        # It left cleanly: its id is free, as everybody sees at once.
        self.has_left = False

    def last_renewal(self, time: float) -> float:
        """Give the time of the last renewal at or before *time*."""
        if not self.renews:
            return self.renewed_at
        rounds = (time - self.renewed_at) // self.period_s
        return self.renewed_at + rounds * self.period_s

    def stop_renewing(self, time: float) -> None:
        """Renewals end, for whatever reason."""
        self.renewed_at = self.last_renewal(time)
        self.renews = False

    def renew_again(self, time: float) -> None:
        """Renewals begin again, with one at once."""
        self.renewed_at = time
        self.renews = True


class Lockspace:
    """All members, and who holds the engine's lease."""

    def __init__(self, policy: Policy, latency_s: float) -> None:
        """Begin with nobody."""
        self.policy = policy
        self._latency_s = latency_s
        # Members that do not renew: the only ones whose leases can run out.
        self.lapsed: dict[str, Member] = {}
        self.holders: dict[int, Member] = {}
        self.owner: Optional[Member] = None
        self._owner_generation = 0
        self._before: Optional[Member] = None
        self._changed_at = -FOREVER
        # Counts what other hosts can see of it at once, and what they can see after the latency.
        self.changes = 0
        self.handovers = 0

    def free_at(self, owner: Member, time: float, clock: HostClock) -> float:
        """Give the true time at which a host with this *clock* can take the leases of *owner*."""
        return owner.last_renewal(time) + self.policy.lease_expiry_s / clock.rate

    def can_join(self, member: Member, time: float) -> bool:
        """Whether nobody else holds the member's host id any more."""
        holder = self.holders.get(member.host_id)
        if holder is None or holder is member or holder.has_left:
            return True
        return not holder.renews and time >= self.free_at(holder, time, member.clock)

    def join(self, member: Member, time: float) -> bool:
        """
        Take the host id; False: another host holds it.

        A new generation frees what the old one held.
        """
        if not self.can_join(member, time):
            return False
        holder = self.holders.get(member.host_id)
        if holder is not None and holder is not member:
            holder.is_joined = False
        self.changes += 1
        self.holders[member.host_id] = member
        member.generation += 1
        member.is_joined = True
        member.has_left = False
        member.joined_at = time
        member.renew_again(time)
        self.lapsed.pop(member.name, None)
        if self.owner is member:
            self.set_owner(None, time)
        return True

    def lapse(self, member: Member, time: float) -> None:
        """Note that a member no longer renews; others see that when it is overdue."""
        member.stop_renewing(time)
        self.lapsed[member.name] = member

    def resume(self, member: Member, time: float) -> None:
        """Note that a member renews again, in time."""
        self.changes += 1
        member.renew_again(time)
        self.lapsed.pop(member.name, None)

    def leave(self, member: Member, time: float) -> None:
        """Give the host id back cleanly."""
        self.changes += 1
        member.stop_renewing(time)
        member.is_joined = False
        member.has_left = True
        self.lapsed[member.name] = member

    def set_owner(self, owner: Optional[Member], time: float) -> None:
        """Note who holds the engine's lease from *time* on."""
        self.handovers += 1
        self._before = self.owner
        self._changed_at = time
        self.owner = owner
        self._owner_generation = owner.generation if owner is not None else 0

    def owns(self, member: Member) -> bool:
        """Whether the engine's lease is this member's, by its present generation."""
        return self.owner is member and self._owner_generation == member.generation

    def seen_owner(self, time: float) -> Optional[Member]:
        """Give the owner as a reading that begins at *time* shows it."""
        return self._before if time < self._changed_at + self._latency_s else self.owner

    def can_take(self, member: Member, time: float) -> bool:
        """Whether an acquire by *member* at *time* gets the engine's lease."""
        if not (member.is_joined and member.renews):
            return False
        owner = self.owner
        if owner is None or owner is member or owner.has_left:
            return True
        return not owner.renews and time >= self.free_at(owner, time, member.clock) - _ROUNDING_S

    def is_failing(self, owner: Member, time: float) -> bool:
        """Whether others should have seen it renew by now."""
        return not owner.renews and time > self.overdue_at(owner)

    def overdue_at(self, member: Member) -> float:
        """
        Give the time by which others should have seen a member renew that renews no more.

        They see that with their own renewals, which are as far apart.
        """
        return member.renewed_at + 2 * member.period_s + self.policy.io_timeout_s

    def dead_hosts(self, viewer: Member, time: float) -> frozenset[int]:
        """Give the host ids that the viewer's lease manager reports dead or free."""
        if not self.lapsed:
            return frozenset()
        expiry_s = self.policy.lease_expiry_s / viewer.clock.rate
        return frozenset(
            member.host_id
            for member in self.lapsed.values()
            if self.holders.get(member.host_id) is member
            and (member.has_left or time >= max(member.renewed_at, viewer.joined_at) + expiry_s)
        )
