"""What a host's daemons read of a lab: the values of its monitors, and its policy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from he_fsm.files.whole import write_whole
from he_fsm.policy import Policy


def write_readings(folder: Path, readings: Mapping[str, float]) -> None:
    """Write the files that the monitors read; each is replaced at once."""
    lines = {
        "network": f"{readings['gateway']:g}",
        "bridge": f"{readings['bridge']:g}",
        "memory": f"{readings['mem_free']:g} {readings['mem_load']:g}",
        "cpu": f"{readings['cpu_load']:g}",
    }
    for name, line in lines.items():
        write_whole(folder / name, f"{line}\n".encode(), is_durable=False)


def policy_section(policy: Policy) -> dict[str, float]:
    """Return the configuration's section that says every number of a policy."""
    return {
        field.name: getattr(policy, field.name)
        for field in attrs.fields(Policy)
        if field.name != "name"
    }
