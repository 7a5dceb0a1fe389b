"""The events of a simulated cluster."""

from __future__ import annotations

from typing import Any, Optional

import attrs


@attrs.frozen
class Event:
    """
    One event.

    `t`: seconds since the scenario began. `host`: the host's name; None: the event concerns no
    host. `kind`: fault, state, score, vm, lease, start, migration, problem, notification, agent,
    liveness or rule. `details`: plain values, which depend on the kind.
    """

    t: float
    host: Optional[str]
    kind: str
    details: dict[str, Any]

    def text(self) -> str:
        """Return the event in words, without time and host."""
        return str(self.details.get("text", self.kind))
