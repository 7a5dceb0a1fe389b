"""
sanlock's rules of time, for leases on one machine: no I/O, no clock.

Source: sanlock's `timeouts.h`. T is the I/O timeout, W the watchdog's: a host renews every 2T; 8T
after its last renewal its own VM ends; 8T + W after it others may take what it held. All times are
on the machine's monotonic clock, which its processes share.
"""

from __future__ import annotations

from typing import Final, Optional

import attrs

from he_fsm.runtime.leases.files.records import EngineRecord, HostLease

# Longest time that a migration may leave the lease unowned.
HAND_OVER_MAX_S: Final = 60.0


@attrs.frozen(kw_only=True)
class Rules:
    """The two times that everything follows from, in seconds."""

    io_timeout_s: float
    watchdog_s: float

    @property
    def renewal_s(self) -> float:
        """How often a host renews."""
        return 2 * self.io_timeout_s

    @property
    def lost_s(self) -> float:
        """How long after its last renewal a host has lost its id, and its VM ends."""
        return 8 * self.io_timeout_s

    @property
    def expiry_s(self) -> float:
        """How long after its last renewal a host is dead to others."""
        return self.lost_s + self.watchdog_s

    def free_at(self, host: HostLease, now: float) -> float:
        """
        Return when a silent host's leases can be taken.

        A renewal in the future was written before this machine last started: nothing of that time
        is alive.
        """
        return now if host.renewed_at > now else host.renewed_at + self.expiry_s

    def is_dead(self, host: HostLease, now: float) -> bool:
        """Whether a host's id was given back or has run out."""
        return host.left or now >= self.free_at(host, now)

    def is_overdue(self, host: HostLease, now: float) -> bool:
        """Whether a renewal is late by more than one I/O timeout."""
        return not 0 <= now - host.renewed_at <= self.renewal_s + self.io_timeout_s

    def is_current(self, host: HostLease, now: float) -> bool:
        """Whether the host still has its id: what its own VM goes by."""
        return not host.left and 0 <= now - host.renewed_at < self.lost_s

    def generation_after(self, before: Optional[HostLease], name: str, now: float) -> int:
        """Return the generation of a host that joins: the same one only if it returns in time."""
        if before is None:
            return 1
        if before.name == name and self.is_current(before, now):
            return before.generation
        return before.generation + 1


@attrs.frozen(kw_only=True)
class EngineFacts:
    """
    The engine's lease as it stands, but for its lock.

    `owner`: the owner's own lease, None where its file was removed. `owner_is_held`: a process
    holds the owner's host id.
    """

    record: EngineRecord
    owner: Optional[HostLease]
    owner_is_held: bool

    def is_handed_over(self, now: float) -> bool:
        """
        Whether a migration has put the lease down and its time is not yet over.

        A time that lies too far ahead was written before this machine last started.
        """
        until = self.record.handed_until
        return until is not None and 0 < until - now <= HAND_OVER_MAX_S

    def is_released(self, rules: Rules, now: float) -> bool:
        """
        Whether an unlocked lease's last owner lets it go.

        Its host gave its id back, or joined anew; or lives on, and only the VM has ended.
        """
        if self.owner is None or self.owner.left:
            return True
        if self.owner.generation != self.record.generation:
            return True
        return self.owner_is_held and not rules.is_overdue(self.owner, now)

    def free_at(self, rules: Rules, now: float) -> float:
        """Return when an unlocked lease can be taken; at or before *now*: it can."""
        if self.owner is None or self.is_released(rules, now):
            free_at = now
        else:
            free_at = rules.free_at(self.owner, now)
        if self.record.handed_until is not None and self.is_handed_over(now):
            return max(free_at, self.record.handed_until)
        return free_at
