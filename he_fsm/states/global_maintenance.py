"""`GlobalMaintenance`: hands off; the administrator looks after the VM himself."""

from __future__ import annotations

from he_fsm.memory import Memory
from he_fsm.states import guards, rows
from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.view import View

HERE = State.GLOBAL_MAINTENANCE


def maintenance_is_over(view: View) -> bool:
    """Slot 0 no longer says maintenance; the state is derived afresh from the facts."""
    return not guards.global_maintenance_is_set(view)


def begin_afresh(view: View, memory: Memory) -> Memory:
    """Restart the VM's timers for bad health and pause: maintenance time does not count."""
    watch = memory.vm
    if watch is None:
        return memory
    afresh = watch._replace(
        bad_since=None if watch.bad_since is None else view.now,
        bad_before_s=0.0,
        paused_since=None if watch.paused_since is None else view.now,
        paused_before_s=0.0,
    )
    return memory._replace(vm=afresh)


ROWS = (
    rows.end_without_lease(HERE),
    rows.lose_sight(HERE),
    Transition(
        HERE,
        "maintenance_over",
        maintenance_is_over,
        State.UNKNOWN,
        "global maintenance is no longer set; the state is derived afresh",
        then=begin_afresh,
        notifies=True,
        by_one=True,
    ),
)
