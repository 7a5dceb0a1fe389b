"""The one place that knows every adapter: it makes a host's parts from the configuration."""

from __future__ import annotations

from typing import Optional

from he_fsm.errors import ConfigError, MissingExtraError
from he_fsm.runtime.broker.service import BrokerService
from he_fsm.runtime.config import Config
from he_fsm.runtime.hypervisors.embedded import STATE, EmbeddedHypervisor, EmbeddedSettings
from he_fsm.runtime.hypervisors.vm_file import VmFile
from he_fsm.runtime.leases.hold import EmbeddedHolder
from he_fsm.runtime.leases.movable import MovableEmbedded
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock_guard import LeaseGuard
from he_fsm.runtime.leases.sanlock_hold import SanlockHolder
from he_fsm.runtime.monitors.make import make_runner
from he_fsm.runtime.monitors.runner import MonitorRunner
from he_fsm.runtime.notify.make import make_notifier
from he_fsm.runtime.ports import Hypervisor, MovableLease
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.runtime.storage.protocol import StorageSettings

# The file, in the folder that hosts share, by which rehearsals see that never two VMs execute.
WITNESS = "witness"
# Where a VM that knows nothing of leases has its own looked after, in the host's run folder.
LEASE_SOCKET = "vm.lease"


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
    """Let a running service have the monitors, channels and scores of a reloaded configuration."""
    service.replace(
        monitors=make_monitors(config),
        notifier=make_notifier(config),
        score_max=config.policy.score_max,
    )


def make_monitors(config: Config) -> MonitorRunner:
    """Make the monitors, each in its own thread; the engine VM's own use is no load."""
    file = VmFile(config.run_dir / STATE)

    def engine_pid() -> Optional[int]:
        try:
            record = file.read()
        except (OSError, ValueError):
            return None
        return record.pid if record is not None and record.is_here else None

    return make_runner(config, engine_pid=engine_pid)


def make_hypervisor(config: Config) -> Hypervisor:
    """
    Make the hypervisor's adapter; the VM takes the engine's lease before it runs.

    Raises:
        MissingExtraError: the library for QEMU's monitor is not installed.
        HypervisorError: the secret for migrations can't be used.
    """
    if config.hypervisor.kind == "qemu":
        return _make_qemu(config)
    policy, embedded = config.policy, config.hypervisor
    if config.leases != "embedded":
        msg = f"the embedded hypervisor's VM has embedded leases only, not those of {config.leases}"
        raise ConfigError(msg)
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


def _make_qemu(config: Config) -> Hypervisor:
    try:
        from he_fsm.runtime.hypervisors.qemu import QemuHypervisor  # noqa: PLC0415 - optional
        from he_fsm.runtime.hypervisors.qemu_host import QemuSettings  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error.name, "qemu", "kind qemu") from error
    vm = config.hypervisor.vm
    if vm is None:
        # The configuration was read with this checked; one that was made by hand may lack it.
        msg = "hypervisor.vm is missing: what the QEMU VM is made of"
        raise ConfigError(msg)
    settings = QemuSettings(
        host_id=config.host.id, run_dir=config.run_dir, vm=vm, move=config.hypervisor.move
    )
    return QemuHypervisor(settings, make_movable_lease(config))


def make_guard(config: Config) -> Optional[LeaseGuard]:
    """Make what ends a VM that sanlock no longer looks after; None: other leases do it alone."""
    settings, policy = config.sanlock_settings, config.policy
    if settings is None:
        return None
    rules = Rules(io_timeout_s=policy.io_timeout_s, watchdog_s=policy.watchdog_s)
    return LeaseGuard(settings, VmFile(config.run_dir / STATE), rules)


def make_movable_lease(config: Config) -> MovableLease:
    """Make what takes the engine's lease for QEMU VMs, and hands it over when they move."""
    settings = config.sanlock_settings
    if settings is not None:
        return SanlockHolder(settings=settings, host_id=config.host.id)
    return MovableEmbedded(
        folder=config.storage.leases,
        host_id=config.host.id,
        io_timeout_s=config.policy.io_timeout_s,
        watchdog_s=config.policy.watchdog_s,
        socket=config.run_dir / LEASE_SOCKET,
    )


def _storage_settings(config: Config) -> StorageSettings:
    return StorageSettings(
        whiteboard=str(config.storage.whiteboard),
        leases=str(config.storage.leases),
        host_id=config.host.id,
        # A restart of this host is no other host; another machine with the same id is.
        name=config.host.hostname,
        io_timeout_s=config.policy.io_timeout_s,
        watchdog_s=config.policy.watchdog_s,
        offset=config.storage.offset,
        sanlock=config.sanlock_settings,
    )
