"""What this host can give the VM: QEMU is asked, which takes less than a second."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psutil

from he_fsm.deploy.planning.told import Fitness
from he_fsm.errors import HeFsmError, HypervisorError
from he_fsm.runtime.hypervisors.qemu.accel import usable_accel
from he_fsm.runtime.hypervisors.qemu.command import binary_of
from he_fsm.runtime.hypervisors.qemu.section import VmConfig

_ANSWERS_S: Final = 20.0
_MIB: Final = 1 << 20
# The most able models first, one maker's after the other: a VM gets the first that runs. Source:
# QEMU 10, docs/system/cpu-models-x86.
_ORDER: Final = (
    *("SapphireRapids", "Icelake-Server-noTSX", "Cascadelake-Server-noTSX"),
    *("Skylake-Server-noTSX-IBRS", "Skylake-Client-noTSX-IBRS", "Broadwell-noTSX-IBRS"),
    *("Haswell-noTSX-IBRS", "IvyBridge-IBRS", "SandyBridge-IBRS", "Westmere-IBRS", "Nehalem-IBRS"),
    *("EPYC-Genoa", "EPYC-Milan", "EPYC-Rome", "EPYC-IBPB", "EPYC", "Opteron_G5", "Opteron_G4"),
    *("Opteron_G3", "Westmere", "Nehalem", "Penryn", "Conroe", "kvm64", "qemu64"),
)
_MACHINE: Final = re.compile(r"pc-q35-(?:rhel)?(\d+)\.(\d+)(?:\.(\d+))?")


def fitness_here(*, has_vm: bool = True) -> Fitness:
    """Return what this host can give a VM; what QEMU does not say, or nobody asks, stays empty."""
    memory = psutil.virtual_memory().total // _MIB
    name = os.uname().nodename
    if not has_vm:
        return Fitness(hostname=name, memory_mb=memory)
    try:
        binary = binary_of(VmConfig())
        accel = usable_accel(binary)
        cpus, machines = _asked(binary, accel)
    except HeFsmError:
        return Fitness(hostname=name, memory_mb=memory)
    return Fitness(
        hostname=name,
        cpus=tuple(each for each in _ORDER if each in cpus),
        machines=machines,
        accel=accel,
        memory_mb=memory,
    )


def _asked(binary: str, accel: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the CPU models that run with an accelerator, and the machine types, newest first."""
    words = [binary, "-machine", f"none,accel={accel}", "-nodefaults", "-no-user-config"]
    words += ["-display", "none", "-S", "-qmp", "stdio"]
    orders = ("qmp_capabilities", "query-cpu-definitions", "query-machines", "quit")
    said = "".join(json.dumps({"execute": order, "id": order}) + "\n" for order in orders)
    try:
        ended = subprocess.run(  # noqa: S603 - the program that runs the VM, too
            words, input=said, capture_output=True, text=True, timeout=_ANSWERS_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"QEMU does not say what it can run: {error}"
        raise HypervisorError(msg) from error
    answers = {each["id"]: each.get("return") for each in _lines(ended.stdout) if "id" in each}
    models = answers.get("query-cpu-definitions") or ()
    found = answers.get("query-machines") or ()
    # A model without the field was not compared with this host: an old QEMU, which says nothing.
    runnable = frozenset(
        str(each["name"]) for each in models if each.get("unavailable-features") == []
    )
    return runnable, _newest_first([str(each["name"]) for each in found])


def _newest_first(names: Sequence[str]) -> tuple[str, ...]:
    versions = {}
    for name in names:
        found = _MACHINE.fullmatch(name)
        if found is not None:
            versions[name] = tuple(int(part or 0) for part in found.groups())
    return tuple(sorted(versions, key=lambda name: versions[name], reverse=True))


def _lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
