"""What a host's daemons read of a lab: values of monitors, policy, and what they remember."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import attrs
import yaml

from he_fsm.files.whole import write_whole
from he_fsm.lab.spec import HostSpec
from he_fsm.memory import Memory
from he_fsm.policy import Policy
from he_fsm.remembered import FailedStarts
from he_fsm.runtime.agent.memory_file import MemoryFile
from he_fsm.runtime.service.local_flag import LocalFlag, write_flag


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


def host_section(spec: HostSpec) -> dict[str, Any]:
    """Return the configuration's section that says who the host is."""
    return {"id": spec.host_id, "hostname": spec.hostname, "preference": spec.preference}


def write_yaml(path: Path, plain: Mapping[str, Any]) -> None:
    """Write a configuration."""
    path.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")


def policy_section(policy: Policy) -> dict[str, float]:
    """Return the configuration's section that says every number of a policy."""
    return {
        field.name: getattr(policy, field.name)
        for field in attrs.fields(Policy)
        if field.name != "name"
    }


def remember_failed_starts(state_dir: Path, count: int, last_at: float) -> None:
    """Write what an agent would remember of its failed starts (monotonic clock, seconds)."""
    memory = Memory()._replace(failed=FailedStarts(count=count, last_at=last_at))
    MemoryFile(state_dir / "memory.json").save(memory, time.monotonic(), time.time())


def set_local_flag(state_dir: Path, *, is_set: bool, until: Optional[int] = None) -> None:
    """Write the local flag as a broker keeps it."""
    write_flag(state_dir / "flags.json", LocalFlag(is_set, until))
