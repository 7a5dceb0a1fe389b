"""`LocalMaintenance`: the administrator took this host out; score 0."""

from __future__ import annotations

from he_fsm.states import guards
from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.view import View

HERE = State.LOCAL_MAINTENANCE


def maintenance_is_over(view: View) -> bool:
    """The flag is no longer set."""
    return not view.snapshot.local_maintenance


ROWS = (
    # Storage may well be taken away under a host in maintenance: that changes nothing here.
    Transition(
        HERE,
        "hypervisor_silent",
        guards.hypervisor_is_silent,
        State.UNKNOWN,
        "the hypervisor can't be read",
        because=guards.what_is_missing,
    ),
    guards.hands_off(HERE),
    guards.stop_agent(HERE),
    guards.adopt(HERE),
    Transition(
        HERE,
        "maintenance_over",
        maintenance_is_over,
        State.ENGINE_DOWN,
        "local maintenance is no longer set",
        notifies=True,
    ),
)
