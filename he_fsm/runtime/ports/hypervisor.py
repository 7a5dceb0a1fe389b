"""
The hypervisor: what starts, moves and ends the engine VM on this host.

One pass of the agent's loop uses it in this order, and nothing else calls it meanwhile:

1. `observe`, once. What it returns is the VM and the results of earlier deeds *at one moment*: a
   result is never older than the VM beside it.
2. The host's record is published, with the VM as observed. A record therefore never speaks of a
   deed that this pass is about to do.
3. All records are read, and `step` decides.
4. The effects are carried out, one deed each, in the order of `Step.effects`. A deed only begins.
   What becomes of it is in the `vm` and the `results` of a later observation: every deed that says
   so below has exactly one result.
5. Where an edge was taken, the next pass follows at once. Hence the rule for every adapter: **the
   first observation after a deed already shows that the deed was ordered** (STARTING after
   `start`, LEAVING after `migrate`), or has its result. A VM that seems untouched after an order
   would be taken for one that has failed.

Field by field, what an `Observation` promises:

`vm`
    STARTING from `start` until the VM executes; the lease is taken within this state. UP, PAUSED
    and STOPPING: a VM of this host, with the lease. LEAVING: it executes here, and a migration away
    is under way, whoever ordered it. ARRIVING: the receiving side of a migration, which does not
    execute. ABSENT: no process of a VM is left here, and none can come without a further deed, here
    or on the source of a migration. UNKNOWN: the hypervisor does not answer; the VM is as it was,
    or not.
`results`
    Each result exactly once, in the first observation that shows its consequence in `vm`:
    START_FAILED, GUEST_DIED and MIGRATION_DONE with ABSENT, START_REFUSED with ABSENT (or ARRIVING,
    where a VM is on its way here), MIGRATION_FAILED with whatever the VM is then. A result is lost
    where the agent ends before it observed. START_REFUSED: no VM, for want of the lease.
    START_FAILED: the VM's process ended before the VM executed. MIGRATION_DONE: the target
    executes. MIGRATION_FAILED: the VM stays here, or has ended. GUEST_DIED belongs to no deed: the
    VM has ended because its guest reported that it is dead (a panic, a watchdog that fired); the
    detail says which.
`progress`
    A fraction in LEAVING where it is known, else None. It may fall.
`detail`
    For people: why the VM is as it is, or why it is not known. Empty: there is no more to say.
    Nothing is decided by it.
`since`
    Monotonic clock, seconds: since when `vm` is what it is. None: not known. For people.
`definition`
    The version of the VM's definition that this host has, for its record; 0: there is no shared
    one.

safety: an adapter starts no VM but with the engine's lease, and resumes none without it. Where a
daemon takes the lease for the VM (libvirt, vdsm), `LeasePlace` is what it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional, Protocol, runtime_checkable

import attrs

from he_fsm.snapshot import LocalVm, Result


@attrs.frozen
class Peer:
    """
    Another host, as the sender of a VM has to name it.

    `address` is where the other host's daemons are reached: its `hostname`, unless it is given.
    """

    host_id: int
    hostname: str = ""
    address: str = attrs.field()

    @address.default
    def _address_default(self) -> str:
        return self.hostname

    def __str__(self) -> str:
        """Return what people call it."""
        return f"host {self.host_id}"


@attrs.frozen(kw_only=True)
class Observation:
    """The VM of this host and the results of deeds at one moment; the module promises the rest."""

    vm: LocalVm
    results: tuple[Result, ...] = ()
    progress: Optional[float] = None
    detail: str = ""
    since: Optional[float] = None
    definition: int = 0


class Hypervisor(Protocol):
    """
    The engine VM on this host.

    One thread at a time calls it. No method waits for the hypervisor: each returns within 0.2 s,
    also where a daemon hangs; what takes longer goes on in the adapter's own thread.

    A deed (`start` to `give_up_arrival`) may raise `HypervisorError`: the order could not be given,
    or it is not known whether it was. Nobody repeats it; the next observation shows the state.
    """

    def observe(self) -> Observation:
        """
        Return the VM and the results of deeds that have ended since the last observation.

        Its health is not the hypervisor's to know (UNKNOWN). Raises nothing: a hypervisor that does
        not answer is a VM in the state UNKNOWN, with the reason as `detail`; results that could not
        be had then are kept for the next observation.
        """

    def start(self) -> None:
        """
        Begin to take the lease and to start the VM here.

        On return the start is ordered. STARTING follows, then UP, or ABSENT with one result.
        Nothing happens where a VM is here already, or where a start is under way; one that arrives
        makes it a START_REFUSED. Where the lease's owner is failing, it may take until the owner is
        dead (8 x io_timeout and the watchdog's time).
        """

    def shut_down(self) -> None:
        """
        Ask the guest to shut down.

        On return the order is given. STOPPING follows, and ABSENT without any result, when the
        guest is done; it may never be. A guest that is paused does not see it; a migration away is
        given up before. Nothing happens where there is no VM.
        """

    def power_off(self) -> None:
        """
        End the VM, without its guest's help.

        On return the order is given. ABSENT follows within seconds, without any result, except that
        a start which has not executed yet is START_REFUSED or START_FAILED. A VM that only arrives
        stays: it is its source's, see `give_up_arrival`.
        """

    def migrate(self, peer: Peer) -> None:
        """
        Begin to move the VM, while it executes, to the host *peer*.

        On return the move is ordered. LEAVING follows, and one result. The lease goes with the VM:
        at no moment do both hosts execute. Where the VM is not UP, the result is MIGRATION_FAILED
        and nothing else happens.
        """

    def cancel_migration(self) -> None:
        """
        Begin to give up the migration away from here.

        On return the order is given. UP with MIGRATION_FAILED follows; or, where it was too late,
        ABSENT with MIGRATION_DONE. Nothing happens where no migration is under way.
        """

    def give_up_arrival(self) -> None:
        """
        Begin to end a VM that arrives here and does not come to execute.

        On return the order is given. ABSENT follows within seconds, without any result; or UP,
        where the VM executes here by then. Nothing happens where none arrives.
        """

    def watch(self, wake: Callable[[], None]) -> None:
        """
        Call *wake* (from any thread) whenever an observation would differ in its VM or its results.

        In time for people: within 0.5 s of a death, a pause, an arrival. A call for nothing is
        allowed now and then. Replaces what was watched by before.
        """

    def close(self) -> None:
        """
        Release everything: on return no thread or descriptor is left; *wake* is called no more.

        A VM that executes runs on; a switch-over that is under way is waited for, 15 s at most. A
        VM that only arrives may be ended. The next adapter of this host adopts what is here.
        """


@runtime_checkable
class StartsPaused(Protocol):
    """What a hypervisor has beside `Hypervisor` that keeps the lease of a VM that is paused."""

    def start_paused(self) -> None:
        """
        Begin to take the lease and to make the VM here, which executes nothing.

        As `start`, but PAUSED follows on STARTING. Nothing of the VM executes before somebody lets
        it, by means of the hypervisor's own.
        """
