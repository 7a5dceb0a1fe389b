"""What is measured on a host, for its score and for the engine's health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional, Protocol, Union

import attrs

from he_fsm.snapshot import Health, Readings


@attrs.frozen
class HealthReport:
    """What the health page said, why in words, and how many seconds it took to say so."""

    health: Health
    why: str
    took_s: float


Value = Union[float, HealthReport]


class Monitor(Protocol):
    """One fact."""

    @property
    def deadline_s(self) -> float:
        """How long `measure` may take before it is said to hang, in seconds."""

    def measure(self) -> Optional[Value]:
        """
        Measure now; None: the value is not known yet.

        It is called in a thread of its own, and may wait. Raises `MonitorError` alone: there is no
        newer value, and the age of the last one grows.
        """


class Monitors(Protocol):
    """All monitors of a host; asking never waits."""

    def start(self) -> None:
        """Begin to measure."""

    def readings(self) -> Readings:
        """Return the last values with their ages."""

    def engine_health(self) -> tuple[Health, float, str]:
        """Return what the health page said last, how many seconds ago, and why."""

    def health(self) -> Mapping[str, object]:
        """Return what each monitor last found, for people."""

    def close(self) -> None:
        """End the measuring; a monitor that hangs is left behind after a second."""
