"""
The build: plain Python, or with `HE_FSM_COMPILE=1` what decides and what plays compiled by mypyc.

The rest of the package's description is in pyproject.toml. A compiled package has the same modules;
each of `COMPILED` is there twice, and Python takes the compiled one. `HE_FSM_COMPILE_LEVEL` is the
C compiler's level of optimisation: 0 compiles in a few seconds, 3 makes the fastest.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from setuptools import Extension

# What most of the time goes into.
COMPILED = (
    *("effects", "liveness", "memory", "placement", "policy", "score", "snapshot", "step", "tick"),
    *("metadata.record", "metadata.whiteboard"),
    *("states.engine_down", "states.engine_migrating_away", "states.engine_starting"),
    *("states.engine_stopping", "states.engine_up", "states.global_maintenance"),
    *("states.guards", "states.local_maintenance", "states.names", "states.row"),
    *("states.score_blocked", "states.unknown", "states.view"),
    *("check.beginning", "check.cluster", "check.expand", "check.faults", "check.judge"),
    *("check.layout", "check.local", "check.memories", "check.quiet_runs", "check.rounds"),
    *("report.events", "report.truth", "scenario.judge"),
    *("simulate.agent", "simulate.clock", "simulate.daemons", "simulate.engine"),
    *("simulate.faults", "simulate.hindsight", "simulate.host", "simulate.lockspace"),
    *("simulate.looks", "simulate.quiet", "simulate.renewals", "simulate.rules"),
    *("simulate.run", "simulate.schedule", "simulate.start", "simulate.storage"),
    "simulate.world",
)
# mypyc is a part of mypy; the values that it compiles against are made by attrs.
_COMPILER = ("mypy>=1.18,<2", "attrs>=23.1")
# The package's own types are checked by `make types`; here only what is compiled has to be known,
# and attrs' functions don't know for attrs classes those that are written out.
_FLAGS = (
    *("--config-file=", "--ignore-missing-imports", "--follow-imports=silent"),
    "--disable-error-code=arg-type",
)
_BUILDING = {"bdist_wheel", "build", "build_ext"}
_HERE = Path(__file__).parent
# The source that is compiled; tracebacks name its lines.
_NATIVE = Path("build", "native")


def is_asked_for() -> bool:
    """Whether the build is to be compiled."""
    return os.environ.get("HE_FSM_COMPILE") == "1"


def extensions() -> list[Extension]:
    """Give the compiled modules; none unless they are asked for, and a package is being built."""
    if not is_asked_for() or not _BUILDING & set(sys.argv):
        return []
    from mypyc.build import mypycify  # noqa: PLC0415 - needed for this alone

    level = os.environ.get("HE_FSM_COMPILE_LEVEL", "3")
    found: list[Extension] = mypycify(
        [*_FLAGS, *_write_sources()], opt_level=level, debug_level="0"
    )
    for extension in found:
        # Looking for mistakes in C that was generated takes longer than all else.
        extension.extra_compile_args = [*extension.extra_compile_args, "-Wno-all"]
    return found


def _write_sources() -> list[str]:
    """Write the package's source as it is compiled; returns the paths of what is."""
    sys.path.insert(0, str(_HERE / "tools"))
    from native_classes import written_out  # noqa: PLC0415 - as above

    package = _NATIVE / "he_fsm"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(_HERE / "he_fsm", package, ignore=shutil.ignore_patterns("__pycache__"))
    paths = [package / f"{name.replace('.', '/')}.py" for name in COMPILED]
    for path in paths:
        path.write_text(written_out(path.read_text(encoding="utf-8")), encoding="utf-8")
    return [str(path) for path in paths]


if __name__ == "__main__":
    from setuptools import setup

    # What the plain build asks for beside setuptools: nothing.
    setup(ext_modules=extensions(), setup_requires=_COMPILER if is_asked_for() else ())
