"""Makes a host's parts from the configuration, whatever kinds it names."""

from __future__ import annotations

from typing import Optional

from he_fsm.errors import HypervisorError
from he_fsm.runtime import registry
from he_fsm.runtime.broker.service import BrokerService
from he_fsm.runtime.config import Config
from he_fsm.runtime.kinds import Guard, HypervisorKind, LeaseKind
from he_fsm.runtime.monitors.make import make_runner
from he_fsm.runtime.monitors.runner import MonitorRunner
from he_fsm.runtime.notify.make import make_notifier
from he_fsm.runtime.ports import Finding, Hypervisor, MovableLease, VmAccess
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.runtime.storage.protocol import StorageSettings


def make_service(config: Config) -> BrokerService:
    """Make the broker's service: storage, monitors, notifier; the monitors measure at once."""
    service = BrokerService(
        host_id=config.host.id,
        storage=StorageClient(_storage_settings(config), config.storage.deadline_s),
        monitors=make_monitors(config),
        notifier=make_notifier(config),
        flags_path=config.state_dir / "flags.json",
        version=config.parse_version,
        score_max=config.policy.score_max,
        lease_look_s=config.policy.lease_look_s,
    )
    service.start()
    return service


def renew_service(service: BrokerService, config: Config) -> None:
    """Pass the monitors, channels and scores of a reloaded configuration to a running service."""
    service.replace(
        monitors=make_monitors(config),
        notifier=make_notifier(config),
        score_max=config.policy.score_max,
    )


def make_monitors(config: Config) -> MonitorRunner:
    """Make the monitors, each in its own thread; the engine VM's own use is no load."""
    access = make_access(config)

    def engine_pid() -> Optional[int]:
        try:
            vm = access.identity()
        except HypervisorError:
            return None
        return None if vm is None else vm.pid

    return make_runner(config, engine_pid=engine_pid)


def make_hypervisor(config: Config) -> Hypervisor:
    """
    Make the hypervisor's adapter; the VM takes the engine's lease before it runs.

    Raises:
        MissingExtraError: a library that the kind needs is not installed.
        ConfigError: the kind can't work with these leases.
        HypervisorError: something that the kind needs can't be used.
    """
    hypervisor: Hypervisor = _hypervisor_kind(config).make(config, make_movable_lease(config))
    return hypervisor


def make_access(config: Config) -> VmAccess:
    """Make what says who the VM here is, for any process of this host."""
    return _hypervisor_kind(config).access(config)


def make_guard(config: Config) -> Optional[Guard]:
    """Make what ends a VM whose lease nobody looks after; None: these leases do it alone."""
    return _lease_kind(config).guard(config, make_access(config))


def make_movable_lease(config: Config) -> MovableLease:
    """Make what takes the engine's lease for VMs, and hands it over when they move."""
    return _lease_kind(config).lease(config)


def peer_name(config: Config, host_id: int) -> Optional[str]:
    """Return the name by which a migration reaches another host; None: it needs none."""
    return _hypervisor_kind(config).peer_name(config, host_id)


def findings(config: Config) -> tuple[Finding, ...]:
    """Return what is wrong with this machine for this configuration; takes a second at most."""
    return (*_lease_kind(config).needs(config), *_hypervisor_kind(config).needs(config))


def _hypervisor_kind(config: Config) -> HypervisorKind:
    kind: HypervisorKind = registry.load(registry.HYPERVISORS, config.hypervisor.kind)
    return kind


def _lease_kind(config: Config) -> LeaseKind:
    kind: LeaseKind = registry.load(registry.LEASES, config.leases)
    return kind


def _storage_settings(config: Config) -> StorageSettings:
    kind = _lease_kind(config)
    return StorageSettings(
        whiteboard=str(config.storage.whiteboard),
        leases=str(config.storage.leases),
        host_id=config.host.id,
        # A restart of this host is no other host; another machine with the same id is.
        name=config.host.hostname,
        io_timeout_s=config.policy.io_timeout_s,
        watchdog_s=config.policy.watchdog_s,
        offset=config.storage.offset,
        maker=kind.maker,
        lease=kind.settings(config),
        keeps_host_id=kind.keeps_host_id,
    )
