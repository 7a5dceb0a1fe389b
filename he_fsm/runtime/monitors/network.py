"""
Whether the network answers: the fraction of several probes that were answered, 0 to 1.

Single packets get lost on sound networks, so one probe proves nothing. Probes overlap in time: a
network that has gone is known after one time-out, not after one for each probe.

Source: ovirt-hosted-engine-ha 2.5, its network tests ping, dns, tcp and none, five tries each.
"""

from __future__ import annotations

import threading
import time
from typing import Optional, Protocol

import attrs

from he_fsm.errors import MonitorError

# Beyond the probes' own time-outs: threads, and a name that has to be resolved.
_MARGIN_S = 5.0


class Probe(Protocol):
    """One question to the network."""

    @property
    def longest_s(self) -> float:
        """How long it may take."""

    def is_answered(self) -> bool:
        """Ask once; raises `MonitorError` where nothing could be asked."""


@attrs.frozen
class Network:
    """*count* probes that begin *spread_s* after each other."""

    probe: Probe
    count: int = 5
    spread_s: float = 0.2

    @property
    def deadline_s(self) -> float:
        """How long measuring may take."""
        return self.probe.longest_s + self.spread_s * (self.count - 1) + _MARGIN_S

    def measure(self) -> float:
        """
        Return the fraction of the probes that were answered.

        Raises:
            MonitorError: nothing could be asked; that says nothing about the network.
        """
        asked = [_Asked(self.probe) for _ in range(self.count)]
        for number, probe in enumerate(asked):
            if number:
                time.sleep(self.spread_s)
            probe.start()
        for probe in asked:
            probe.join()
        for probe in asked:
            if probe.error is not None:
                raise probe.error
        return sum(probe.is_answered for probe in asked) / self.count


@attrs.frozen
class NoNetworkTest:
    """The network is taken to be fine, always."""

    deadline_s: float = _MARGIN_S

    def measure(self) -> float:
        """Return 1.0."""
        return 1.0


class _Asked(threading.Thread):
    """One probe under way."""

    def __init__(self, probe: Probe) -> None:
        super().__init__(name="he-fsm probe", daemon=True)
        self.probe = probe
        self.is_answered = False
        self.error: Optional[MonitorError] = None

    def run(self) -> None:
        try:
            self.is_answered = self.probe.is_answered()
        except MonitorError as error:
            self.error = error
