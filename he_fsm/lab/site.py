"""What all hosts of a lab have in common: folders, times, and what the engine's VM needs."""

from __future__ import annotations

import socket
from pathlib import Path

import attrs

from he_fsm.lab.spec import LabSpec
from he_fsm.policy import Policy


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
        self.folder = folder
        self.shared = folder / "shared"
        # A run folder of each host by its id, for migrations.
        self.by_id = folder / "by-id"
        for each in (self.shared, folder / "hosts", self.by_id):
            each.mkdir()
