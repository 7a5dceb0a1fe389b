"""The section `monitors.network`: how the tests of the network are set."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import attrs

from he_fsm.document.forms import Duration, Integer, OrNull
from he_fsm.document.mappings import written_as
from he_fsm.runtime.config.forms import PORT, TIME, LineForm, PathForm
from he_fsm.runtime.config.kind_form import KIND


@attrs.frozen(kw_only=True)
class NetworkMonitorConfig:
    """How to find out whether this host is connected."""

    test: str = attrs.field(
        default="ping",
        metadata=written_as(
            "test",
            KIND,
            "ping: `address`; dns: ask the system's name servers; tcp: connect to `address` and "
            "`port`; none: always well; file: read a fraction from `path`",
        ),
    )
    address: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "address", OrNull(LineForm("an address")), "whom to ping or to connect to: the gateway"
        ),
    )
    port: Optional[int] = attrs.field(
        default=None, metadata=written_as("port", OrNull(PORT), "the port of test tcp")
    )
    name: str = attrs.field(
        default=".",
        metadata=written_as("name", LineForm("a domain name"), "the name that test dns asks for"),
    )
    path: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as("path", OrNull(PathForm()), "the file of test file: 0 to 1 or a flag"),
    )
    timeout_s: float = attrs.field(
        default=5.0, metadata=written_as("timeout", TIME, "how long each try waits for its answer")
    )
    count: int = attrs.field(
        default=5,
        metadata=written_as("count", Integer(1, 100), "tries each time; their share is the value"),
    )
    delay_s: float = attrs.field(
        default=0.5,
        metadata=written_as("delay", Duration(), "from try to try; they may overlap"),
    )
