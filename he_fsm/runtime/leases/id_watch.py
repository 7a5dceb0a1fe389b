"""What can be known of a host id that this host does not hold, by looking at its lease again."""

from __future__ import annotations

from typing import Optional

from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock_daemon import Leader


class IdWatch:
    """
    Watches one host id's lease on our own clock, as sanlock does before it lets a host have one.

    The lease's timestamp is on its owner's clock: only whether it changes means anything.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.lease: Optional[Leader] = None
        self.has_grown = False
        self._changed_at = 0.0

    def look(self, lease: Leader, now: float) -> None:
        """Take note of how the lease is now."""
        before, self.lease = self.lease, lease
        if lease == before:
            # Long unchanged is as good as never seen to change.
            self.has_grown = self.has_grown and not self.is_silent(now)
            return
        is_same_owner = (
            before is not None
            and (before.name, before.generation) == (lease.name, lease.generation)
            and 0 not in (before.timestamp, lease.timestamp)
        )
        self.has_grown = is_same_owner
        self._changed_at = now

    @property
    def silent_s(self) -> float:
        """How long a lease must stay as it is for its owner not to live: two renewals and more."""
        return 2 * self._rules.renewal_s + self._rules.io_timeout_s

    def is_silent(self, now: float) -> bool:
        """Whether it has not changed for that long, or is nobody's."""
        return self._is_free or now - self._changed_at > self.silent_s

    def is_dead(self, now: float) -> bool:
        """Whether the id was given back, or its owner has been silent until it ran out."""
        lease = self.lease
        was_held = lease is not None and lease.generation > 0
        return was_held and (self._is_free or now - self._changed_at > self._rules.expiry_s)

    def is_of_another(self, own_name: str) -> bool:
        """Whether a daemon of another name took it, and did not give it back."""
        return self.lease is not None and not self._is_free and self.lease.name != own_name

    @property
    def _is_free(self) -> bool:
        return self.lease is None or self.lease.timestamp == 0
