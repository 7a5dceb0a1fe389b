"""What a host remembers, at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from hypothesis import strategies as st

from he_fsm.alarms import MEANING
from he_fsm.memory import Memory, Sighting
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.policy import Policy
from he_fsm.remembered import FailedStarts, Moves, RaisedAlarm, VmWatch
from he_fsm.snapshot import VmState
from he_fsm.states.names import State
from he_fsm.testing.scenes import NOW
from he_fsm.testing.strategies.boards import (
    draw_record,
    draw_slot,
    global_flags,
    newer_timestamps,
    problem_words,
)
from he_fsm.testing.strategies.drawing import (
    GRID_S,
    Content,
    Draw,
    booleans,
    one_in_eight,
    seconds_or_none,
    whole,
)
from he_fsm.testing.strategies.policies import age_s, ages, limits_s

# The VM's states that fit each state of the host; other combinations are drawn too.
VM_OF = {
    State.UNKNOWN: (VmState.ABSENT, VmState.UP),
    State.ENGINE_DOWN: (VmState.ABSENT,),
    State.ENGINE_STARTING: (VmState.UP, VmState.STARTING, VmState.ABSENT),
    State.ENGINE_UP: (VmState.UP, VmState.UP, VmState.PAUSED),
    State.ENGINE_MIGRATING_AWAY: (VmState.LEAVING, VmState.UP, VmState.ABSENT),
    State.ENGINE_STOPPING: (VmState.STOPPING, VmState.PAUSED, VmState.ABSENT),
    State.LOCAL_MAINTENANCE: (VmState.ABSENT,),
    State.SCORE_BLOCKED: (VmState.ABSENT,),
    State.GLOBAL_MAINTENANCE: (VmState.ABSENT, VmState.UP),
}
_HAS_VM = frozenset(state for state, usual in VM_OF.items() if usual[0] is not VmState.ABSENT)
# When a maintenance ends, on a wall clock that shows the time of the scene: near its present.
untils = st.none() | st.integers(int(NOW) - 5, int(NOW) + 70)
_kinds_of_sighting = st.sampled_from(["none", "same", "same", "older", "older", "any"])


class Past:
    """Moments before now, near the limits of a policy."""

    def __init__(self, draw: Draw, policy: Policy) -> None:
        self._draw = draw
        self._limits = limits_s(policy)

    def moment(self) -> float:
        return NOW - age_s(self._draw(ages), self._limits)

    def moment_or_none(self) -> Optional[float]:
        return self.moment() if self._draw(booleans) else None


def draw_sighting(
    draw: Draw, past: Past, host_id: int, content: Content, policy: Policy
) -> Optional[Sighting]:
    """Draw what was seen of a host whose slot now holds *content*: often that or one earlier."""
    kind = draw(_kinds_of_sighting)
    if kind == "none":
        return None
    since = past.moment()
    grew_at = past.moment_or_none()
    record = content if isinstance(content, HostRecord) else draw_record(draw, host_id, policy)
    if kind == "older":
        record = record._replace(timestamp=record.timestamp - 1)
    if kind != "any":
        return whole(
            Sighting,
            content=content if kind == "same" else record,
            timestamp=record.timestamp,
            grew_at=None if grew_at is None else max(grew_at, since),
            since=since,
            record=record,
            problem=None,
            newer_timestamp=None,
            is_newer=False,
            doubts=0,
            stepped_at=0.0,
        )
    return whole(
        Sighting,
        content=draw_slot(draw, host_id, policy),
        timestamp=draw(newer_timestamps),
        grew_at=grew_at,
        since=since,
        record=record if draw(booleans) else None,
        problem=draw(st.none() | problem_words),
        newer_timestamp=draw(newer_timestamps),
        is_newer=draw(one_in_eight),
        doubts=draw(st.integers(0, 5)),
        stepped_at=past.moment(),
    )


def _watch(draw: Draw, past: Past) -> VmWatch:
    return whole(
        VmWatch,
        since=past.moment(),
        started_here=draw(booleans),
        was_good=draw(booleans),
        bad_since=past.moment_or_none(),
        bad_before_s=draw(seconds_or_none),
        paused_since=past.moment_or_none(),
        paused_before_s=draw(seconds_or_none),
        power_off_at=past.moment_or_none(),
        is_ordered_down=draw(booleans),
        has_slept=draw(booleans),
        is_gone=draw(one_in_eight),
    )


def _moves(draw: Draw, past: Past, hosts: Sequence[int]) -> Moves:
    return whole(
        Moves,
        target=draw(st.none() | st.sampled_from(hosts)),
        failures=draw(st.integers(0, 40)),
        failed_at=past.moment(),
        refused_by=draw(st.none() | st.sampled_from(hosts)),
        moves=draw(st.integers(0, 40)),
        moved_at=past.moment(),
        seen_on=draw(st.none() | st.sampled_from(hosts)),
    )


def _alarms(draw: Draw, past: Past) -> tuple[RaisedAlarm, ...]:
    names = draw(st.lists(st.sampled_from(sorted(MEANING)), max_size=3, unique=True))
    return tuple(
        whole(
            RaisedAlarm,
            name=name,
            since=past.moment(),
            told=draw(st.integers(0, 40)),
            next_at=past.moment(),
            ended_at=past.moment_or_none(),
            is_open=draw(booleans),
        )
        for name in names
    )


_NO_MOVES = whole(
    Moves,
    target=None,
    failures=0,
    failed_at=0.0,
    refused_by=None,
    moves=0,
    moved_at=0.0,
    seen_on=None,
)
_NO_FAILED_STARTS = whole(FailedStarts, count=0, last_at=0.0, good_runs=0, time_outs=0)


def draw_memory(
    draw: Draw,
    past: Past,
    hosts: Sequence[int],
    policy: Policy,
    board: Whiteboard,
    state: State,
    troubles: set[str],
) -> Memory:
    """Draw what the first of *hosts* remembers in *state*, of the others as they are on *board*."""
    seen = {
        host_id: draw_sighting(draw, past, host_id, board.slots.get(host_id), policy)
        for host_id in hosts[1:]
    }
    sightings = {host_id: found for host_id, found in seen.items() if found is not None}
    if "superseded" in troubles:
        sightings = {i: found._replace(is_newer=True) for i, found in sightings.items()}
    failed = _NO_FAILED_STARTS
    if ("failed starts" in troubles) is not (state is State.SCORE_BLOCKED):
        failed = whole(
            FailedStarts,
            count=draw(st.integers(0, 5)),
            last_at=past.moment(),
            good_runs=draw(st.integers(0, 5)),
            time_outs=draw(st.integers(0, 5)),
        )
    read_at: Optional[float] = past.moment() if draw(booleans) else NOW - GRID_S
    if "never read before" in troubles:
        read_at = None
    remembers_vm = "a VM is remembered" in troubles or (
        state in _HAS_VM and "no VM is remembered" not in troubles
    )
    return whole(
        Memory,
        state=state,
        since=past.moment(),
        began_at=past.moment(),
        looked_at=past.moment() if draw(one_in_eight) else NOW - GRID_S,
        boot_ahead=0.0 if "another clock" in troubles else None,
        sightings=sightings,
        read_at=read_at,
        is_blind="was blind before" in troubles,
        global_maintenance=draw(global_flags)
        if "another value of slot 0 remembered" in troubles
        else False,
        global_is_old=draw(one_in_eight),
        global_problem=None,
        global_problem_since=None,
        global_until=draw(untils) if "a maintenance with an end" in troubles else None,
        global_ended_at=past.moment_or_none(),
        failed=failed,
        well_since=past.moment_or_none(),
        vm=_watch(draw, past) if remembers_vm else None,
        moves=_moves(draw, past, hosts) if "moves" in troubles else _NO_MOVES,
        better_since=past.moment_or_none(),
        named_since=past.moment_or_none(),
        arriving_since=past.moment_or_none(),
        claimed_at=past.moment_or_none(),
        refused_at=past.moment_or_none(),
        draining_since=past.moment_or_none(),
        keeps_engine=draw(one_in_eight),
        has_let_go=draw(one_in_eight),
        alarms=_alarms(draw, past) if "alarms" in troubles else (),
    )
