"""The configuration of the daemons: one YAML file, and oVirt's files where they exist."""

from he_fsm.runtime.config.outside import (
    HypervisorConfig,
    NotifyConfig,
    OvirtConfig,
    SmtpConfig,
)
from he_fsm.runtime.config.passwords import read_password
from he_fsm.runtime.config.plain import annotated_yaml
from he_fsm.runtime.config.reading import DEFAULT_PATH, json_schema, load_config, parse_config
from he_fsm.runtime.config.settings import (
    BridgeMonitorConfig,
    Config,
    CpuMonitorConfig,
    EngineConfig,
    HealthConfig,
    HostConfig,
    LogConfig,
    MemoryMonitorConfig,
    MonitorsConfig,
    NetworkMonitorConfig,
    StorageConfig,
)
from he_fsm.runtime.config.vm import ConsoleConfig, DiskConfig, MoveConfig, NicConfig, VmConfig

__all__ = [
    "DEFAULT_PATH",
    "BridgeMonitorConfig",
    "Config",
    "ConsoleConfig",
    "CpuMonitorConfig",
    "DiskConfig",
    "EngineConfig",
    "HealthConfig",
    "HostConfig",
    "HypervisorConfig",
    "LogConfig",
    "MemoryMonitorConfig",
    "MonitorsConfig",
    "MoveConfig",
    "NetworkMonitorConfig",
    "NicConfig",
    "NotifyConfig",
    "OvirtConfig",
    "SmtpConfig",
    "StorageConfig",
    "VmConfig",
    "annotated_yaml",
    "json_schema",
    "load_config",
    "parse_config",
    "read_password",
]
