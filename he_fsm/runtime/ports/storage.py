"""The storage that the hosts share, as the broker uses it."""

from __future__ import annotations

from typing import Optional, Protocol

from he_fsm.runtime.ports.leases import LeaseStatus


class Storage(Protocol):
    """
    The whiteboard, and the leases beside it.

    The storage answers each call within its deadline, and a call waits for its turn as long.
    *yields*: other calls pass first, because the agent must not wait for people who look. Raises
    `StorageError` where the storage does not answer or can't be used: it is not known then whether
    a write took place. Raises
    `LockspaceError` where the lease manager refuses.
    """

    def read(self, *, yields: bool = False) -> bytes:
        """Return all slots, as one read found them."""

    def write_slot(self, slot: int, block: bytes) -> None:
        """Write this host's own slot, which it holds the id of; on return it is on the storage."""

    def write_global(self, maintenance: bool, until: Optional[int] = None) -> None:
        """Write slot 0 under its guard; on return it is on the storage."""

    def mend_global(self, maintenance: bool, until: Optional[int] = None) -> bool:
        """Write slot 0 only if it can't be believed; return whether it was written."""

    def end_global(self, until: int) -> bool:
        """End the maintenance only if slot 0 says that it ends then; return whether it did."""

    def join(self) -> None:
        """Take this host's id, as `Leases.join`."""

    def leave(self) -> None:
        """Release this host's id, as `Leases.leave`."""

    def status(self, *, yields: bool = False) -> LeaseStatus:
        """Return who holds what, as `Leases.status`."""

    def close(self) -> None:
        """End what serves the storage; an embedded host id is given back."""
