"""What a kind of hypervisor, lease, monitor or notifier brings, to be named in a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Optional, Protocol

import attrs

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.ports import (
    Channel,
    Finding,
    Hypervisor,
    LeaseSight,
    Monitor,
    MovableLease,
    Peer,
    Port,
    StoredLeases,
    VmAccess,
    VmByHand,
)


class Guard(Protocol):
    """What ends a VM whose lease nobody looks after any more; it begins when it is made."""

    def check(self) -> None:
        """
        End the VM where the guard itself has stood still for too long.

        The agent calls it every few seconds, in a thread of its own.
        """

    def close(self) -> None:
        """Watch no more; the VM runs on."""


Check = Callable[[Config, Tree], None]
Needs = Callable[[Config], Sequence[Finding]]
# Takes the configuration and a host id.
PeerName = Callable[[Config, int], Optional[str]]
# Takes the configuration, and the other hosts.
Reach = Callable[[Config, Sequence[Peer]], Iterable[Finding]]
# Takes the configuration; returns the ports of this host that other hosts use.
Ports = Callable[[Config], Sequence[Port]]
# Returns the process of what runs here; None: nothing does.
EnginePid = Callable[[], Optional[int]]
Health = Callable[[Config, EnginePid], Optional[Monitor]]


def no_check(config: Config, tree: Tree) -> None:
    """Find that all values fit each other."""


def no_needs(config: Config) -> Sequence[Finding]:
    """Need nothing but what he_fsm is made of."""
    del config
    return ()


def no_peer_name(config: Config, host_id: int) -> Optional[str]:
    """Reach other hosts without a name."""
    del config, host_id
    return None


def no_reach(config: Config, peers: Sequence[Peer]) -> Iterable[Finding]:
    """Know nothing of other hosts beyond the addresses that the configuration names."""
    del config, peers
    return ()


def no_ports(config: Config) -> Sequence[Port]:
    """Listen at no port that other hosts use."""
    del config
    return ()


def no_health(config: Config, pid: EnginePid) -> Optional[Monitor]:
    """Have the engine judged by its health page."""
    del config, pid
    return None


def no_guard(config: Config, access: VmAccess) -> Optional[Guard]:
    """Make none: these leases end their VM by themselves."""
    del config, access
    return None


@attrs.frozen(kw_only=True)
class HypervisorKind:
    """
    What runs the engine VM: `hypervisor.kind` of a configuration.

    `section` is the attrs class of the section `hypervisor` (see `HypervisorSection`). `check`
    refuses values that do not fit each other (`DocumentError`, at the value); `needs` says what is
    missing on this machine, without touching a VM, within a second; `reach` says what keeps a VM of
    this host from moving to each other one, within seconds, and `ports` which of this host's ports
    that takes. `make` makes the adapter of the agent, `access` what all other processes of the host
    use; both get the whole configuration, and `make` the engine's lease. `health` makes what judges
    it where that is not the engine's health page. `can_migrate`: what runs can move to another host
    while it executes. `by_hand` makes what commands order the VM with, where the hypervisor is a
    daemon that takes orders from any process and starts no VM without its lease; None: they ask the
    agent, which has the adapter.
    """

    section: type[Any]
    make: Callable[[Config, MovableLease], Hypervisor]
    access: Callable[[Config], VmAccess]
    check: Check = no_check
    needs: Needs = no_needs
    peer_name: PeerName = no_peer_name
    reach: Reach = no_reach
    ports: Ports = no_ports
    health: Health = no_health
    can_migrate: bool = True
    by_hand: Optional[Callable[[Config], VmByHand]] = None


@attrs.frozen(kw_only=True)
class Made:
    """
    What was made on the storage, in words; `is_new` False: it was there already.

    `for_group`: what the daemons' group has to be able to use.
    """

    what: str
    is_new: bool
    for_group: tuple[Path, ...] = ()


@attrs.frozen(kw_only=True)
class Plan:
    """
    What would be made on the storage, in words; `is_new` False: it is there already.

    `overwrites`: what stands there now, is none of ours, and would be written over.
    """

    what: str
    is_new: bool
    overwrites: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class LeaseKind:
    """
    What keeps hosts and VMs apart: `leases` of a configuration.

    `section` is the attrs class of the section that has the kind's name; None: it has none.
    `maker` names a function (`module:function`) that takes `StorageSettings` and returns the
    `JoinedLeases` that take the host id: the process that serves the storage calls it, and imports
    nothing else of the kind. `settings` makes its further settings, as text. `lease` is how VMs
    of this host take the engine's lease. `set_up` makes the leases on the storage, once for all
    hosts, where they are missing; `plan` says beforehand what it would make, and writes nothing
    (None: that is not known). `guard` is made beside the agent. `keeps_host_id`: a daemon keeps
    the host id when the process that serves the storage is replaced. `sight` is how a hypervisor
    whose daemon takes the lease by itself sees what became of it; None: no such daemon can. `own`
    names a function (`module:function`) that takes what `settings` returned, and returns the
    `OwnLease` of the process that calls it; empty: no process can keep the lease for another one.
    `stored` makes what writes the leases anew; None: another program does that.
    """

    maker: str
    lease: Callable[[Config], MovableLease]
    set_up: Callable[[Config], Made]
    plan: Optional[Callable[[Config], Plan]] = None
    settings: Callable[[Config], str] = lambda _: ""
    section: Optional[type[Any]] = None
    check: Check = no_check
    needs: Needs = no_needs
    keeps_host_id: bool = False
    guard: Callable[[Config, VmAccess], Optional[Guard]] = no_guard
    sight: Optional[Callable[[Config], LeaseSight]] = None
    own: str = ""
    stored: Optional[Callable[[Config], StoredLeases]] = None


@attrs.frozen(kw_only=True)
class MonitorKind:
    """
    A test of whether this host is connected: `monitors.network.test` of a configuration.

    `make` gets the section, an instance of the attrs class `section`. `measure_s` says how long one
    measurement takes at most.
    """

    section: type[Any]
    make: Callable[[Any], Monitor]
    measure_s: Callable[[Any], float] = lambda _: 0.0
    check: Check = no_check


@attrs.frozen(kw_only=True)
class NotifierKind:
    """
    A way to tell people: a key of the section `notify` of a configuration.

    `section` is the attrs class of what stands there; None: `NotifyConfig` has it. `make` makes the
    channels that are configured, none or more.
    """

    make: Callable[[Config], Sequence[Channel]]
    section: Optional[type[Any]] = None
    check: Check = no_check
