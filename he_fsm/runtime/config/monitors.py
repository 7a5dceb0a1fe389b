"""The section `monitors`: what is measured for the score."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.document.forms import Flag, OrNull
from he_fsm.document.mappings import Record, written_as
from he_fsm.runtime import registry
from he_fsm.runtime.config.forms import TIME, LineForm, PathForm
from he_fsm.runtime.config.kind_form import KindForm


@attrs.frozen(kw_only=True)
class BridgeMonitorConfig:
    """How to find out whether the management bridge is up."""

    name: str = attrs.field(
        default="ovirtmgmt", metadata=written_as("name", LineForm("an interface"), "the interface")
    )
    path: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "path", OrNull(PathForm()), "a file to read instead: 0 to 1, true or false"
        ),
    )


@attrs.frozen(kw_only=True)
class MemoryMonitorConfig:
    """How to find out how much memory is free."""

    path: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "path",
            OrNull(PathForm()),
            "a file to read instead of the system: free MiB, and the load as a fraction",
        ),
    )
    huge_pages: bool = attrs.field(
        default=False,
        metadata=written_as(
            "huge_pages",
            Flag(),
            "whether the VM's memory is huge pages: then the free ones are its free memory",
        ),
    )


@attrs.frozen(kw_only=True)
class CpuMonitorConfig:
    """How to find out how busy the processors are."""

    path: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "path", OrNull(PathForm()), "a file to read instead of the system: a fraction"
        ),
    )


NETWORK_FORM: Final = KindForm(
    registry.MONITORS, "a mapping like {test: ping, address: 192.0.2.1}", "test", "ping"
)


@attrs.frozen(kw_only=True)
class MonitorsConfig:
    """What is measured for the score."""

    interval_s: float = attrs.field(
        default=10.0, metadata=written_as("interval", TIME, "how often each monitor measures")
    )
    network: Any = attrs.field(
        factory=NETWORK_FORM.usual_section,
        metadata=written_as("network", NETWORK_FORM, "whether this host is connected"),
    )
    bridge: BridgeMonitorConfig = attrs.field(
        default=BridgeMonitorConfig(),
        metadata=written_as(
            "bridge",
            Record(BridgeMonitorConfig, "a mapping like {name: ovirtmgmt}"),
            "whether the management bridge is up",
        ),
    )
    memory: MemoryMonitorConfig = attrs.field(
        default=MemoryMonitorConfig(),
        metadata=written_as(
            "memory",
            Record(MemoryMonitorConfig, "a mapping like {path: memory}"),
            "how much memory is free",
        ),
    )
    cpu: CpuMonitorConfig = attrs.field(
        default=CpuMonitorConfig(),
        metadata=written_as(
            "cpu", Record(CpuMonitorConfig, "a mapping like {path: cpu}"), "how busy the CPUs are"
        ),
    )
