"""The leases: what keeps two VMs from executing at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Protocol

import attrs

from he_fsm.snapshot import LeaseView


@attrs.frozen(kw_only=True)
class LeasePlace:
    """
    The engine's lease as data: what a daemon that takes the lease itself has to be told.

    `manager` is the kind of leases as the configuration names it (sanlock, say). `path` and
    `offset` (bytes) are where the lease is, `lockspace` and `resource` its names.
    """

    manager: str
    lockspace: str
    resource: str
    path: str
    offset: int = 0


@attrs.frozen(kw_only=True)
class LeaseStatus:
    """
    The leases as a lease manager reports them, on the machine's monotonic clock (seconds).

    `view` is what decisions are made from. The rest is about the engine's lease's owner and for
    people; None: not known. `runs_out_at`: from when on others can take the lease, if the owner
    renews no more.
    """

    view: LeaseView
    owner_generation: Optional[int] = None
    renewed_at: Optional[float] = None
    runs_out_at: Optional[float] = None


@attrs.frozen(kw_only=True)
class LeaseSeen:
    """
    The engine's lease at one moment, for whoever answers for a daemon that takes it for a VM.

    `owner` is the host that has it and may still execute; None: anybody may take it. `free_at`:
    when a failing owner's lease can be taken (monotonic clock); None: the owner lives, or there is
    none. `version` grows by one each time that the lease is taken, by anybody. `holders` are this
    host's processes that have it, and `clients` those that the lease manager knows, by their
    numbers. `is_joined`: this host has its id, and so can take the lease.
    """

    owner: Optional[int]
    version: int
    free_at: Optional[float] = None
    holders: frozenset[int] = frozenset()
    clients: frozenset[int] = frozenset()
    is_joined: bool = True


class LeaseSight(Protocol):
    """How a process that is no part of the lease manager sees the engine's lease."""

    @property
    def place(self) -> LeasePlace:
        """The lease as data, for a daemon that takes the lease by itself when it starts the VM."""

    def seen(self) -> LeaseSeen:
        """
        Return who has the lease, as the storage and this host's lease manager say in this call.

        Takes a few seconds at most, also where the lease manager hangs. `LockspaceError`: it can't
        be found out.
        """

    def restore(self, pid: int) -> None:
        """
        Take the lease for a process that its daemon lets execute without it.

        Takes as long as `seen`. `LockspaceError`: the process does not have it, and must not
        execute.
        """


class Leases(Protocol):
    """
    A host's part in the lockspace.

    Raises `LockspaceError` (or `HostIdBusyError`) where the storage or another host is in the way.
    Calls may wait for the storage; the broker makes them where nothing else waits.
    """

    def join(self) -> None:
        """
        Take this host's id; on return it is held, and is renewed from now on.

        Joining twice is joining once. `JoinPendingError`: that takes longer than a call may; ask
        again. `HostIdBusyError`: another host has the id.
        """

    def leave(self) -> None:
        """
        Release this host's id; on return others may take it.

        Nothing happens where it is not held. `LockspaceError` with EBUSY: the engine runs here.
        """

    def status(self) -> LeaseStatus:
        """Return who holds what, as the storage said it in this call."""


class JoinedLeases(Leases, Protocol):
    """The leases as the process has them that joins: it knows without asking whether it has."""

    @property
    def is_joined(self) -> bool:
        """Whether this host holds its id at this moment; waits for nothing."""


class LeaseHolder(Protocol):
    """How a process takes the engine's lease before it becomes the VM."""

    @property
    def place(self) -> LeasePlace:
        """The lease as data, for a daemon that takes the lease by itself when it starts the VM."""

    def wrap(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """
        Return the command that takes the lease and then becomes *command*.

        This is the way of back ends whose VM is a process of their own. The command writes one JSON
        line to the descriptor *report_fd*: {"lease": "taken"} just before it becomes *command*, or
        {"lease": "held", "owner": id, "free_in": seconds or null} and exits with status 3, or
        {"lease": "error", "detail": text} and exits with status 4. There is no way to start the VM
        without the lease. The command may also say nothing and wait for an owner that is dying
        (sanlock does); a caller that does not want to wait any longer kills it.
        """


class OwnLease(Protocol):
    """
    The engine's lease in the process that has it, and keeps it for a VM that is another process.

    The lease lives as long as the last copy of the descriptor `fileno`, in whatever process, and
    this process's number is the owner's as the lease manager knows it.
    """

    def fileno(self) -> int:
        """Return the descriptor; it can be read when the lease manager has ended."""

    def take(self) -> int:
        """
        Take the lease; return its version, see `LeaseSeen`.

        Waits where the owner has failed and is not dead yet. `LeaseHeldError`: another has it.
        `LockspaceError`: it can't be had.
        """

    def note(self) -> bytes:
        """Return what the last owner has left beside the lease, once it has been taken."""

    def leave(self, note: bytes) -> None:
        """Leave a note of 256 bytes at most for the next owner; it can be read with the lease."""


class MovableLease(LeaseHolder, Protocol):
    """
    The engine's lease of VMs that move between hosts while they run.

    A process of this host has it, by its *pid*. All but the two that return commands may wait for
    the storage, and are called from a thread that may. Those raise `LockspaceError` where the lease
    manager refuses or does not answer.
    """

    def wrap_awaiting(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """
        Return the command that makes ready for `pick_up`, takes nothing, and becomes *command*.

        It writes {"lease": "awaited"} to *report_fd*, or an error as `wrap` has it. For a
        migration's receiving side, which executes nothing before `pick_up`.
        """

    def put_down(self, pid: int, target: int) -> None:
        """
        Release the process's lease for the host *target*; its VM is paused, and stays so.

        Where this raises, nobody knows whether the lease is still held: `holds`, `pick_up`.
        """

    def pick_up(self, pid: int) -> None:
        """
        Take the lease for the process: it was put down for this host, or by it.

        On return the process has it. `LockspaceError`: another has it, and this process's VM must
        not execute. Nothing happens where the process has it already.
        """

    def holds(self, pid: int) -> bool:
        """Return whether the process has the lease now."""


@attrs.frozen
class IdMark:
    """The lease of a host id that was taken and not given back; it changes with each renewal."""

    generation: int
    renewed: float


class StoredLeases(Protocol):
    """
    The leases as they stand on the storage, also where this host has not joined.

    Methods raise `LockspaceError`s. `LeaseMissingError`, `LeaseDamagedError`, `LeaseForeignError`:
    what is there is nobody's lease.
    """

    @property
    def place(self) -> str:
        """Where they are, for people: paths."""

    def host_id(self, host_id: int) -> Optional[IdMark]:
        """Return what the lease of a host id says; None: it was given back, or never taken."""

    def engine(self) -> Optional[tuple[int, int]]:
        """Return who took the engine's lease last, as host id and generation; None: it is free."""

    def rewrite(self) -> None:
        """
        Write the host ids' leases and the engine's anew, all free.

        `OldVmError`: an engine VM runs on this host.
        """
