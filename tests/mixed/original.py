"""
oVirt's own agent as a model, for clusters in which it runs beside ours.

Its states, guards, times and scores as ovirt-hosted-engine-ha 2.5 has them, with its defects.
`test_original.py` holds it, step by step, to traces of the original (`tests/golden`). It reads a
whiteboard as the original's parser does, which golden data hold as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Optional

import attrs

from he_fsm.metadata import EngineStatus, HostRecord, engine_from_text
from he_fsm.metadata.ovirt_fields import fields_of

ALIVE_S: Final = 60
HISTORY_S: Final = 900
SLOT_BYTES: Final = 4096
# Times of the states that have one, in seconds.
TIMERS: Final = {
    "EngineStarting": ("EngineStop", 600),
    "EngineUpBadHealth": ("EngineStop", 300),
    "EngineStop": ("EngineForceStop", 300),
    "EngineMaybeAway": ("EngineUnexpectedlyDown", 40),
    "EngineUnexpectedlyDown": ("EngineDown", 560),
}
NO_SCORE: Final = (
    *("StartState", "ReinitializeFSM", "LocalMaintenance", "EngineUnexpectedlyDown"),
    "AgentStopped",
)
# Whether the timer's edge waits for the next loop; all but one do.
NO_WAIT_AT_EXPIRY: Final = ("EngineMaybeAway",)


@attrs.frozen
class Remote:
    """What the original's parser returns of another host."""

    timestamp: int
    score: int
    engine: EngineStatus


@attrs.frozen
class Seen:
    """
    What one collection of data has found; times in whole seconds of the host's own clock.

    `remotes` are what is read of `board`.
    """

    now: int
    engine: EngineStatus
    remotes: Mapping[int, Remote] = attrs.field(factory=dict)
    network: float = 1.0
    is_global: bool = False
    is_local: bool = False
    board: bytes = b""


@attrs.frozen
class Taken:
    """One step: an edge (or none), what was done, and what is published after it."""

    before: str
    after: str
    no_wait: bool
    actions: tuple[str, ...]
    score: int
    alive: tuple[int, ...]
    best_engine_host: int
    best_score_host: Optional[int]
    timer: Optional[int]


def rank(engine: EngineStatus) -> int:
    """Return how good an engine is, by the original's order."""
    if engine.vm == "unknown":
        return 0
    if engine.vm.startswith("down"):
        return 1
    if engine.detail == "Paused":
        return 2
    return 4 if engine.health == "good" else 3


