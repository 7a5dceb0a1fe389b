"""
he_fsm: a highly available hosted engine whose every decision you can see beforehand.

A host's behaviour is a declared state machine of pure functions: `step(memory, snapshot, policy)`
decides, and reads nothing but its arguments. The same functions run in the daemon, in the
simulator and in your own program.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from he_fsm.effects import (
        CancelMigration,
        Effect,
        EndGlobal,
        GiveUpArrival,
        LetGo,
        MigrateVm,
        Notify,
        PowerOffVm,
        ShutDownVm,
        StartVm,
        StopAgent,
    )
    from he_fsm.errors import (
        HeFsmError,
        MissingExtraError,
        PolicyError,
        RecordFieldError,
        RecordTooLongError,
        ScenarioError,
    )
    from he_fsm.liveness import Liveness
    from he_fsm.machine import build_machine, fire, follow
    from he_fsm.memory import Memory
    from he_fsm.metadata.record import EngineStatus, HostRecord, ProblemWord, SlotProblem
    from he_fsm.metadata.whiteboard import Whiteboard
    from he_fsm.placement import Placement, placement
    from he_fsm.policy import OVIRT, POLICIES, TALK, Policy
    from he_fsm.scenario import Scenario, load_scenarios, parse_scenarios
    from he_fsm.score import Score, ScorePart, score
    from he_fsm.simulate import Outcome, simulate
    from he_fsm.snapshot import (
        Health,
        LeaseView,
        LocalVm,
        OwnerState,
        Reading,
        Readings,
        Result,
        Snapshot,
        VmState,
    )
    from he_fsm.states.diagram import diagram
    from he_fsm.states.names import State
    from he_fsm.states.row import Transition
    from he_fsm.states.table import TABLE
    from he_fsm.step import Step, step

__version__ = "0.1.0"

# Where each public name lives. They are loaded when they are used: `he-fsm --help` and programs
# that need the codec alone do not wait for the rest.
_HOMES = {
    "he_fsm.states.diagram": ("diagram",),
    "he_fsm.effects": (
        "CancelMigration",
        "EndGlobal",
        "GiveUpArrival",
        "LetGo",
        "Effect",
        "MigrateVm",
        "Notify",
        "PowerOffVm",
        "ShutDownVm",
        "StartVm",
        "StopAgent",
    ),
    "he_fsm.errors": (
        "HeFsmError",
        "MissingExtraError",
        "PolicyError",
        "RecordFieldError",
        "RecordTooLongError",
        "ScenarioError",
    ),
    "he_fsm.liveness": ("Liveness",),
    "he_fsm.machine": ("build_machine", "fire", "follow"),
    "he_fsm.memory": ("Memory",),
    "he_fsm.metadata.record": ("EngineStatus", "HostRecord", "ProblemWord", "SlotProblem"),
    "he_fsm.metadata.whiteboard": ("Whiteboard",),
    "he_fsm.placement": ("Placement", "placement"),
    "he_fsm.policy": ("OVIRT", "POLICIES", "TALK", "Policy"),
    "he_fsm.scenario": ("Scenario", "load_scenarios", "parse_scenarios"),
    "he_fsm.score": ("Score", "ScorePart", "score"),
    "he_fsm.simulate": ("Outcome", "simulate"),
    "he_fsm.snapshot": (
        "Health",
        "LeaseView",
        "LocalVm",
        "OwnerState",
        "Reading",
        "Readings",
        "Result",
        "Snapshot",
        "VmState",
    ),
    "he_fsm.states.names": ("State",),
    "he_fsm.states.row": ("Transition",),
    "he_fsm.states.table": ("TABLE",),
    "he_fsm.step": ("Step", "step"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "OVIRT",
    "POLICIES",
    "TABLE",
    "TALK",
    "CancelMigration",
    "Effect",
    "EndGlobal",
    "EngineStatus",
    "GiveUpArrival",
    "HeFsmError",
    "Health",
    "HostRecord",
    "LeaseView",
    "LetGo",
    "Liveness",
    "LocalVm",
    "Memory",
    "MigrateVm",
    "MissingExtraError",
    "Notify",
    "Outcome",
    "OwnerState",
    "Placement",
    "Policy",
    "PolicyError",
    "PowerOffVm",
    "ProblemWord",
    "Reading",
    "Readings",
    "RecordFieldError",
    "RecordTooLongError",
    "Result",
    "Scenario",
    "ScenarioError",
    "Score",
    "ScorePart",
    "ShutDownVm",
    "SlotProblem",
    "Snapshot",
    "StartVm",
    "State",
    "Step",
    "StopAgent",
    "Transition",
    "VmState",
    "Whiteboard",
    "build_machine",
    "diagram",
    "fire",
    "follow",
    "load_scenarios",
    "parse_scenarios",
    "placement",
    "score",
    "simulate",
    "step",
]


class _Package(ModuleType):
    """
    The package, in which a public function wins over the module of the same name.

    Importing `he_fsm.score` binds the module as an attribute here; people mean the function.
    The module stays reachable by `from he_fsm.score import ...`.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in _HOME_OF:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    home = _HOME_OF.get(name)
    if home is None:
        msg = f"module 'he_fsm' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return [*__all__, "__version__"]
