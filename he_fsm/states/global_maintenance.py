"""`GlobalMaintenance`: hands off; the administrator looks after the VM himself."""

from __future__ import annotations

import attrs

from he_fsm.memory import Memory
from he_fsm.states import guards
from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.view import View

HERE = State.GLOBAL_MAINTENANCE


def maintenance_is_over(view: View) -> bool:
    """Slot 0 says so; the state is derived afresh from the facts."""
    return not guards.global_maintenance_is_set(view)


def begin_afresh(view: View, memory: Memory) -> Memory:
    """What the VM went through in the administrator's hands counts for nothing."""
    watch = memory.vm
    if watch is None:
        return memory
    afresh = attrs.evolve(
        watch,
        since=view.now,
        bad_since=None if watch.bad_since is None else view.now,
        paused_since=None if watch.paused_since is None else view.now,
    )
    return attrs.evolve(memory, vm=afresh)


ROWS = (
    guards.lose_sight(HERE),
    Transition(
        HERE,
        "maintenance_over",
        maintenance_is_over,
        State.UNKNOWN,
        "global maintenance is no longer set; the state is derived afresh",
        then=begin_afresh,
    ),
)
