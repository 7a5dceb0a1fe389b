"""
Sanlock's leases as they stand on the storage, read without a daemon.

A leader record says who has a lease; the host id's own record has a time that its host renews. That
time is of the host's own clock: only whether it grows says anything here. Source: sanlock 3.8.5,
`sanlock direct read_leader`, whose answers are compared with these by a test.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.errors import LockspaceError
from he_fsm.policy import Policy
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.runtime.storage.direct_file import BLOCK_BYTES, DirectFile
from he_fsm.snapshot import LeaseView, OwnerState

_MIB: Final = 1 << 20
# Magic, version, flags, sector size, hosts, most hosts, owner, generation, version of the lease,
# lockspace, resource, time; what follows is not needed. In the byte order of the machine.
_LEADER: Final = struct.Struct("<IIIIQQQQQ48s48sQ")
_OF_HOST_ID: Final = 0x12212010
_OF_RESOURCE: Final = 0x06152010
_SECTORS: Final = (512, 4096)
# Renewals are 2 x io_timeout apart; one that is so much later has been missed (io_timeouts).
_OVERDUE: Final = 5


@attrs.frozen(kw_only=True)
class Leader:
    """What a leader record says; *timestamp* 0: the lease is free."""

    is_host_id: bool
    sector_bytes: int
    owner: int
    generation: int
    lockspace: str
    resource: str
    timestamp: int


def leader_of(sector: bytes, where: str) -> Leader:
    """
    Decode a leader record; *where*: names its place in the error.

    Raises:
        LockspaceError: there is none.
    """
    if len(sector) < _LEADER.size:
        msg = f"{where}: no lease of sanlock's: it ends there"
        raise LockspaceError(msg)
    magic, _, _, sector_bytes, _, _, owner, generation, _, space, name, timestamp = (
        _LEADER.unpack_from(sector)
    )
    if magic not in (_OF_HOST_ID, _OF_RESOURCE) or sector_bytes not in _SECTORS:
        msg = f"{where}: no lease of sanlock's is there"
        raise LockspaceError(msg)
    return Leader(
        is_host_id=magic == _OF_HOST_ID,
        sector_bytes=sector_bytes,
        owner=owner,
        generation=generation,
        lockspace=_text(space),
        resource=_text(name),
        timestamp=timestamp,
    )


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("ascii", "backslashreplace")


class LeaseArea:
    """Follows the engine's lease in a file or device, behind the host ids."""

    def __init__(
        self,
        path: Path,
        policy: Policy,
        clock: Callable[[], float] = time.monotonic,
        *,
        resource_offset: int = _MIB,
    ) -> None:
        """Read nothing yet; *policy*: how often leases are renewed, and how long they last."""
        self._path, self._policy, self._clock = path, policy, clock
        self._resource_offset = resource_offset
        # The owner's host id, generation and time, and when that was first seen; whether the time
        # was seen to grow.
        self._seen: Optional[tuple[int, int, int]] = None
        self._seen_at, self._has_grown = 0.0, False

    def status(self) -> LeaseStatus:
        """
        Read who has the engine's lease, and whether its host renews it.

        Raises:
            StorageError: it can't be read.
            LockspaceError: no leases are there.
        """
        now = self._clock()
        engine = self._leader(self._resource_offset)
        if engine.is_host_id:
            msg = f"{self._path}: host ids at {self._resource_offset}, where the engine's lease is"
            raise LockspaceError(msg)
        if not engine.timestamp or not engine.owner:
            return self._free()
        host = self._host(engine)
        if not host.timestamp or host.generation != engine.generation:
            # Its host has left, or has joined anew: nobody holds what it held before.
            return self._free()
        found = (host.owner, host.generation, host.timestamp)
        if found != self._seen:
            self._has_grown = self._seen is not None and self._seen[:2] == found[:2]
            self._seen, self._seen_at = found, now
        return self._status(engine, now)

    def _free(self) -> LeaseStatus:
        self._seen = None
        return LeaseStatus(view=LeaseView(joined=False))

    def _status(self, engine: Leader, now: float) -> LeaseStatus:
        policy = self._policy
        free_at = self._seen_at + policy.lease_kill_s + policy.watchdog_s
        is_failing = now > self._seen_at + _OVERDUE * policy.io_timeout_s
        view = LeaseView(
            joined=False,
            owner=engine.owner,
            owner_state=OwnerState.FAILING if is_failing else OwnerState.LIVE,
            free_at=free_at if is_failing else None,
        )
        return LeaseStatus(
            view=view,
            owner_generation=engine.generation,
            # What stood there at the first look may be old.
            renewed_at=self._seen_at if self._has_grown else None,
            runs_out_at=free_at if self._has_grown else None,
        )

    def _host(self, engine: Leader) -> Leader:
        host = self._leader((engine.owner - 1) * engine.sector_bytes)
        if not host.is_host_id:
            msg = f"{self._path}: no host ids are there"
            raise LockspaceError(msg)
        return host

    def _leader(self, offset: int) -> Leader:
        begin = offset // BLOCK_BYTES * BLOCK_BYTES
        data = DirectFile(self._path, begin).read_beginning(BLOCK_BYTES)
        return leader_of(data[offset - begin :], f"{self._path}, byte {offset}")
