"""What the agent's loop needs of the world, as protocols; every adapter implements one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Optional, Protocol

import attrs

from he_fsm.snapshot import LeaseView, LocalVm, Readings, Result


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


class Leases(Protocol):
    """
    A host's part in the lockspace.

    Raises `LockspaceError` (or `HostIdBusyError`) where the storage or another host is in the way.
    """

    def join(self) -> None:
        """
        Take this host's id; joining twice is joining once.

        `JoinPendingError`: that takes longer than a call may; ask again.
        """

    def leave(self) -> None:
        """Give this host's id back; nothing happens where it is not held."""

    def status(self) -> LeaseStatus:
        """Read who holds what."""


class LeaseHolder(Protocol):
    """How a process takes the engine's lease before it becomes the VM."""

    def wrap(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """
        Give the command that takes the lease and then becomes *command*.

        It writes one JSON line to the descriptor *report_fd*: {"lease": "taken"} just before it
        becomes *command*, or {"lease": "held", "owner": id, "free_in": seconds or null} and exits
        with status 3, or {"lease": "error", "detail": text} and exits with status 4. There is no
        way to start the VM without it. It may also say nothing and wait for an owner that is dying
        (sanlock does); whoever does not want to wait any more kills it.
        """


class MovableLease(LeaseHolder, Protocol):
    """
    The engine's lease of VMs that move between hosts while they run.

    A process of this host has it, by its *pid*; all but the two that give commands may wait for the
    storage, and are called from a thread that may. Those raise `LockspaceError` where the lease
    manager refuses or does not answer.
    """

    def wrap_awaiting(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """
        Give the command that makes ready for `pick_up`, takes nothing, and becomes *command*.

        It writes {"lease": "awaited"} to *report_fd*, or an error as `wrap` has it. For a
        migration's receiving side, which executes nothing before `pick_up`.
        """

    def put_down(self, pid: int, target: int) -> None:
        """
        Let the process's lease go, for the host *target*; its VM is paused, and stays so.

        Where this raises, nobody knows whether the lease is still held: `holds`, `pick_up`.
        """

    def pick_up(self, pid: int) -> None:
        """
        Take the lease for the process: it was put down for this host, or by it.

        `LockspaceError`: another has it, and this process's VM must not execute. Nothing happens
        where the process has it already.
        """

    def holds(self, pid: int) -> bool:
        """Whether the process has the lease now."""


class Hypervisor(Protocol):
    """
    The engine VM on this host.

    No method blocks: what takes time is told by `results`. Raises `HypervisorError` where the
    hypervisor does not answer.
    """

    def vm(self) -> LocalVm:
        """Say how the VM here is; its health is not the hypervisor's to know (UNKNOWN)."""

    def start(self) -> None:
        """Take the lease and start the VM here."""

    def shut_down(self) -> None:
        """Ask the guest to shut down."""

    def power_off(self) -> None:
        """End the VM at once."""

    def migrate(self, target: int) -> None:
        """Begin a live migration to the host *target*."""

    def cancel_migration(self) -> None:
        """Give a migration up; the VM runs on here."""

    def progress(self) -> Optional[float]:
        """Give the fraction of a migration that is done; None: there is none."""

    def results(self) -> tuple[Result, ...]:
        """Give how effects ended since the last call, each once."""

    def watch(self, wake: Callable[[], None]) -> None:
        """Call *wake* (from any thread) whenever something about the VM here changes."""

    def close(self) -> None:
        """Let go; a running VM runs on."""


@attrs.frozen(kw_only=True)
class Event:
    """
    An edge that a host took: people may want to be told.

    `notifies`: the table of states says that they do, unless they have chosen for themselves.
    """

    subject: str
    host_id: int
    hostname: str
    source: str
    to: str
    edge: str
    why: str
    notifies: bool = True


class Notifier(Protocol):
    """Tells people; never waits."""

    def tell(self, event: Event) -> None:
        """Queue one event."""


class Monitors(Protocol):
    """All monitors of a host."""

    def readings(self) -> Readings:
        """Give the last values with their ages; never waits."""

    def health(self) -> Mapping[str, object]:
        """Give what each monitor last found, for people."""
