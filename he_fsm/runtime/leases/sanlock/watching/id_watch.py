"""What can be known of a host id that this host does not hold, by looking at its lease again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Optional

from he_fsm.errors import HostIdBusyError, JoinPendingError
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.daemon.command import Leader
from he_fsm.runtime.leases.sanlock.daemon.errors import HOST_ID_BUSY

_POLL_S: Final = 0.1


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


def wait_for_other(
    watch: IdWatch, look: Callable[[], Leader], own_name: str, host_id: int, wait_s: float
) -> None:
    """
    Wait until no host of another name lives on an id, so many seconds at most.

    sanlock itself would watch that host for 8 x io_timeout + watchdog before it says so. *look*
    reads the lease, and lets the *watch* see it.

    Raises:
        HostIdBusyError: a host of another name lives on it.
        JoinPendingError: whether it does is not known yet.
    """
    ends_at = time.monotonic() + wait_s
    while True:
        lease = look()
        if not watch.is_of_another(own_name) or watch.is_silent(time.monotonic()):
            return
        if watch.has_grown:
            msg = (
                f"host id {host_id} is held by {lease.name}, which lives; give one of the two"
                " another id"
            )
            raise HostIdBusyError(msg, HOST_ID_BUSY)
        if time.monotonic() >= ends_at:
            msg = (
                f"host id {host_id} was last {lease.name}'s, which did not give it back;"
                f" whether that lives is seen within {watch.silent_s:g} s"
            )
            raise JoinPendingError(msg)
        time.sleep(_POLL_S)
