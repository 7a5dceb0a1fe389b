"""
What can be configured, section by section.

Times are in seconds, memory is in MiB. A field's metadata holds its key in the file, the form of
its value and what it means: reading, `he-fsm config show`, the JSON Schema and
docs/configuration.md all come from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Optional, Union

import attrs

from he_fsm.document.forms import Choice, Integer, Number, OrNull, OrWord, Text
from he_fsm.document.mappings import Record, written_as
from he_fsm.metadata.layout import HOST_ID_MAX, PARSE_VERSION, VERSION_MAX
from he_fsm.policy import TALK, Policy
from he_fsm.runtime import registry
from he_fsm.runtime.config.forms import (
    TIME,
    LineForm,
    OffsetForm,
    OrNone,
    PathForm,
    UrlForm,
    VerifyForm,
)
from he_fsm.runtime.config.kind_form import KindForm, KindName, OpenRecord
from he_fsm.runtime.config.monitors import MonitorsConfig
from he_fsm.runtime.config.outside import MetricsConfig, NotifyConfig, OvirtConfig
from he_fsm.runtime.config.plain import plain
from he_fsm.runtime.config.policies import PolicyForm
from he_fsm.score import NEVER, PREFERENCE_MAX, PREFERENCE_WORDS, Preference

# Where the engine serves its health page.
HEALTH_PAGE: Final = "/ovirt-engine/services/health"


@attrs.frozen(kw_only=True)
class HostConfig:
    """This host."""

    id: int = attrs.field(
        metadata=written_as(
            "id",
            Integer(1, HOST_ID_MAX),
            "this host's id: its slot on the whiteboard and its lease; no other host has it",
        )
    )
    hostname: str = attrs.field(
        factory=lambda: os.uname().nodename,
        metadata=written_as(
            "hostname",
            LineForm("a hostname", "|"),
            "what status and mails call it; usually the system's name",
        ),
    )
    preference: Preference = attrs.field(
        default=0,
        metadata=written_as(
            "preference",
            OrWord(Integer(-PREFERENCE_MAX, PREFERENCE_MAX), NEVER, PREFERENCE_WORDS),
            "points added to its score, which stays within 1 and the highest: how much it is liked "
            "as the engine's host. `never`: score 0",
        ),
    )


@attrs.frozen(kw_only=True)
class StorageConfig:
    """The storage that the hosts share."""

    path: Path = attrs.field(
        metadata=written_as("path", PathForm(), "the folder that all hosts share")
    )
    whiteboard: Path = attrs.field(
        metadata=written_as(
            "whiteboard",
            PathForm(),
            "the whiteboard, a file or a block device; usually `whiteboard` in `path`",
        )
    )
    offset: int = attrs.field(
        default=0,
        metadata=written_as(
            "offset", OffsetForm(), "where in it slot 0 begins, in bytes, a multiple of 4096"
        ),
    )
    deadline_s: float = attrs.field(
        default=2.0,
        metadata=written_as(
            "deadline",
            TIME,
            "a read or write that takes longer is given up, and its process replaced",
        ),
    )
    domain_id: Optional[str] = attrs.field(
        default=None,
        metadata=written_as("domain_id", OrNull(Text("a UUID")), "oVirt's storage domain"),
    )

    @whiteboard.default
    def _whiteboard_default(self) -> Path:
        return self.path / "whiteboard"

    @property
    def leases(self) -> Path:
        """The folder of the embedded leases."""
        return self.path / "leases"


@attrs.frozen(kw_only=True)
class HealthConfig:
    """The page by which the engine is judged."""

    url: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "url",
            OrNull(UrlForm()),
            "the page's address; null: that of the embedded VM",
        ),
    )
    timeout_s: float = attrs.field(
        default=20.0,
        metadata=written_as("timeout", TIME, "no answer after this time is a bad one"),
    )
    verify: Union[bool, Path] = attrs.field(
        default=True,
        metadata=written_as(
            "verify",
            VerifyForm(),
            "whether to verify the page's certificate, or the file of the certificates to trust",
        ),
    )
    body: str = attrs.field(
        default="DB Up",
        metadata=written_as("body", Text(), "what the first line of a good page contains"),
    )


@attrs.frozen(kw_only=True)
class EngineConfig:
    """The engine VM."""

    memory: float = attrs.field(
        default=4096.0,
        metadata=written_as(
            "memory", Number(minimum=0), "the free memory that a host needs to start it, in MiB"
        ),
    )
    vm_id: Optional[str] = attrs.field(
        default=None,
        metadata=written_as("vm_id", OrNull(Text("a UUID")), "the UUID of the VM"),
    )
    health: HealthConfig = attrs.field(
        default=HealthConfig(),
        metadata=written_as(
            "health", Record(HealthConfig, "a mapping like {timeout: 20s}"), "its health page"
        ),
    )


@attrs.frozen(kw_only=True)
class LogConfig:
    """What is logged."""

    level: str = attrs.field(
        default="info",
        metadata=written_as(
            "level",
            Choice.of("debug", "info", "warning", "error"),
            "the least important lines that are logged",
        ),
    )


@attrs.frozen(kw_only=True)
class HistoryConfig:
    """What is kept of this host's decisions, for `he-fsm history`, `capture` and `replay`."""

    size_mib: int = attrs.field(
        default=64,
        metadata=written_as(
            "size", Integer(0, 65_536), "how much is kept at most, in MiB; 0: nothing is"
        ),
    )
    looks: int = attrs.field(
        default=500_000,
        metadata=written_as("looks", Integer(16, 100_000_000), "how many looks are kept at most"),
    )


