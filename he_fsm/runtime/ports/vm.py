"""The VM of this host as every process of the host can find it: who it is, and how to end it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Protocol, runtime_checkable

import attrs


class LeaseUse(enum.Enum):
    """What a VM has to do with the engine's lease."""

    # It waits for the lease, and ends by itself where it does not get it.
    WAITS = "waits"
    # It has the lease, or should have it.
    HAS = "has"
    # A migration is under way, in which the lease changes hands.
    MOVES = "moves"


@attrs.frozen(kw_only=True)
class VmIdentity:
    """
    Who the VM here is, and by what its use of the host is counted.

    `name` is what the hypervisor calls it. `pid` is the process in which the guest executes, and
    `incarnation` tells that process from another one of the same number. `cgroup` is the control
    group of all its processes, as a path below /sys/fs/cgroup (empty: it has none of its own).
    `lease_pid` is the process that has the lease for it; None: its own process has it.
    """

    name: str
    pid: int
    incarnation: str
    cgroup: str = ""
    lease: LeaseUse = LeaseUse.HAS
    lease_pid: Optional[int] = None

    def is_process_of(self, other: Optional[VmIdentity]) -> bool:
        """Whether it is the same process, whatever has become of its lease."""
        return other is not None and (self.pid, self.incarnation) == (other.pid, other.incarnation)


@attrs.frozen(kw_only=True)
class Console:
    """Where the VM's screen is, and the password that opens it; `valid_s` seconds from now on."""

    protocol: str
    address: str
    port: int
    # Not shown where this is logged.
    password: str = attrs.field(repr=False)
    valid_s: int


class VmAccess(Protocol):
    """
    What guard, monitors and commands may ask about the VM here, in any process and any thread.

    It depends on no agent. It reads what the back end has written down, or asks the hypervisor's
    daemon, and changes nothing that an adapter relies on.
    """

    def identity(self) -> Optional[VmIdentity]:
        """
        Return the VM whose process lives here; None: there is none.

        Takes at most 0.2 s. Raises `HypervisorError` where that can't be found out: the VM may
        run.
        """

    def kill_now(self, vm: VmIdentity) -> None:
        """
        End the process of *vm* at once, and no other process of its number.

        On return the kernel has been told to (SIGKILL); the process may take a moment to end, and
        stays while it waits for a storage that hangs. No daemon is asked, and no lock is waited
        for. Nothing happens where that process has ended.
        """

    def console(self, valid_s: int) -> Console:
        """
        Return a way to the VM's screen: a new password, good for one connection within *valid_s*.

        An earlier password is void on return. Takes at most 5 s. Raises `HypervisorError` where the
        VM is not here, has no screen, or this user may not ask.
        """


@runtime_checkable
class TakesPassword(Protocol):
    """A `VmAccess` whose screen can be given a password that somebody has chosen."""

    def set_password(self, password: str, valid_s: int) -> Console:
        """As `VmAccess.console`, with this password; it is neither logged nor printed."""


@runtime_checkable
class HasSerialConsole(Protocol):
    """A `VmAccess` of a VM with a serial console at which people can type."""

    def serial_console(self) -> Sequence[str]:
        """
        Return the command that connects the terminal, and runs until the user leaves it.

        Raises `HypervisorError` where the VM is not here or a program is missing.
        """


class VmByHand(Protocol):
    """
    What a person at this host does with the VM.

    Where the hypervisor is a daemon that takes orders from any process, it is asked directly; else
    the agent is. Deeds raise `HypervisorError` where they are refused, with the reason.
    """

    def status(self) -> Optional[str]:
        """Return the VM's status here in vdsm's words, such as Up; None: no VM is here."""

    def start(self, *, paused: bool = False, conf: Optional[Path] = None) -> None:
        """
        Start the VM here, with the engine's lease; on return it executes, or comes to.

        *conf*: a `vm.conf` in place of the usual one. A VM that is here must have been ended.
        """

    def shut_down(self) -> None:
        """Ask the guest to shut down; on return it has been asked."""

    def power_off(self) -> None:
        """End the VM; on return its end is ordered."""


@runtime_checkable
class ConnectsStorage(Protocol):
    """A `VmByHand` whose daemon connects this host with the storage."""

    def connect_storage(self) -> None:
        """Connect the storage that the hosts share; a minute at most."""

    def disconnect_storage(self) -> None:
        """Disconnect it; nothing that uses it may run."""