@attrs.define
class Original:
    """One agent; `act` carries out start, shutdown and poweroff, and says whether that was done."""

    host_id: int
    act: Callable[[str], bool]
    state: str = "StartState"
    timer: Optional[int] = None
    failed: int = 0
    # As it was last published: guards compare with that.
    score: int = 0
    history: list[Seen] = attrs.field(factory=list)
    _actions: list[str] = attrs.field(factory=list)

    def look(self, seen: Seen) -> list[Taken]:
        """Do one loop: steps at the same second until one waits."""
        old = [each for each in self.history if each.now > seen.now - HISTORY_S]
        alive = self._alive(old, seen)
        self.history = [seen, *old]
        found = []
        while True:
            found.append(self._step(seen, alive))
            if not found[-1].no_wait:
                return found

    def record(self, seen: Seen, *, is_stopped: bool = False) -> HostRecord:
        """Return what it publishes after a loop, or as its last words."""
        state = "AgentStopped" if is_stopped else self.state
        return HostRecord(
            host_id=self.host_id,
            timestamp=seen.now,
            score=0 if state in NO_SCORE else self.score,
            engine=seen.engine,
            hostname=f"host{self.host_id}",
            local_maintenance=state == "LocalMaintenance",
            stopped=is_stopped,
            text=f"state={state}",
        )

    # What it knows.

    def _alive(self, old: Sequence[Seen], seen: Seen) -> dict[int, Remote]:
        before = next((each for each in old if each.now + ALIVE_S < seen.now), None)
        if before is None:
            return {}
        return {
            host_id: remote
            for host_id, remote in seen.remotes.items()
            if host_id not in before.remotes
            or before.remotes[host_id].timestamp != remote.timestamp
        }

    def _best_engine(self, seen: Seen, alive: Mapping[int, Remote]) -> tuple[int, EngineStatus]:
        best = (self.host_id, seen.engine)
        for host_id, remote in alive.items():
            if rank(remote.engine) > rank(best[1]):
                best = (host_id, remote.engine)
        return best

    def _best_score(self, alive: Mapping[int, Remote]) -> Optional[int]:
        best: Optional[int] = None
        for host_id, remote in alive.items():
            if remote.score > (0 if best is None else alive[best].score):
                best = host_id
        return best

    def _normal_score(self, seen: Seen) -> int:
        total = 3400 - int((1.0 - seen.network) * 1600)
        return max(0, 0 if self.failed > 3 else total - 50 * self.failed)

    # One step.

    def _step(self, seen: Seen, alive: Mapping[int, Remote]) -> Taken:
        before, self._actions = self.state, []
        after, waits = self._expired(seen) or self._next(seen, alive)
        if after != before:
            self.timer = None
        elif before in TIMERS and self.timer is None:
            self.timer = seen.now
        self.state = after
        if before == "EngineStart":
            # The count is cleared on the very next refresh: a defect of the original.
            self.score, self.failed = self._normal_score(seen), 0
        else:
            self.score = self._normal_score(seen)
        if after in NO_SCORE:
            self.score = 0
        return Taken(
            before,
            after,
            not waits,
            tuple(self._actions),
            self.score,
            tuple(sorted(alive)),
            self._best_engine(seen, alive)[0],
            self._best_score(alive),
            self.timer,
        )

    def _expired(self, seen: Seen) -> Optional[tuple[str, bool]]:
        if self.state not in TIMERS or self.timer is None:
            return None
        to, limit_s = TIMERS[self.state]
        if self.timer + limit_s < seen.now:
            return to, self.state not in NO_WAIT_AT_EXPIRY
        return None

    def _next(self, seen: Seen, alive: Mapping[int, Remote]) -> tuple[str, bool]:
        guarded = self._guarded(seen)
        if guarded is not None:
            return guarded, True
        rule: Callable[[Seen, Mapping[int, Remote]], tuple[str, bool]] = getattr(
            self, f"_{self.state}"
        )
        return rule(seen, alive)

    def _guarded(self, seen: Seen) -> Optional[str]:
        is_unknown = seen.engine.vm == "unknown"
        here = self.state
        if here == "StartState":
            return None
        if seen.is_global and here != "LocalMaintenance":
            return "GlobalMaintenance"
        if here in ("EngineUp", "EngineUpBadHealth"):
            return "UnknownLocalVmState" if is_unknown else None
        if seen.is_local:
            return "LocalMaintenance"
        if is_unknown and here not in ("GlobalMaintenance", "LocalMaintenance"):
            return "UnknownLocalVmState"
        return None

    def _do(self, action: str) -> bool:
        is_done = self.act(action)
        self._actions.append(f"{action}:{'ok' if is_done else 'fail'}")
        return is_done

    # The states' own rules, by their names.

    def _StartState(self, _: Seen, __: Mapping[int, Remote]) -> tuple[str, bool]:  # noqa: N802
        return "ReinitializeFSM", True

    def _ReinitializeFSM(self, seen: Seen, _: Mapping[int, Remote]) -> tuple[str, bool]:  # noqa: N802
        return ("EngineStarting", False) if seen.engine.vm == "up" else ("EngineDown", True)

    def _EngineDown(self, seen: Seen, alive: Mapping[int, Remote]) -> tuple[str, bool]:  # noqa: N802
        host_id, engine = self._best_engine(seen, alive)
        if engine.vm == "up":
            return ("EngineStarting", False) if host_id == self.host_id else ("EngineDown", True)
        if self.history[0].now - self.history[-1].now < ALIVE_S:
            return "EngineDown", True
        best = self._best_score(alive)
        if best is None or alive[best].score <= self.score:
            return "EngineStart", False
        return "EngineDown", True

    def _EngineStart(self, _: Seen, __: Mapping[int, Remote]) -> tuple[str, bool]:  # noqa: N802
        if self._do("start"):
            self.failed = 0
            return "EngineStarting", True
        self.failed += 1
        return "EngineDown", True

    def _EngineStarting(self, seen: Seen, _: Mapping[int, Remote]) -> tuple[str, bool]:  # noqa: N802
        if seen.engine.vm == "up":
            return ("EngineUp" if seen.engine.health == "good" else "EngineStarting"), True
        return ("EngineForceStop" if seen.engine.vm == "down" else "EngineMaybeAway"), False

    def _EngineUp(self, seen: Seen, alive: Mapping[int, Remote]) -> tuple[str, bool]:  # noqa: N802
        if seen.engine.vm == "down":
            return "EngineMaybeAway", True
        if seen.engine.vm == "down_unexpected":
            return "EngineUnexpectedlyDown", True
        host_id, engine = self._best_engine(seen, alive)
        if engine.vm != "up":
            return "EngineMaybeAway", False
        if host_id != self.host_id:
            return "EngineStop", True
        best = self._best_score(alive)
        if best is not None and alive[best].score >= self.score + 800:
            return "EngineStop", True
        return ("EngineUpBadHealth" if engine.health == "bad" else "EngineUp"), True

    _EngineUpBadHealth = _EngineUp

    def _EngineStop(self, seen: Seen, _: Mapping[int, Remote]) -> tuple[str, bool]:  # noqa: N802
        if seen.engine.vm != "up":
            return "EngineDown", True
        if seen.engine.detail == "Paused":
            return "EngineForceStop", False
        if self.timer is None and not self._do("shutdown"):
            return "ReinitializeFSM", True
        return "EngineStop", True

    def _EngineForceStop(self, _: Seen, __: Mapping[int, Remote]) -> tuple[str, bool]:  # noqa: N802
        return ("EngineDown" if self._do("poweroff") else "ReinitializeFSM"), True

    def _EngineMaybeAway(self, seen: Seen, alive: Mapping[int, Remote]) -> tuple[str, bool]:  # noqa: N802
        states = {"down": "EngineDown", "down_unexpected": "EngineUnexpectedlyDown"}
        if seen.engine.vm in states:
            return states[seen.engine.vm], True
        if seen.engine.vm == "up":
            return "EngineUp", True
        is_up = self._best_engine(seen, alive)[1].vm == "up"
        return ("EngineDown" if is_up else "EngineMaybeAway"), True

    def _EngineUnexpectedlyDown(  # noqa: N802
        self, seen: Seen, alive: Mapping[int, Remote]
    ) -> tuple[str, bool]:
        host_id, engine = self._best_engine(seen, alive)
        is_here = engine.vm == "up" and host_id == self.host_id
        return ("EngineUp" if is_here else "EngineUnexpectedlyDown"), True

    def _UnknownLocalVmState(self, _: Seen, __: Mapping[int, Remote]) -> tuple[str, bool]:  # noqa: N802
        return "ReinitializeFSM", False

    def _GlobalMaintenance(self, _: Seen, __: Mapping[int, Remote]) -> tuple[str, bool]:  # noqa: N802
        return "ReinitializeFSM", True

    _LocalMaintenance = _GlobalMaintenance


def remotes_of(board: bytes, host_id: int) -> dict[int, Remote]:
    """Return what the original reads of the other hosts; a slot that it can't parse is left out."""
    found = {}
    for other in range(1, len(board) // SLOT_BYTES):
        fields = fields_of(other, board[other * SLOT_BYTES : (other + 1) * SLOT_BYTES])
        if fields and other != host_id:
            found[other] = Remote(
                int(fields["host-ts"]),
                int(fields["score"]),
                engine_from_text(str(fields["engine-status"])),
            )
    return found
