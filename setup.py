"""
The build: plain Python, or with `HE_FSM_COMPILE=1` what decides and what plays compiled by mypyc.

The rest of the package's description is in pyproject.toml. A compiled package has the same modules;
each of `COMPILED` is there twice, and Python takes the compiled one. `HE_FSM_COMPILE_LEVEL` is the
C compiler's level of optimisation: 0 compiles in a few seconds, 3 makes the fastest.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from setuptools import Extension

# What most of the time goes into.
COMPILED = (
    *("alarms", "effects", "liveness", "memory", "observe", "placement", "reasons"),
    *("remembered", "score", "snapshot", "step", "tick", "value", "watch"),
    *("crowd.crowd", "metadata.record", "metadata.whiteboard"),
    *("states.engine_down", "states.engine_migrating_away", "states.engine_starting"),
    *("states.engine_stopping", "states.engine_up", "states.global_maintenance"),
    *("states.guards", "states.local_maintenance", "states.names", "states.remembering"),
    *("states.rows", "states.score_blocked", "states.unknown", "states.view"),
    *("check.beginning", "check.cluster", "check.expand", "check.faults", "check.heard"),
    *("check.judge", "check.layout", "check.leases", "check.local", "check.memories"),
    *("check.numbers", "check.orders", "check.passing", "check.quiet_runs", "check.rounds"),
    *("check.suspension", "check.truth"),
    *("report.events", "report.truth", "scenario.judging.judge"),
    *(
        "simulate.agent",
        "simulate.before",
        "simulate.clock",
        "simulate.engine",
        "simulate.facts",
        "simulate.host",
    ),
    *("simulate.lockspace", "simulate.page", "simulate.publish", "simulate.rules"),
    *("simulate.run", "simulate.schedule", "simulate.showing", "simulate.start"),
    *("simulate.storage", "simulate.trace", "simulate.world"),
    *("simulate.happenings.agent_process", "simulate.happenings.daemons"),
    *("simulate.happenings.faults", "simulate.happenings.freezing", "simulate.happenings.guard"),
    *("simulate.happenings.hypervisor", "simulate.happenings.migrations"),
    *("simulate.happenings.power", "simulate.happenings.renewals"),
    *("simulate.happenings.restarts", "simulate.happenings.slots"),
    "simulate.happenings.suspension",
    *("simulate.idle.crowds", "simulate.idle.hooks", "simulate.idle.looks"),
    *("simulate.idle.pulse", "simulate.idle.skipper"),
)
# mypyc is a part of mypy, which knows by attrs' own types what attrs adds to a class.
_COMPILER = ("mypy>=1.18,<2", "attrs>=23.1")
# The package's own types are checked by `make types`; here only what is compiled has to be known.
_FLAGS = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")
_BUILDING = {"bdist_wheel", "build", "build_ext"}


def is_asked_for() -> bool:
    """Whether the build is to be compiled."""
    return os.environ.get("HE_FSM_COMPILE") == "1"


def extensions() -> list[Extension]:
    """Return the compiled modules; none unless they are asked for, and a package is being built."""
    if not is_asked_for() or not _BUILDING & set(sys.argv):
        return []
    from mypyc.build import mypycify  # noqa: PLC0415 - needed for this alone

    level = os.environ.get("HE_FSM_COMPILE_LEVEL", "3")
    paths = [f"he_fsm/{name.replace('.', '/')}.py" for name in COMPILED]
    found: list[Extension] = mypycify([*_FLAGS, *paths], opt_level=level, debug_level="0")
    for extension in found:
        # Looking for mistakes in C that was generated takes longer than all else.
        extension.extra_compile_args = [*extension.extra_compile_args, "-Wno-all"]
    return found


if __name__ == "__main__":
    from setuptools import setup

    # What the plain build asks for beside setuptools: nothing.
    setup(ext_modules=extensions(), setup_requires=_COMPILER if is_asked_for() else ())
