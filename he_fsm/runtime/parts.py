"""
Makes a host's parts from the configuration, whatever kinds it names.

`he_fsm.runtime.broker_parts` does the same for a broker, whose libraries nobody else needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from he_fsm.runtime import registry
from he_fsm.runtime.config import Config
from he_fsm.runtime.kinds import Guard, HypervisorKind, LeaseKind
from he_fsm.runtime.ports import Finding, Hypervisor, MovableLease, Peer, Port, VmAccess


def make_hypervisor(config: Config) -> Hypervisor:
    """
    Make the hypervisor's adapter; the VM takes the engine's lease before it runs.

    Raises:
        MissingExtraError: a library that the kind needs is not installed.
        ConfigError: the kind can't work with these leases.
        HypervisorError: something that the kind needs can't be used.
    """
    hypervisor: Hypervisor = hypervisor_kind(config).make(config, make_movable_lease(config))
    return hypervisor


def make_access(config: Config) -> VmAccess:
    """Make what says who the VM here is, for any process of this host."""
    return hypervisor_kind(config).access(config)


def make_guard(config: Config) -> Optional[Guard]:
    """Make what ends a VM whose lease nobody looks after; None: these leases do it alone."""
    return lease_kind(config).guard(config, make_access(config))


def make_movable_lease(config: Config) -> MovableLease:
    """Make what takes the engine's lease for VMs, and hands it over when they move."""
    return lease_kind(config).lease(config)


def peer_name(config: Config, host_id: int) -> Optional[str]:
    """Return the name by which a migration reaches another host; None: it needs none."""
    return hypervisor_kind(config).peer_name(config, host_id)


def findings(config: Config) -> tuple[Finding, ...]:
    """Return what is wrong with this machine for this configuration; takes a second at most."""
    needs = (*lease_kind(config).needs(config), *hypervisor_kind(config).needs(config))
    return (*needs, _public(config)) if config.metrics.is_public else needs


def _public(config: Config) -> Finding:
    metrics = config.metrics
    return Finding(
        what=f"metrics: other machines can read the metrics at {metrics.address} port"
        f" {metrics.port}, without a password",
        mend="open the port to Prometheus alone, or leave out metrics.address",
        is_fatal=False,
    )


def moves_hindered(config: Config, peers: Sequence[Peer]) -> tuple[Finding, ...]:
    """Return what keeps a VM of this host from moving to others; takes seconds."""
    return tuple(hypervisor_kind(config).reach(config, peers))


def ports_used(config: Config) -> tuple[Port, ...]:
    """Return the TCP ports of this host that other hosts have to reach."""
    return tuple(hypervisor_kind(config).ports(config))


def hypervisor_kind(config: Config) -> HypervisorKind:
    """Return the kind of hypervisor that the configuration names."""
    kind: HypervisorKind = registry.load(registry.HYPERVISORS, config.hypervisor.kind)
    return kind


def lease_kind(config: Config) -> LeaseKind:
    """Return the kind of leases that the configuration names."""
    kind: LeaseKind = registry.load(registry.LEASES, config.leases)
    return kind
