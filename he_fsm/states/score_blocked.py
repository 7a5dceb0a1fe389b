"""`ScoreBlocked`: too many failed starts; score 0 until the block expires."""

from __future__ import annotations

from he_fsm.states import guards
from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.view import View

HERE = State.SCORE_BLOCKED


def block_has_expired(view: View) -> bool:
    """Enough time has passed since the last failed start; the host tries again."""
    return not view.is_blocked


ROWS = (
    guards.lose_sight(HERE),
    guards.hands_off(HERE),
    guards.stop_agent(HERE),
    guards.adopt(HERE),
    guards.take_out(HERE),
    Transition(
        HERE,
        "block_expired",
        block_has_expired,
        State.ENGINE_DOWN,
        "the last failed start is long enough ago; nothing is given up for good",
        notifies=True,
    ),
)
