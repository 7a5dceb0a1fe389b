"""`EngineDown`: watching; the engine runs elsewhere or is about to be started."""

from __future__ import annotations

import attrs

from he_fsm.effects import StartVm
from he_fsm.memory import Memory
from he_fsm.snapshot import VmState
from he_fsm.states import guards
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds
from he_fsm.states.view import View

HERE = State.ENGINE_DOWN


def turn_at(view: View) -> float | None:
    """
    Give when this host's turn to start comes; None: it is not among those that should.

    Equal scores are all eager, a short stagger apart in the order of host ids, so that many
    hosts do not all run into the lease. A lease that runs out is not seen to be free by all at
    once: there the others also leave the first one the time to get it and to be seen.
    """
    since = view.memory.named_since
    hosts = view.placement.hosts
    own_id = view.snapshot.host_id
    if since is None or own_id not in hosts:
        return None
    policy = view.policy
    turns = view.placement.turns
    others = len(turns) - 1
    apart = policy.stagger_s
    if others:
        apart = min(apart, policy.stagger_total_s / others)
    turn = turns.index(own_id)
    first_s = policy.lease_sight_s if turn and view.lease_runs_out else 0.0
    return since + first_s + apart * turn


def this_host_should_start(view: View) -> bool:
    """This host has the highest score, its turn has come, and the lease can be had."""
    if view.vm is not VmState.ABSENT or view.own_score <= 0:
        return False
    at = turn_at(view)
    if at is None:
        return False
    refused_at = view.memory.refused_at
    if refused_at is not None:
        at = max(at, refused_at + view.policy.refused_retry_s)
    return view.due(at)


def why_start(view: View) -> str:
    """Say why here."""
    return f"{view.placement.reason}: start here"


def begin_start(_: View, memory: Memory) -> Memory:
    """Forget the turn: the next start is a new decision."""
    return attrs.evolve(memory, named_since=None, refused_at=None, vm=None)


ROWS = (
    guards.lose_sight(HERE),
    guards.hands_off(HERE),
    guards.stop_agent(HERE),
    # A VM already here is adopted before any score is judged: starting a second
    # one is the only mistake that cannot be undone.
    guards.adopt(HERE),
    guards.take_out(HERE),
    Transition(
        HERE,
        "starts_blocked",
        guards.starts_are_blocked,
        State.SCORE_BLOCKED,
        "too many starts failed here a short time ago",
        because=guards.blocked_until,
        notifies=True,
    ),
    Transition(
        HERE,
        "best_host",
        this_host_should_start,
        State.ENGINE_STARTING,
        "the engine runs nowhere, this host has the highest score above 0, its turn has come, "
        "and the lease can be had",
        deeds(StartVm()),
        because=why_start,
        then=begin_start,
        does="take the lease and start the VM",
        notifies=True,
    ),
)
