"""The hypervisor `embedded`, as a configuration names it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from he_fsm.errors import ConfigError
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.hypervisors.process.hypervisor import EmbeddedHypervisor, EmbeddedSettings
from he_fsm.runtime.hypervisors.process.section import EmbeddedConfig
from he_fsm.runtime.hypervisors.vm_access import RecordedVm
from he_fsm.runtime.kinds import HypervisorKind
from he_fsm.runtime.leases.files.hold import EmbeddedHolder
from he_fsm.runtime.ports import Finding, Hypervisor, MovableLease, VmAccess

# The file, in the folder that hosts share, by which rehearsals see that never two VMs execute.
WITNESS: Final = "witness"
_LEASES: Final = "embedded"


def make(config: Config, lease: MovableLease) -> Hypervisor:
    """Make the adapter; its VM takes and keeps the embedded lease by itself."""
    if lease.place.manager != _LEASES:
        raise ConfigError(_unfit(config))
    policy, embedded = config.policy, config.hypervisor
    settings = EmbeddedSettings(
        host_id=config.host.id,
        run_dir=config.run_dir,
        hosts=str(embedded.hosts_dir / "{id}"),
        leases=config.storage.leases,
        witness=config.storage.path / WITNESS,
        port=embedded.port,
        io_timeout_s=policy.io_timeout_s,
        watchdog_s=policy.watchdog_s,
        start_s=embedded.start_s,
        boot_s=embedded.boot_s,
        shutdown_s=embedded.shutdown_s,
        migration_s=embedded.migration_s,
    )
    holder = EmbeddedHolder(
        folder=config.storage.leases,
        host_id=config.host.id,
        io_timeout_s=policy.io_timeout_s,
        watchdog_s=policy.watchdog_s,
    )
    return EmbeddedHypervisor(settings, holder)


def needs(config: Config) -> Sequence[Finding]:
    """Need the leases that the VM's process knows."""
    if config.leases == _LEASES:
        return ()
    return (Finding(what=_unfit(config), mend="set `leases: embedded`, or `hypervisor.kind`"),)


def access(config: Config) -> VmAccess:
    """Make what finds the VM's process by its record."""
    return RecordedVm(config.run_dir, "the embedded VM")


def _unfit(config: Config) -> str:
    return f"the embedded hypervisor's VM has embedded leases only, not those of {config.leases}"


KIND: Final = HypervisorKind(section=EmbeddedConfig, make=make, access=access, needs=needs)