HYPERVISOR_FORM: Final = KindForm(
    registry.HYPERVISORS, "a mapping like {kind: embedded}", "kind", "embedded"
)
OVIRT_FORM: Final = OrNone(Record(OvirtConfig, "a mapping like {dir: /etc/ovirt-hosted-engine}"))


@attrs.frozen(kw_only=True)
class Config:
    """
    The whole configuration of the agent and the broker of one host.

    `origins` says where values came from (`file:line`), by dotted key; what is not there has its
    default. It plays no part in comparisons. `others` are the sections of the leases' kinds, by
    their names: that of the kind in use, if it has one, and those that the file has.
    """

    host: HostConfig = attrs.field(
        metadata=written_as("host", Record(HostConfig, "a mapping like {id: 1}"), "this host")
    )
    run_dir: Path = attrs.field(
        default=Path("/run/he-fsm"),
        metadata=written_as("run_dir", PathForm(), "the folder of the socket `broker.sock`"),
    )
    state_dir: Path = attrs.field(
        default=Path("/var/lib/he-fsm"),
        metadata=written_as(
            "state_dir", PathForm(), "the folder of what survives a restart of the machine"
        ),
    )
    group: Optional[str] = attrs.field(
        default="he-fsm",
        metadata=written_as(
            "group",
            OrNull(Text("a group")),
            "the group that may talk to the broker; null: nobody but its own user and group",
        ),
    )
    broker: str = attrs.field(
        default="socket",
        metadata=written_as(
            "broker",
            Choice.of("socket", "embedded"),
            "socket: a process of its own; embedded: a part of the agent",
        ),
    )
    storage: StorageConfig = attrs.field(
        metadata=written_as(
            "storage",
            Record(StorageConfig, "a mapping like {path: /srv/he-fsm}"),
            "the storage that the hosts share",
        )
    )
    leases: str = attrs.field(
        default="embedded",
        metadata=written_as(
            "leases",
            KindName(registry.LEASES),
            "embedded: file locks in `storage`, for hosts on one machine; sanlock: see there",
        ),
    )
    hypervisor: Any = attrs.field(
        factory=HYPERVISOR_FORM.usual_section,
        metadata=written_as("hypervisor", HYPERVISOR_FORM, "what runs the engine VM"),
    )
    engine: EngineConfig = attrs.field(
        default=EngineConfig(),
        metadata=written_as(
            "engine", Record(EngineConfig, "a mapping like {memory: 4096}"), "the engine VM"
        ),
    )
    monitors: MonitorsConfig = attrs.field(
        factory=MonitorsConfig,
        metadata=written_as(
            "monitors",
            Record(MonitorsConfig, "a mapping like {interval: 10s}"),
            "what is measured for the score",
        ),
    )
    notify: NotifyConfig = attrs.field(
        default=NotifyConfig(),
        metadata=written_as(
            "notify",
            OpenRecord(NotifyConfig, "a mapping like {smtp: {}}", registry.NOTIFIERS),
            "what people are told",
        ),
    )
    policy: Policy = attrs.field(
        default=TALK,
        metadata=written_as(
            "policy",
            PolicyForm(),
            "a policy's name, or a mapping of `base` (a name) and the fields that differ",
        ),
    )
    log: LogConfig = attrs.field(
        default=LogConfig(),
        metadata=written_as("log", Record(LogConfig, "a mapping like {level: info}"), "the log"),
    )
    metrics: MetricsConfig = attrs.field(
        default=MetricsConfig(),
        metadata=written_as(
            "metrics",
            Record(MetricsConfig, "a mapping like {port: 9877}"),
            "a TCP port for Prometheus",
        ),
    )
    history: HistoryConfig = attrs.field(
        default=HistoryConfig(),
        metadata=written_as(
            "history",
            Record(HistoryConfig, "a mapping like {size: 64}"),
            "this host's decisions, which are kept below `state_dir`",
        ),
    )
    ovirt: Optional[OvirtConfig] = attrs.field(
        default=OvirtConfig(),
        metadata=written_as(
            "ovirt",
            OVIRT_FORM,
            "where oVirt's own files are; null or none: they are not read",
        ),
    )
    parse_version: int = attrs.field(
        default=PARSE_VERSION,
        metadata=written_as(
            "parse_version",
            Integer(PARSE_VERSION, VERSION_MAX),
            "the version of the records that this host writes; a higher one than the product's"
            " own is for rehearsing how older agents meet it",
        ),
    )
    others: Mapping[str, Any] = attrs.field(factory=dict)
    origins: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False)

    @property
    def broker_socket(self) -> Path:
        """The broker's socket."""
        return self.run_dir / "broker.sock"

    @property
    def health_url(self) -> str:
        """The address of the engine's health page."""
        # One of the two addresses is there, or none is asked for: see `checks`.
        return self.engine.health.url or self.hypervisor.health_url or ""

    def to_plain(self) -> dict[str, Any]:
        """
        Return all values as a configuration file has them, defaults too.

        Written as YAML and read again they make an equal configuration.
        """
        values: dict[str, Any] = plain(self)
        return values
