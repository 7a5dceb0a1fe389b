"""The configuration of the daemons: one YAML file, and oVirt's files where they exist."""

from he_fsm.runtime.config.annotated import annotated_yaml
from he_fsm.runtime.config.monitors import (
    BridgeMonitorConfig,
    CpuMonitorConfig,
    MemoryMonitorConfig,
    MonitorsConfig,
)
from he_fsm.runtime.config.outside import (
    NotifyConfig,
    OvirtConfig,
    SmtpConfig,
)
from he_fsm.runtime.config.reading import DEFAULT_PATH, json_schema, load_config, parse_config
from he_fsm.runtime.config.settings import (
    Config,
    EngineConfig,
    HealthConfig,
    HistoryConfig,
    HostConfig,
    LogConfig,
    StorageConfig,
)

__all__ = [
    "DEFAULT_PATH",
    "BridgeMonitorConfig",
    "Config",
    "CpuMonitorConfig",
    "EngineConfig",
    "HealthConfig",
    "HistoryConfig",
    "HostConfig",
    "LogConfig",
    "MemoryMonitorConfig",
    "MonitorsConfig",
    "NotifyConfig",
    "OvirtConfig",
    "SmtpConfig",
    "StorageConfig",
    "annotated_yaml",
    "json_schema",
    "load_config",
    "parse_config",
]
