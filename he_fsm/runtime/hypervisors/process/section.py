"""The section `hypervisor` of a configuration whose VM is a process of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import attrs

from he_fsm.document.forms import Duration
from he_fsm.document.mappings import written_as
from he_fsm.runtime.config.forms import PORT, PathForm
from he_fsm.runtime.config.kind_form import HypervisorSection, named
from he_fsm.runtime.config.settings import HEALTH_PAGE


@attrs.frozen(kw_only=True)
class EmbeddedConfig(HypervisorSection):
    """The embedded VM: a process of this machine that keeps a VM's rules."""

    kind: str = named(
        "embedded", "embedded: the VM is a process of this machine that keeps a VM's rules"
    )
    port: int = attrs.field(
        default=8702,
        metadata=written_as("port", PORT, "the port of the embedded VM's health page"),
    )
    boot_s: float = attrs.field(
        default=55.0,
        metadata=written_as("boot", Duration(), "from the VM's start to its health page"),
    )
    start_s: float = attrs.field(
        default=5.0,
        metadata=written_as("start", Duration(), "how long it takes to start the VM"),
    )
    shutdown_s: float = attrs.field(
        default=20.0,
        metadata=written_as("shutdown", Duration(), "how long the VM takes to shut down"),
    )
    migration_s: float = attrs.field(
        default=15.0,
        metadata=written_as("migration", Duration(), "how long a migration takes"),
    )
    hosts_dir: Path = attrs.field(
        default=Path("/run/he-fsm/hosts"),
        metadata=written_as(
            "hosts_dir", PathForm(), "where the embedded hosts of this machine find each other"
        ),
    )

    @property
    def health_url(self) -> Optional[str]:
        """The address of the engine's health page."""
        return f"http://127.0.0.1:{self.port}{HEALTH_PAGE}"
