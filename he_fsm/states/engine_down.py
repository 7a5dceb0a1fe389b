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


def could_start(view: View) -> bool:
    """Whether this host is in a state to start an engine, whoever else is better."""
    return view.memory.state is HERE and view.vm is VmState.ABSENT


def is_claiming(view: View) -> bool:
    """
    Whether this host says that it is about to take a lease that runs out.

    Hosts see the owner's last renewal at different moments, so each may have the lease at another
    one, which the others don't know: it says so a little before, unless another has done that.
    A host that is better than all others need not.
    """
    free_at = view.leases.free_at
    if free_at is None or not view.lease_runs_out or not could_start(view):
        return False
    memory, policy = view.memory, view.policy
    return (
        view.snapshot.host_id in view.heirs.hosts
        and len(view.heirs.turns) > 1
        and view.due(memory.began_at + policy.settle_s)
        and view.due(free_at - policy.lease_claim_s)
        and (memory.claimed_at is not None or not other_claims(view))
    )


def other_claims(view: View) -> list[int]:
    """Give the other hosts of which it is read that they are about to take the lease."""
    sightings = view.memory.sightings
    others = [host_id for host_id in view.heirs.turns if host_id != view.snapshot.host_id]
    records = [sightings[host_id].record for host_id in others]
    return [r.host_id for r in records if r is not None and r.engine.claims_lease]


def turn_at(view: View) -> float | None:
    """
    Give when this host's turn to start comes; None: it is not among those that should.

    Equal scores are all eager, a short stagger apart in the order of host ids, so that many
    hosts do not all run into the lease. A lease that runs out is taken by the host that has claimed
    it, of several that could not read each other's claim by the lowest id; the others
    leave it the time to get the lease and to be seen.
    """
    memory, policy = view.memory, view.policy
    since = memory.named_since
    own_id = view.snapshot.host_id
    if since is None or own_id not in view.placement.hosts:
        return None
    turns = view.placement.turns
    others = len(turns) - 1
    if not others:
        return since
    if view.lease_runs_out:
        claimed_at = memory.claimed_at
        if claimed_at is not None and all(own_id < other for other in other_claims(view)):
            return max(since, claimed_at + policy.lease_claim_s)
        since += policy.lease_sight_s
    apart = min(policy.stagger_s, policy.stagger_total_s / others)
    return since + apart * turns.index(own_id)


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
