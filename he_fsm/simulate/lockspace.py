"""
sanlock as it is: host-id leases that are renewed, run out and come back; the engine's lease.

Source: sanlock's `timeouts.h` and `paxos_lease.c`, and measurements on the real daemon: a host
renews every 2 x io_timeout; after 8 x io_timeout without a renewal its own daemon kills the
holders of its leases; after 8 x io_timeout + the watchdog's time others may take them. An owner
that rejoins under the same name frees its old leases at once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Callable, Optional

from he_fsm.policy import TALK, Policy
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

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        host_id: int,
        name: str,
        clock: HostClock,
        period_s: float,
        renewed_at: float = 0.0,
        watchdog_s: float = TALK.watchdog_s,
    ) -> None:
        """Begin as one that holds its host id and renews it."""
        self.host_id = host_id
        self.name = name
        self.clock = clock
        self.period_s = period_s
        # The time of its own watchdog: sanlock counts with the waiting host's, not the owner's.
        self.watchdog_s = watchdog_s
        self.is_joined = True
        self.renews = True
        self.renewed_at = renewed_at
        self.generation = 1
        self.joined_at = -FOREVER
        # It left cleanly: its id is free, as everybody sees at once.
        self.has_left = False

    def last_renewal(self, time: float) -> float:
        """Return the time of the last renewal at or before *time*."""
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


def _ignore(_at_once: bool) -> None:
    """Tell nobody."""


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
        # How often the lease has been acquired: what sanlock counts as its version.
        self.version = 0
        self._before: Optional[Member] = None
        self._changed_at = -FOREVER
        # Called when hosts read something else from now on: at once, or as `changes_at` says.
        self.on_change: Callable[[bool], None] = _ignore

    def free_at(self, owner: Member, time: float, waiter: Member) -> float:
        """
        Return the true time at which sanlock on the *waiter* can take the leases of *owner*.

        Time in which the waiting host was suspended does not count for it.
        """
        renewed_at = owner.last_renewal(time)
        slept_s = waiter.clock.slept_s(renewed_at, time)
        return renewed_at + self._expiry_s(waiter) / waiter.clock.rate + slept_s

    def _expiry_s(self, waiter: Member) -> float:
        return self.policy.lease_kill_s + waiter.watchdog_s

    def can_join(self, member: Member, time: float) -> bool:
        """Whether nobody else holds the member's host id any more."""
        holder = self.holders.get(member.host_id)
        if holder is None or holder is member or holder.has_left:
            return True
        return not holder.renews and time >= self.free_at(holder, time, member)

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
        self.holders[member.host_id] = member
        member.generation += 1
        member.is_joined = True
        member.has_left = False
        member.joined_at = time
        member.renew_again(time)
        self.lapsed.pop(member.name, None)
        if self.owner is member:
            self.set_owner(None, time)
        self.on_change(True)
        return True

    def lapse(self, member: Member, time: float) -> None:
        """Note that a member no longer renews; others see that when it is overdue."""
        member.stop_renewing(time)
        self.lapsed[member.name] = member
        self.on_change(False)

    def resume(self, member: Member, time: float) -> None:
        """Note that a member renews again, in time."""
        member.renew_again(time)
        self.lapsed.pop(member.name, None)
        self.on_change(True)

    def leave(self, member: Member, time: float) -> None:
        """Release the host id cleanly."""
        member.stop_renewing(time)
        member.is_joined = False
        member.has_left = True
        self.lapsed[member.name] = member
        self.on_change(True)

    def set_owner(self, owner: Optional[Member], time: float) -> None:
        """Note who holds the engine's lease from *time* on."""
        # Of two changes within the latency the first is not seen: the second hides it at once.
        hides_another = time < self._changed_at + self._latency_s
        self._before = self.owner
        self._changed_at = time
        self.owner = owner
        self._owner_generation = owner.generation if owner is not None else 0
        self.version += owner is not None
        self.on_change(False)
        if hides_another or self.seen_owner(time) is owner:
            self.on_change(True)

    def owns(self, member: Member) -> bool:
        """Whether the engine's lease is this member's, by its present generation."""
        return self.owner is member and self._owner_generation == member.generation

    def seen_owner(self, time: float) -> Optional[Member]:
        """Return the owner as a reading that begins at *time* shows it."""
        return self._before if time < self._changed_at + self._latency_s else self.owner

    def can_take(self, member: Member, time: float) -> bool:
        """Whether an acquire by *member* at *time* gets the engine's lease."""
        if not (member.is_joined and member.renews):
            return False
        owner = self.owner
        if owner is None or owner is member or owner.has_left:
            return True
        return not owner.renews and time >= self.free_at(owner, time, member) - _ROUNDING_S

    def is_failing(self, owner: Member, time: float) -> bool:
        """Whether others should have seen it renew by now."""
        return not owner.renews and time > self.overdue_at(owner)

    def overdue_at(self, member: Member) -> float:
        """
        Return the time by which others should have seen a member renew that renews no more.

        They see that with their own renewals, which are as far apart.
        """
        return member.renewed_at + 2 * member.period_s + self.policy.io_timeout_s

    def dead_hosts(self, viewer: Member, time: float) -> frozenset[int]:
        """Return the host ids that the viewer's lease manager reports dead or free."""
        if not self.lapsed:
            return frozenset()
        return frozenset(
            member.host_id
            for member in self.lapsed.values()
            if self.holders.get(member.host_id) is member
            and (member.has_left or time >= self._dead_at(member, viewer, time))
        )

    def _dead_at(self, member: Member, viewer: Member, time: float) -> float:
        """
        Return when the viewer's lease manager reports a member dead that renews no more.

        The viewer counts the silence from when it joined, and not while it is suspended.
        """
        since = max(member.renewed_at, viewer.joined_at)
        expiry_s = self._expiry_s(viewer) / viewer.clock.rate
        return since + viewer.clock.slept_s(since, time) + expiry_s

    def changes_at(
        self, viewer: Member, time: float, alive: Collection[int], pending: Collection[int]
    ) -> Optional[tuple[float, bool]]:
        """
        Return when the viewer reads something else of the leases next, though nothing happens.

        Args:
            alive, pending: the hosts whose death matters to it.

        Returns:
            The time, and whether it is just after it that the viewer reads so; None: never.
        """
        seen_at = self._changed_at + self._latency_s
        if time >= seen_at and not self.lapsed:
            return None
        found: list[tuple[float, bool]] = []
        if time < seen_at:
            found.append((seen_at, False))
        owner = self.seen_owner(time)
        if owner is not None and not owner.renews and time <= self.overdue_at(owner):
            found.append((self.overdue_at(owner), True))
        for member in self.lapsed.values():
            host_id = member.host_id
            if (host_id in alive or host_id in pending) and not member.has_left:
                dead_at = self._dead_at(member, viewer, time)
                if time < dead_at:
                    found.append((dead_at, False))
        return min(found) if found else None
