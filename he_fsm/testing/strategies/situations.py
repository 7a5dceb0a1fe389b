"""All that one decision is made from, at random: a memory, a snapshot and a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import attrs
from hypothesis import strategies as st

from he_fsm.memory import Memory
from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.record import HostRecord
from he_fsm.policy import Policy
from he_fsm.snapshot import (
    Health,
    LeaseView,
    LocalVm,
    Outcome,
    OwnerState,
    Result,
    Snapshot,
    VmState,
)
from he_fsm.states.names import State
from he_fsm.testing.scenes import NOW
from he_fsm.testing.strategies.boards import (
    NO_MAINTENANCE,
    draw_global_block,
    draw_whiteboard,
    host_ids,
)
from he_fsm.testing.strategies.drawing import (
    GRID_S,
    Draw,
    booleans,
    one_in_eight,
    seconds,
    seconds_or_none,
    whole,
)
from he_fsm.testing.strategies.memories import VM_OF, Past, draw_memory, untils
from he_fsm.testing.strategies.policies import any_policies

states = st.sampled_from(State)
_results = st.lists(
    st.sampled_from(
        [whole(Result, outcome=outcome, detail=word) for outcome in Outcome for word in ("", "why")]
    ),
    min_size=1,
    max_size=3,
)
_owner_states = st.sampled_from(OwnerState)
FREE_LEASE = whole(
    LeaseView,
    owner=None,
    owner_state=OwnerState.FREE,
    free_at=None,
    dead_hosts=frozenset(),
    joined=True,
    held_by_other=False,
    doomed_until=None,
    doom="",
    watchdog_s=None,
    kill_grace_s=None,
)


def _leases(draw: Draw, past: Past, hosts: Sequence[int], policy: Policy) -> LeaseView:
    some = st.sampled_from(hosts)
    free_at = past.moment_or_none()
    if free_at is not None and draw(booleans):
        free_at = NOW + (NOW - free_at)
    return whole(
        LeaseView,
        owner=draw(st.none() | some),
        owner_state=draw(_owner_states),
        free_at=free_at,
        dead_hosts=frozenset(draw(st.lists(some, max_size=2))),
        joined=not draw(one_in_eight),
        held_by_other=draw(one_in_eight),
        doomed_until=NOW + draw(seconds) if draw(one_in_eight) else None,
        doom="this host is about to be reset",
        watchdog_s=draw(st.sampled_from([None, policy.watchdog_s, policy.watchdog_s + GRID_S])),
        kill_grace_s=draw(st.sampled_from([None, policy.kill_grace_s, policy.kill_grace_s])),
    )


@attrs.frozen(kw_only=True)
class Situation:
    """All that one decision is made from."""

    memory: Memory
    snapshot: Snapshot
    policy: Policy


# Unusual features of a situation; each occurs, independently, in one of n + 1 cases.
_TROUBLES = {
    "storage can't be read": 15,
    "was blind before": 7,
    "never read before": 7,
    "no lease manager": 15,
    "leases in any state": 3,
    "slot 0 in any state": 11,
    "another value of slot 0 remembered": 11,
    "a maintenance with an end": 11,
    "local maintenance flag": 5,
    "about to be shut down": 7,
    "superseded": 11,
    "a low score here": 2,
    "results": 3,
    "another clock": 7,
    "failed starts": 5,
    "alarms": 7,
    "moves": 3,
    "a VM is remembered": 5,
    "no VM is remembered": 5,
}
_troubles = st.tuples(*[st.integers(0, usual) for usual in _TROUBLES.values()]).map(
    lambda drawn: {name for name, n in zip(_TROUBLES, drawn) if n == _TROUBLES[name]}
)
_healths = st.sampled_from(Health)
_cluster_hosts = st.one_of(
    st.lists(host_ids, min_size=2, max_size=4, unique=True),
    st.lists(host_ids, min_size=1, max_size=4, unique=True),
)
_vm_states = {
    state: st.sampled_from([*usual * (12 // len(usual)), *VmState])
    for state, usual in VM_OF.items()
}


@st.composite
def situations(
    draw: Draw,
    policies_of: st.SearchStrategy[Policy] = any_policies,
    states_of: st.SearchStrategy[State] = states,
) -> Situation:
    """Return situations: of every state, in every VM's state, with whatever the storage says."""
    policy = draw(policies_of)
    hosts = draw(_cluster_hosts)
    troubles = draw(_troubles)
    past = Past(draw, policy)
    block = NO_MAINTENANCE
    if "slot 0 in any state" in troubles:
        block = draw_global_block(draw)
    if "a maintenance with an end" in troubles:
        until = draw(untils)
        block = whole(GlobalBlock, maintenance=True, problem=None, rejected_lines=0, until=until)
    board = draw_whiteboard(draw, hosts, policy, block)
    own_id = hosts[0]
    own = board.slots.get(own_id)
    if isinstance(own, HostRecord) and "a low score here" in troubles:
        own = own._replace(score=0)
        board = board._replace(slots={**board.slots, own_id: own})
    state = draw(states_of)
    # The flag is set more often than not where the state comes from it.
    is_set = ("local maintenance flag" in troubles) is not (state is State.LOCAL_MAINTENANCE)
    memory = draw_memory(draw, past, hosts, policy, board, state, troubles)
    leases: Optional[LeaseView] = FREE_LEASE
    if "no lease manager" in troubles:
        leases = None
    elif "leases in any state" in troubles:
        leases = _leases(draw, past, hosts, policy)
    snapshot = whole(
        Snapshot,
        now=NOW,
        host_id=own_id,
        vm=whole(LocalVm, state=draw(_vm_states[state]), health=draw(_healths)),
        own=own if isinstance(own, HostRecord) else None,
        whiteboard=None if "storage can't be read" in troubles else board,
        leases=leases,
        local_maintenance=is_set,
        results=tuple(draw(_results)) if "results" in troubles else (),
        boot_now=NOW + draw(seconds_or_none) if "another clock" in troubles else None,
        wall_offset_s=0.0,
        leaves_by=_leaves_by(draw, past) if "about to be shut down" in troubles else None,
    )
    return Situation(memory=memory, snapshot=snapshot, policy=policy)


def _leaves_by(draw: Draw, past: Past) -> float:
    """Draw when the host goes down: near the limits of its policy, and seldom too late."""
    at = past.moment()
    return at if draw(one_in_eight) else NOW + (NOW - at)


# Snapshots alone, of whatever state the host is in.
snapshots = situations().map(lambda situation: situation.snapshot)
