"""The states' names."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """
    What a host is doing. The values are the names that logs, whiteboard and diagram show.

    Source: the talk's user named six of them; docs/design.md says why there are three more.
    """

    # Each member is a singleton. Enum's own hash, which hashes the name, is ten times slower.
    __hash__ = object.__hash__

    UNKNOWN = "Unknown"
    ENGINE_DOWN = "EngineDown"
    ENGINE_STARTING = "EngineStarting"
    ENGINE_UP = "EngineUp"
    ENGINE_MIGRATING_AWAY = "EngineMigratingAway"
    ENGINE_STOPPING = "EngineStopping"
    LOCAL_MAINTENANCE = "LocalMaintenance"
    SCORE_BLOCKED = "ScoreBlocked"
    GLOBAL_MAINTENANCE = "GlobalMaintenance"

    @property
    def meaning(self) -> str:
        """The state in one sentence, for people."""
        return _MEANING[self]


_MEANING = {
    State.UNKNOWN: "VM or storage can't be read, or the agent has just started; hands off",
    State.ENGINE_DOWN: "watching; the engine runs elsewhere or is about to be started",
    State.ENGINE_STARTING: "the VM was started, received or found here; waiting for good health",
    State.ENGINE_UP: "the engine runs here",
    State.ENGINE_MIGRATING_AWAY: "a live migration to another host is under way",
    State.ENGINE_STOPPING: "the VM is being shut down; powered off at the deadline",
    State.LOCAL_MAINTENANCE: "taken out by the administrator, or about to be shut down; score 0",
    State.SCORE_BLOCKED: "too many bad endings here; score 0 until the block expires",
    State.GLOBAL_MAINTENANCE: "hands off: the administrator looks after the VM himself",
}
