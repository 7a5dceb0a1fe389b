"""What all hosts of a lab have in common: folders, times, and what the engine's VM needs."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

import attrs

from he_fsm.lab.spec import LabSpec
from he_fsm.policy import Policy

# Source: Linux, ip_local_port_range, which begins above.
_LASTING: Final = (20000, 32000)


def scaled(policy: Policy, speed: float) -> Policy:
    """Return the policy with all its times shorter by *speed*."""
    times = {
        field.name: getattr(policy, field.name) / speed
        for field in attrs.fields(Policy)
        if field.name.endswith("_s")
    }
    return attrs.evolve(policy, **times)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lasting_port() -> int:
    """
    Return a port of this machine that nobody listens on, for who begins to listen later, or anew.

    The kernel gives connections ports of their own from 32768 on, which may be such a one by then.
    """
    while True:
        port = random.randint(*_LASTING)  # noqa: S311 - nobody has to guess it
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Site:
    """
    The place in which hosts stand; a back end adds what its hosts share besides.

    It knows no host: the lab knows both.
    """

    def __init__(self, spec: LabSpec, folder: Path) -> None:
        """Make the folders that hosts share."""
        self.speed = spec.speed
        self.policy = scaled(spec.policy, spec.speed)
        self.memory_mib = spec.memory_mib
        self.vm_times = spec.vm_times
        # How long an orderly shutdown waits for an agent, in real seconds; None: there are none.
        delay_s = spec.shutdown_delay_s
        self.shutdown_delay_s = None if delay_s is None else delay_s / spec.speed
        self.folder = folder
        self.shared = folder / "shared"
        # A run folder of each host by its id, for migrations.
        self.by_id = folder / "by-id"
        for each in (self.shared, folder / "hosts", self.by_id):
            each.mkdir()
