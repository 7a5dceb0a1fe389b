"""The one table: every state's rows, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from he_fsm.states import (
    engine_down,
    engine_migrating_away,
    engine_starting,
    engine_stopping,
    engine_up,
    global_maintenance,
    local_maintenance,
    score_blocked,
    unknown,
)
from he_fsm.states.names import State
from he_fsm.states.row import Transition

INITIAL = State.UNKNOWN

TABLE: Mapping[State, tuple[Transition, ...]] = MappingProxyType(
    {
        module.HERE: module.ROWS
        for module in (
            unknown,
            engine_down,
            engine_starting,
            engine_up,
            engine_migrating_away,
            engine_stopping,
            local_maintenance,
            score_blocked,
            global_maintenance,
        )
    }
)

ROWS: tuple[Transition, ...] = tuple(row for rows in TABLE.values() for row in rows)
