"""What happened in a simulated cluster, in the order in which it did."""

from __future__ import annotations

from typing import Any, Optional

import attrs


@attrs.frozen
class Event:
    """
    One thing that happened.

    `t`: seconds since the scenario began. `host`: the host's name, None where it is about
    none. `kind`: fault, state, score, vm, lease, start, migration, problem, notification,
    agent, liveness or rule; `details` depend on it and hold plain values only.
    """

    t: float
    host: Optional[str]
    kind: str
    details: dict[str, Any]

    def text(self) -> str:
        """Give the event in words, without time and host."""
        return str(self.details.get("text", self.kind))
