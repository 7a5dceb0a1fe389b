"""`ScoreBlocked`: too many bad endings here; score 0 until the block expires."""

from __future__ import annotations

from he_fsm.states import rows
from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.view import View

HERE = State.SCORE_BLOCKED


def block_has_expired(view: View) -> bool:
    """The block that followed the last bad ending has expired; the host may start the VM again."""
    return not view.is_blocked


ROWS = (
    rows.lose_sight(HERE),
    rows.hands_off(HERE),
    rows.stop_agent(HERE),
    rows.adopt(HERE),
    rows.give_up_arrival(HERE),
    rows.take_out(HERE),
    Transition(
        HERE,
        "block_expired",
        block_has_expired,
        State.ENGINE_DOWN,
        "the last bad ending is long enough ago; nothing is given up for good",
        notifies=True,
        in_series=True,
    ),
)
