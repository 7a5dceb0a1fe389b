"""The monitors of a host, from its configuration."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar, Union

from he_fsm.errors import ConfigError
from he_fsm.runtime import registry
from he_fsm.runtime.config import Config
from he_fsm.runtime.monitors import runner
from he_fsm.runtime.monitors.cpu import CpuLoad
from he_fsm.runtime.monitors.engine_health import EngineHealth
from he_fsm.runtime.monitors.files import NumberFile
from he_fsm.runtime.monitors.memory import (
    EnginePid,
    FreeHugePages,
    FreeMemory,
    MemoryLoad,
    no_engine,
)
from he_fsm.runtime.monitors.mgmt_bridge import MgmtBridge
from he_fsm.runtime.monitors.network import Network, NoNetworkTest, Probe
from he_fsm.runtime.monitors.section import NetworkMonitorConfig
from he_fsm.runtime.monitors.storage import StorageAge
from he_fsm.runtime.ports import Monitor

_T = TypeVar("_T")


def make_runner(
    config: Config,
    *,
    engine_pid: EnginePid = no_engine,
    last_read: Optional[Callable[[], Optional[float]]] = None,
) -> runner.MonitorRunner:
    """
    Make the monitors; they begin to measure with `start`.

    Args:
        engine_pid: gives the process id of the engine VM here, whose memory and CPU time do not
            count as load; None: it is not here.
        last_read: gives when the storage was last read (monotonic clock); None: nobody asks.

    Raises:
        ConfigError: the network's test lacks what it has to be told.
    """
    settings, health = config.monitors, config.engine.health
    verify = str(health.verify) if isinstance(health.verify, Path) else health.verify
    monitors: dict[str, Monitor] = {
        runner.NETWORK: _network(settings.network),
        runner.BRIDGE: MgmtBridge(settings.bridge.name),
        runner.MEM_FREE: free_memory_of(config, engine_pid),
        runner.MEM_LOAD: MemoryLoad(engine_pid),
        runner.CPU_LOAD: CpuLoad(engine_pid),
        runner.ENGINE_HEALTH: _own_health(config, engine_pid)
        or EngineHealth(config.health_url, health.body, health.timeout_s, verify),
    }
    if settings.bridge.path is not None:
        monitors[runner.BRIDGE] = _fraction(settings.bridge.path)
    if settings.memory.path is not None:
        monitors[runner.MEM_LOAD] = _fraction(settings.memory.path, 1)
    if settings.cpu.path is not None:
        monitors[runner.CPU_LOAD] = _fraction(settings.cpu.path)
    if last_read is not None:
        monitors[runner.STORAGE] = StorageAge(last_read)
    return runner.MonitorRunner(monitors, settings.interval_s)


def free_memory_of(
    config: Config, engine_pid: EnginePid
) -> Union[NumberFile, FreeHugePages, FreeMemory]:
    """Return what measures the memory that is free for the VM, of the kind that it is made of."""
    path = config.monitors.memory.path
    if path is not None:
        return NumberFile(path, 0, math.inf)
    is_huge = config.monitors.memory.huge_pages
    return FreeHugePages(engine_pid) if is_huge else FreeMemory(engine_pid)


def _own_health(config: Config, engine_pid: EnginePid) -> Optional[Monitor]:
    """Return what judges the engine where its kind brings something of its own."""
    kind = registry.load(registry.HYPERVISORS, config.hypervisor.kind)
    monitor: Optional[Monitor] = kind.health(config, engine_pid)
    return monitor


def _network(section: Any) -> Monitor:
    monitor: Monitor = registry.load(registry.MONITORS, section.test).make(section)
    return monitor


def make_network(settings: NetworkMonitorConfig) -> Monitor:
    """
    Make the test of the network.

    Raises:
        ConfigError: it lacks an address, a port or a path.
    """
    if settings.test == "none":
        return NoNetworkTest()
    if settings.test == "file":
        return _fraction(_given(settings.path, "path", settings))
    return Network(_probe(settings), settings.count, settings.delay_s)


def _probe(settings: NetworkMonitorConfig) -> Probe:
    # A host does without the libraries of the tests that it does not have.
    if settings.test == "dns":
        from he_fsm.runtime.monitors.probes.dns import Dns  # noqa: PLC0415

        return Dns(name=settings.name, timeout_s=settings.timeout_s)
    address = _given(settings.address, "address", settings)
    if settings.test == "tcp":
        from he_fsm.runtime.monitors.probes.tcp import Tcp  # noqa: PLC0415

        port = _given(settings.port, "port", settings)
        return Tcp(address, port, settings.timeout_s)
    from he_fsm.runtime.monitors.probes.ping import Ping  # noqa: PLC0415

    return Ping(address, settings.timeout_s)


def _given(value: Optional[_T], key: str, settings: NetworkMonitorConfig) -> _T:
    if value is None:
        msg = f"monitors.network.{key}: the network test {settings.test} needs it"
        raise ConfigError(msg)
    return value


def _fraction(path: Path, place: int = 0) -> NumberFile:
    return NumberFile(path, place, 1.0)
