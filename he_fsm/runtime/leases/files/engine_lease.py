"""
The engine's lease on one machine: a lock that the VM's process inherits, and a line of who has it.

The lock is what makes a second VM impossible: the kernel lets it go with the last process that has
it open, and not before. The line adds what a lock can't know: that the lease of a host that died
is not free at once, as sanlock would have it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import NoReturn, Optional, Union

import attrs

from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.files import records
from he_fsm.runtime.leases.files.records import EngineRecord, HostLease
from he_fsm.runtime.leases.rules import HAND_OVER_MAX_S, EngineFacts, Rules


@attrs.frozen
class Taken:
    """The lease is ours as long as a process has *descriptor* open (it is not inheritable yet)."""

    descriptor: int
    generation: int


@attrs.frozen
class Held:
    """
    The lease is another's; `owner` None: somebody is taking it this very moment.

    `free_in`: seconds until it can be taken; None: not known, its VM runs.
    """

    owner: Optional[int]
    free_in: Optional[float]


class EngineLease:
    """
    The engine's lease as the processes of one host take it.

    *folder* is the lockspace's, the times are in seconds as in `Rules`.
    """

    def __init__(
        self, folder: str | Path, host_id: int, *, io_timeout_s: float, watchdog_s: float
    ) -> None:
        self.folder = Path(folder)
        self.host_id = host_id
        self._rules = Rules(io_timeout_s=io_timeout_s, watchdog_s=watchdog_s)
        self._path = self.folder / records.ENGINE_FILE

    def take(self) -> Union[Taken, Held]:
        """
        Take the lease if it is free.

        Raises:
            LockspaceError: this host has not joined, or the lockspace can't be read.
        """
        descriptor = records.open_engine(self.folder)
        try:
            answer = self.take_on(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if isinstance(answer, Held):
            os.close(descriptor)
        return answer

    def take_on(self, descriptor: int) -> Union[Taken, Held]:
        """Take the lease as `take` does, on the engine's file as it is open already."""
        answer: Optional[Union[Taken, Held]] = None
        try:
            answer = self._take(descriptor)
        finally:
            if not isinstance(answer, Taken):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        return answer

    def _take(self, descriptor: int) -> Union[Taken, Held]:
        if not records.lock(descriptor):
            return self._held(descriptor)
        own = self._current(self.host_id)
        record = self._locked_record(descriptor)
        now = time.monotonic()
        if record is not None and record.owner != self.host_id:
            free_at = self._facts(record).free_at(self._rules, now)
            # safety: nobody takes the lease of a host that may still come back to it.
            if free_at > now:
                return Held(record.owner, free_at - now)
        self._write(descriptor, EngineRecord(owner=self.host_id, generation=own.generation))
        return Taken(descriptor, own.generation)

    def _held(self, descriptor: int) -> Held:
        record = records.read_line(descriptor, EngineRecord, self._path)
        if record is None:
            return Held(None, None)
        facts = self._facts(record)
        now = time.monotonic()
        if facts.owner is None or not self._rules.is_overdue(facts.owner, now):
            return Held(record.owner, None)
        # A process that outlives this moment holds the lock for longer, nobody knows how long.
        wait_s = self._rules.free_at(facts.owner, now) - now
        return Held(record.owner, wait_s if wait_s > 0 else None)

    def hand_over(self, descriptor: int, target: int, within_s: float) -> None:
        """
        Put the lease down for the host *target* to pick up; until then nobody else can take it.

        If the target has not picked it up within so many seconds, it is anybody's; this host may
        `pick_up` again before. The descriptor stays open and holds nothing any more.

        Raises:
            LockspaceError: the target has not joined, or the lockspace can't be written; the
                lease is still held then.
            ValueError: the time is not above 0, or above `HAND_OVER_MAX_S`.
        """
        if not 0 < within_s <= HAND_OVER_MAX_S:
            msg = f"a lease is handed over within 0 to {HAND_OVER_MAX_S:g} s, got {within_s}"
            raise ValueError(msg)
        generation = self._current(target).generation
        until = time.monotonic() + within_s
        self._write(
            descriptor,
            EngineRecord(
                owner=target,
                generation=generation,
                handed_by=self.host_id,
                handed_until=until,
            ),
        )
        # safety: the caller's VM executes no more; from here on the target's may.
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def pick_up(self, within_s: float) -> Taken:
        """
        Take the lease that another host hands over to this one, or that this one handed over.

        Waits for it, at most so many seconds.

        Raises:
            LockspaceError: nobody handed it to this host in that time, or it was taken by another.
        """
        descriptor = records.open_engine(self.folder)
        try:
            return self.pick_up_on(descriptor, within_s)
        except BaseException:
            os.close(descriptor)
            raise

    def pick_up_on(self, descriptor: int, within_s: float) -> Taken:
        """Take the lease as `pick_up` does, on the engine's file as it is open already."""
        if not records.lock(descriptor, within_s):
            self._refuse(f"is not handed over to host {self.host_id} yet", errno.ETIMEDOUT)
        try:
            return self._pick_up(descriptor)
        except BaseException:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            raise

    def _pick_up(self, descriptor: int) -> Taken:
        own = self._current(self.host_id)
        record = self._locked_record(descriptor)
        now = time.monotonic()
        if (
            record is None
            or self.host_id not in {record.owner, record.handed_by}
            or not self._facts(record).is_handed_over(now)
        ):
            self._refuse(f"was not handed over to host {self.host_id}, or too long ago")
        self._write(descriptor, EngineRecord(owner=self.host_id, generation=own.generation))
        return Taken(descriptor, own.generation)

    def _refuse(self, why: str, number: Optional[int] = None) -> NoReturn:
        msg = f"the engine's lease {why}"
        raise LockspaceError(msg, number)

    def _current(self, host_id: int) -> HostLease:
        host = records.read_host(self.folder, host_id)
        if host is None or not self._rules.is_current(host, time.monotonic()):
            msg = f"host {host_id} has not joined the lockspace {self.folder}"
            raise LockspaceError(msg, errno.ENOSPC)
        return host

    def _locked_record(self, descriptor: int) -> Optional[EngineRecord]:
        """Read the record under the lock, which must be on the file that everybody else sees."""
        if not records.is_same_file(descriptor, self._path):
            self._refuse(f"was removed or replaced: {self._path}")
        return records.read_line(descriptor, EngineRecord, self._path)

    def _facts(self, record: EngineRecord) -> EngineFacts:
        return engine_facts(self.folder, record)

    def _write(self, descriptor: int, record: EngineRecord) -> None:
        records.write_line(descriptor, record, self._path)


def engine_facts(folder: Path, record: EngineRecord) -> EngineFacts:
    """Read what there is to know of the owner that a record names."""
    return EngineFacts(
        record=record,
        owner=records.read_host(folder, record.owner),
        owner_is_held=records.host_is_held(folder, record.owner),
    )
