"""Makes a broker from the configuration: storage, monitors, and channels for messages."""

from __future__ import annotations

from typing import Optional

from he_fsm.errors import HypervisorError
from he_fsm.runtime.broker.service import BrokerService
from he_fsm.runtime.config import Config
from he_fsm.runtime.monitors.make import make_runner
from he_fsm.runtime.monitors.runner import MonitorRunner
from he_fsm.runtime.notify.make import make_notifier
from he_fsm.runtime.parts import lease_kind, make_access
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


def _storage_settings(config: Config) -> StorageSettings:
    kind = lease_kind(config)
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
