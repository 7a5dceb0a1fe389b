"""The section `hypervisor` of kind `systemd`: the unit, and where systemd is."""

from __future__ import annotations

from typing import Final, Optional

import attrs

from he_fsm.document.forms import OrNull
from he_fsm.document.mappings import written_as
from he_fsm.runtime.config.forms import LineForm, MatchForm
from he_fsm.runtime.config.kind_form import named
from he_fsm.runtime.hypervisors.service.section import ServiceSection

# systemd's own address of the system's bus, as libraries call it.
_SYSTEM: Final = "SYSTEM"
UNIT: Final = MatchForm(
    "a unit like postgresql.service", r"[\w:.\\@-]{1,240}\.(service|target|scope|slice|mount)"
)


@attrs.frozen(kw_only=True)
class SystemdConfig(ServiceSection):
    """A unit of systemd, of which one instance runs in the cluster."""

    kind: str = named("systemd", "systemd: a unit of systemd, `unit`, by D-Bus")
    unit: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "unit",
            OrNull(UNIT),
            "the unit; it is not enabled, so that nothing but the agent starts it",
        ),
    )
    bus: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "bus",
            OrNull(LineForm("a D-Bus address like unix:path=/run/bus")),
            "the bus at which systemd is; null: the system's",
        ),
    )

    @property
    def called(self) -> str:
        """What people call the unit."""
        return self.name or self.unit or ""

    @property
    def address(self) -> str:
        """The bus, as the library names it."""
        return self.bus or _SYSTEM
