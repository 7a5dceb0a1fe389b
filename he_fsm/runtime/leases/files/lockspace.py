"""
A host's part in a lockspace of one machine, without any daemon: kernel locks and small files.

    <folder>/host-<id>   the lease of a host id, locked by the process that holds it
    <folder>/engine      the engine's lease, locked by the VM's process

It keeps sanlock's rules and times (`Rules`), so that what is tried here is true there.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Optional

import attrs

from he_fsm.errors import HostIdBusyError, LockspaceError
from he_fsm.runtime.leases.files import records
from he_fsm.runtime.leases.files.engine_lease import engine_facts
from he_fsm.runtime.leases.files.records import EngineRecord, HostLease
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.snapshot import LeaseView, OwnerState


@attrs.frozen
class _Membership:
    """The host id, held: the locked file, and what was last written to it."""

    descriptor: int
    lease: HostLease


class EmbeddedLeases:
    """
    The lease of one host id; implements `ports.Leases`, and can be used from several threads.

    *name* tells two hosts apart that claim one id. Somebody has to call `renew` every
    2 x io_timeout while it is joined.
    """

    def __init__(
        self, folder: str | Path, host_id: int, name: str, io_timeout_s: float, watchdog_s: float
    ) -> None:
        self.folder = Path(folder)
        self.host_id = host_id
        self.name = name
        self.rules = Rules(io_timeout_s=io_timeout_s, watchdog_s=watchdog_s)
        self._path = records.host_path(self.folder, host_id)
        self._membership: Optional[_Membership] = None
        self._guard = threading.RLock()

    def join(self) -> None:
        """
        Take this host's id; joining twice is joining once.

        A host that comes back within 8 x io_timeout keeps its generation, and so the engine's
        lease; one that comes later, or left, gets a new one, which frees what it held.

        Raises:
            HostIdBusyError: a living host of another name holds the id.
            LockspaceError: the files can't be used, or an earlier process of this host still has
                the id.
        """
        with self._guard:
            if self.is_joined:
                return
            self._drop()
            descriptor = records.open_host(self.folder, self.host_id)
            try:
                self._membership = self._join(descriptor)
            finally:
                if self._membership is None:
                    os.close(descriptor)

    def _join(self, descriptor: int) -> _Membership:
        is_ours = records.lock(descriptor)
        before = records.read_line(descriptor, HostLease, self._path)
        now = time.monotonic()
        # safety: two hosts with one id would write one slot and share one lease.
        if before is not None and self._is_anothers(before, now, is_locked=not is_ours):
            msg = f"host id {self.host_id} is held by {before.name}; give one of the two another id"
            raise HostIdBusyError(msg, errno.EBUSY)
        if not is_ours:
            msg = f"host id {self.host_id} is still held by another process"
            raise LockspaceError(msg, errno.EAGAIN)
        if not records.is_same_file(descriptor, self._path):
            msg = f"{self._path} was removed or replaced"
            raise LockspaceError(msg)
        lease = HostLease(
            name=self.name,
            generation=self.rules.generation_after(before, self.name, now),
            renewed_at=now,
        )
        records.write_line(descriptor, lease, self._path)
        return _Membership(descriptor, lease)

    def _is_anothers(self, host: HostLease, now: float, *, is_locked: bool) -> bool:
        return host.name != self.name and (is_locked or not self.rules.is_dead(host, now))

    def renew(self) -> None:
        """
        Write that this host lives; nothing happens where the id is not held.

        Raises:
            LockspaceError: it can't be written now, and may be tried again; or the id is lost,
                because the last renewal is too old or the file was replaced: join again.
        """
        with self._guard:
            held = self._membership
            if held is None:
                return
            # Before writing: a write that takes long must not make the lease look younger.
            now = time.monotonic()
            if not self.rules.is_current(held.lease, now):
                self._drop()
                age_s = now - held.lease.renewed_at
                msg = f"host id {self.host_id} is lost: its last renewal was {age_s:.1f} s ago"
                raise LockspaceError(msg)
            if not records.is_same_file(held.descriptor, self._path):
                self._drop()
                msg = f"host id {self.host_id} is lost: {self._path} was removed or replaced"
                raise LockspaceError(msg)
            lease = attrs.evolve(held.lease, renewed_at=now)
            records.write_line(held.descriptor, lease, self._path)
            self._membership = attrs.evolve(held, lease=lease)

    def leave(self) -> None:
        """
        Release this host's id; nothing happens if the id is not held.

        Raises:
            LockspaceError: the engine runs here (errno EBUSY), or the files can't be used; the id
                is still held.
        """
        with self._guard:
            held = self._membership
            if held is None:
                return
            # safety: without the host id the VM here would lose its lease.
            if self._engine_runs_here():
                msg = f"host id {self.host_id} is in use: the engine runs here"
                raise LockspaceError(msg, errno.EBUSY)
            records.write_line(held.descriptor, attrs.evolve(held.lease, left=True), self._path)
            self._drop()

    def close(self) -> None:
        """Drop the id as the end of a process does: it is not released, and expires."""
        with self._guard:
            self._drop()

    def _drop(self) -> None:
        if self._membership is not None:
            os.close(self._membership.descriptor)
            self._membership = None

    @property
    def is_joined(self) -> bool:
        """Whether this host holds its id, by a renewal that is not too old."""
        held = self._membership
        return held is not None and self.rules.is_current(held.lease, time.monotonic())

    def status(self) -> LeaseStatus:
        """
        Read who holds what.

        Raises:
            LockspaceError: the lockspace can't be read, or the engine's lease is damaged.
        """
        with self._guard:
            record, is_locked = self._engine()
            hosts = self._hosts()
            now = time.monotonic()
            own = hosts.get(self.host_id)
            common = LeaseView(
                dead_hosts=frozenset(
                    host_id for host_id, host in hosts.items() if self.rules.is_dead(host, now)
                ),
                joined=self.is_joined,
                held_by_other=own is not None and self._is_anothers(own, now, is_locked=False),
            )
            if record is None:
                return LeaseStatus(view=common)
            return self._owned(record, common, now, is_locked=is_locked)

    def _owned(
        self, record: EngineRecord, common: LeaseView, now: float, *, is_locked: bool
    ) -> LeaseStatus:
        facts = engine_facts(self.folder, record)
        owner = facts.owner
        if not is_locked and facts.free_at(self.rules, now) <= now:
            return LeaseStatus(view=common)
        is_failing = owner is not None and self.rules.is_overdue(owner, now)
        return LeaseStatus(
            view=common._replace(
                owner=record.owner,
                owner_state=OwnerState.FAILING if is_failing else OwnerState.LIVE,
                free_at=self.rules.free_at(owner, now) if owner and is_failing else None,
            ),
            owner_generation=record.generation,
            renewed_at=None if owner is None else owner.renewed_at,
            runs_out_at=None if owner is None else self.rules.free_at(owner, now),
        )

    def _engine(self) -> tuple[Optional[EngineRecord], bool]:
        """Read the engine's lease, and whether it is locked."""
        path = self.folder / records.ENGINE_FILE
        descriptor = records.open_engine(self.folder)
        try:
            is_locked = records.is_locked(descriptor)
            record = records.read_line(descriptor, EngineRecord, path)
        finally:
            os.close(descriptor)
        if record is None and is_locked:
            msg = "the engine's lease is being taken at this moment, nobody knows by whom"
            raise LockspaceError(msg, errno.EAGAIN)
        return record, is_locked

    def _engine_runs_here(self) -> bool:
        record, is_locked = self._engine()
        return is_locked and record is not None and record.owner == self.host_id

    def _hosts(self) -> dict[int, HostLease]:
        """Read all hosts' leases; one that is damaged hides no other, and proves nobody dead."""
        hosts = {}
        for host_id in records.host_ids(self.folder):
            try:
                host = records.read_host(self.folder, host_id)
            except LockspaceError:
                continue
            if host is not None:
                hosts[host_id] = host
        return hosts
