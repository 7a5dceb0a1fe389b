"""
The domain of this host as the adapter's threads share it.

One thread looks (`host`), each deed that takes long has one (`deeds`), libvirt's events come in
another one, and the agent's observes and orders. What they share is here, under one lock: nobody
sees half of a change.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final, Optional

import attrs

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.libvirt.access import LibvirtVm
from he_fsm.runtime.hypervisors.libvirt.connection import Connection
from he_fsm.runtime.hypervisors.libvirt.definition.shared import SharedDefinition
from he_fsm.runtime.hypervisors.libvirt.holder.known import KnownDomain
from he_fsm.runtime.hypervisors.libvirt.holder.settings import HolderSettings
from he_fsm.runtime.hypervisors.libvirt.section import LibvirtConfig
from he_fsm.runtime.hypervisors.published import Published
from he_fsm.runtime.hypervisors.vm_file import STATE
from he_fsm.runtime.ports import LeaseSight, Observation, Peer, VmIdentity
from he_fsm.snapshot import Outcome

_log = logging.getLogger(__name__)

# A process that was told to end has ended by then, save where its storage hangs (seconds).
ENDS_S: Final = 10.0
_LOOK_S: Final = 0.02


@attrs.frozen(kw_only=True)
class LibvirtSettings:
    """
    One host: its id, its run folder, and the domain.

    `state_dir` outlives a restart of the machine: a copy of the shared definition is kept there.
    `lease_wait_s`: for so long a dying owner's lease may have to be waited for, at most (seconds).
    `holder`: what has the lease for the domain, but for its process; None: libvirt's plug-in does.
    """

    host_id: int
    run_dir: Any
    config: LibvirtConfig
    lease_wait_s: float
    state_dir: Any
    holder: Optional[HolderSettings] = None


@attrs.define(eq=False)
class Underway:
    """
    A domain that is to execute here.

    `is_unwanted`: it is to end before it does. `may_execute`: its holder has the lease; whoever
    lets it execute before that has no right to.
    """

    is_unwanted: bool = False
    may_execute: bool = False


@attrs.define(eq=False)
class Starting(Underway):
    """A start under way."""

    # The plug-in waits for the lease meanwhile, and libvirt answers no question about the domain.
    takes_lease: bool = False


@attrs.define(eq=False)
class Arrival(Underway):
    """A migration that arrives, where a holder takes the lease at its end."""

    # All memory is here, and the source has ended or will.
    is_complete: threading.Event = attrs.field(factory=threading.Event)


@attrs.define(eq=False)
class Departure:
    """A migration away from here that this adapter has ordered."""

    peer: Peer
    is_cancelled: bool = False


class Here(Published):
    """What the threads of one adapter know and order."""

    def __init__(self, settings: LibvirtSettings, sight: LeaseSight) -> None:
        """Know nothing yet."""
        super().__init__("libvirt has not been asked yet")
        self.settings = settings
        self.sight = sight
        self.access = LibvirtVm(settings.run_dir, settings.config)
        self.connection: Optional[Connection] = None
        self.starting: Optional[Starting] = None
        # A start was ordered, and libvirt did not say what became of it.
        self.has_lost_start = False
        self.departure: Optional[Departure] = None
        self.arrival: Optional[Arrival] = None
        # A migration that this adapter ordered has failed, and libvirt does no more about it.
        self.has_lost_move = False
        # libvirt has nothing under way with the domain, as of the last look.
        self.is_without_job = False
        # None: the hosts share no definition.
        self.definition: Optional[SharedDefinition] = None
        if settings.config.definition is not None:
            self.definition = SharedDefinition(settings.config.definition, settings.state_dir)
        # What is known of the domain's process, and outlives the agent.
        self.known = KnownDomain(settings.run_dir / STATE, self.guard, self.stir)
        # The process whose guest has reported its own death, and how.
        self._death: Optional[tuple[int, str]] = None

    @property
    def name(self) -> str:
        """The domain's name."""
        return self.settings.config.domain

    # What others see.

    def observation(self) -> Observation:
        """Return the VM and each result once."""
        with self.guard:
            version = 0 if self.definition is None else self.definition.version
            return attrs.evolve(super().observation(), definition=version)

    def is_dead(self, why: str) -> None:
        """Take what the guest of the domain has reported: its own death."""
        with self.guard:
            record = self.known.record
            if record is not None:
                self._death = (record.pid, why)
        self.stir()

    def death_of(self, vm: VmIdentity) -> str:
        """Return how the guest of the process *vm* has died, as it reported; empty: it has not."""
        death = self._death
        return death[1] if death is not None and death[0] == vm.pid else ""

    # libvirt.

    def usable(self) -> Connection:
        """
        Return the connection.

        Raises:
            HypervisorError: there is none now.
        """
        connection = self.connection
        if connection is None or not connection.is_usable:
            msg = "libvirt does not answer"
            raise HypervisorError(msg)
        return connection

    def domain(self, connection: Connection) -> Any:
        """Return the domain; raises `HypervisorError` where libvirt knows none of its name."""
        domain = connection.domain(self.name)
        if domain is None:
            msg = f"libvirt knows no domain {self.name} on this host: virsh define FILE.xml"
            raise HypervisorError(msg)
        return domain

    def forget(self) -> None:
        """Remove the record: no process of the domain is here; tell of its guest's own death."""
        with self.guard:
            record = self.known.record
            death, self._death = self._death, None
            if record is not None and death is not None and death[0] == record.pid:
                self.owe(Outcome.GUEST_DIED, death[1])
            self.known.forget()

    # Ends.

    def end(self, vm: VmIdentity, why: str) -> None:
        """
        End the process *vm* at once, and wait until it has ended.

        safety: asks no daemon; it is what keeps a domain from executing without its lease.

        Raises:
            HypervisorError: it does not end, or this user may not end it.
        """
        _log.warning("the domain's process %d is ended: %s", vm.pid, why)
        try:
            self.access.kill_now(vm)
        except HypervisorError as error:
            _log.error("%s", error)
            connection = self.usable()
            connection.destroy(self.domain(connection), ENDS_S)
        self.await_end(vm)

    def await_absence(self) -> None:
        """Wait until libvirt has seen the end, too; raises `HypervisorError`."""
        connection = self.usable()
        domain = self.domain(connection)
        ends_at = time.monotonic() + ENDS_S
        while connection.is_active(domain) and time.monotonic() < ends_at:
            time.sleep(_LOOK_S)

    def await_end(self, vm: VmIdentity) -> None:
        """Wait until a process has ended; raises `HypervisorError` where it does not in time."""
        ends_at = time.monotonic() + ENDS_S
        while vm.is_process_of(self.access.identity()):
            if time.monotonic() > ends_at:
                msg = f"the domain's process {vm.pid} does not end"
                raise HypervisorError(msg)
            time.sleep(_LOOK_S)
