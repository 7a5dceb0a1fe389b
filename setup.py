"""
The build: plain Python, or with `HE_FSM_COMPILE=1` what decides and explores compiled by mypyc.

The rest of the package's description is in pyproject.toml. A compiled package has the same modules;
each of `COMPILED` is there twice, and Python takes the compiled one.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from setuptools import Extension

# What most of the time goes into. Modules whose attrs classes have `attrs.field`, or are read back
# by cattrs, stay as they are: mypyc takes such a field for a value of its type, and keeps no types.
COMPILED = (
    *("liveness", "placement", "score", "step", "tick"),
    *("states.engine_down", "states.engine_migrating_away", "states.engine_starting"),
    *("states.engine_stopping", "states.engine_up", "states.global_maintenance"),
    *("states.guards", "states.local_maintenance", "states.names", "states.score_blocked"),
    *("states.unknown", "states.view"),
    *("check.beginning", "check.cluster", "check.expand", "check.faults", "check.judge"),
    *("check.layout", "check.local", "check.memories", "check.quiet_runs", "check.rounds"),
    *("simulate.agent", "simulate.clock", "simulate.daemons", "simulate.engine"),
    *("simulate.faults", "simulate.hindsight", "simulate.host", "simulate.lockspace"),
    *("simulate.looks", "simulate.quiet", "simulate.renewals", "simulate.rules"),
    *("simulate.run", "simulate.schedule", "simulate.start", "simulate.storage"),
    *("simulate.world", "report.truth", "scenario.judge"),
)
# mypyc is a part of mypy; the values that it compiles against are made by attrs.
_COMPILER = ("mypy>=1.18,<2", "attrs>=23.1")
# The package's own types are checked by `make types`; here only what is compiled has to be known.
_FLAGS = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")
_BUILDING = {"bdist_wheel", "build", "build_ext"}


def is_asked_for() -> bool:
    """Whether the build is to be compiled."""
    return os.environ.get("HE_FSM_COMPILE") == "1"


def extensions() -> list[Extension]:
    """Give the compiled modules; none unless they are asked for, and a package is being built."""
    if not is_asked_for() or not _BUILDING & set(sys.argv):
        return []
    from mypyc.build import mypycify  # noqa: PLC0415 - needed for this alone

    paths = [f"he_fsm/{name.replace('.', '/')}.py" for name in COMPILED]
    found: list[Extension] = mypycify([*_FLAGS, *paths], debug_level="0")
    return found


if __name__ == "__main__":
    from setuptools import setup

    # What the plain build asks for beside setuptools: nothing.
    setup(ext_modules=extensions(), setup_requires=_COMPILER if is_asked_for() else ())
