"""`LocalMaintenance`: the administrator took this host out, or it shuts down; score 0."""

from __future__ import annotations

from he_fsm.states import guards, rows
from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.view import View

HERE = State.LOCAL_MAINTENANCE


def maintenance_is_over(view: View) -> bool:
    """Local maintenance is no longer set, and the host is not about to be shut down."""
    return not view.is_taken_out


ROWS = (
    # Only the hypervisor matters here: administrators may detach the storage during maintenance.
    Transition(
        HERE,
        "hypervisor_silent",
        guards.hypervisor_is_silent,
        State.UNKNOWN,
        "the hypervisor can't be read",
        because=guards.what_is_missing,
    ),
    rows.hands_off(HERE),
    rows.stop_agent(HERE),
    rows.adopt(HERE),
    rows.give_up_arrival(HERE),
    Transition(
        HERE,
        "maintenance_over",
        maintenance_is_over,
        State.ENGINE_DOWN,
        "local maintenance is no longer set",
        notifies=True,
    ),
)
