"""`EngineDown`: watching; the engine runs elsewhere or is about to be started."""

from __future__ import annotations

from he_fsm.crowd import CrowdSightings
from he_fsm.effects import StartVm
from he_fsm.memory import Memory
from he_fsm.snapshot import VmState
from he_fsm.states import guards, rows
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds
from he_fsm.states.view import View

HERE = State.ENGINE_DOWN


def could_start(view: View) -> bool:
    """Return whether this host's own state allows a start, whatever the other hosts' scores."""
    return view.memory.state is HERE and view.vm is VmState.ABSENT


def is_claiming(view: View) -> bool:
    """
    Return whether this host announces that it will acquire the lease once it expires.

    Hosts see the owner's last renewal at different times, so each computes a different time of
    expiry. The announcement, in this host's record, tells the other candidates to leave the lease
    alone. A host makes none if it has read another's, or if it alone has the best score.
    """
    free_at = view.leases.free_at
    if free_at is None or not view.lease_runs_out or not could_start(view):
        return False
    memory, policy = view.memory, view.policy
    return (
        view.placement_after_expiry.names(view.snapshot.host_id)
        and len(view.placement_after_expiry.turns) > 1
        and view.due(memory.began_at + policy.settle_s)
        and view.due(free_at - policy.lease_claim_s)
        and (memory.claimed_at is not None or not other_claims(view))
    )


def other_claims(view: View) -> list[int]:
    """Return the other candidates whose records announce that they will acquire the lease."""
    sightings = view.memory.sightings
    plan, own_id = view.placement_after_expiry, view.snapshot.host_id
    if type(sightings) is CrowdSightings:
        known = sightings.others
        claims = [i for i in sightings.crowd.claiming(plan) if i != own_id and i not in known]
        others = [i for i in known if plan.turn_of(i) is not None]
    else:
        claims = []
        others = [host_id for host_id in plan.turns if host_id != own_id]
    records = [sightings[host_id].record for host_id in others]
    return claims + [r.host_id for r in records if r is not None and r.engine.claims_lease]


def turn_at(view: View) -> float | None:
    """
    Return the time of this host's turn to start; None: the host is not eligible.

    Hosts with equal scores are all eligible. They take turns in the order of host ids, a short
    stagger apart, so that they do not all try to acquire the lease at once. A lease that expires
    goes to the host that has announced itself (`is_claiming`). If several have, because they could
    not read each other's announcement, the lowest id is first. The others wait until it can have
    acquired the lease and been seen as its owner.
    """
    memory, policy = view.memory, view.policy
    since = memory.named_since
    own_id = view.snapshot.host_id
    if since is None or not view.placement.names(own_id):
        return None
    others, turn = len(view.placement.turns) - 1, view.placement.turn_of(own_id)
    if not others or turn is None:
        return since
    if view.lease_runs_out:
        claimed_at = memory.claimed_at
        if claimed_at is not None and all(own_id < other for other in other_claims(view)):
            return max(since, claimed_at + policy.lease_claim_s)
        since += policy.lease_sight_s
    apart = min(policy.stagger_s, policy.stagger_total_s / others)
    return since + apart * turn


def this_host_should_start(view: View) -> bool:
    """This host has the highest score, its turn has come, and the lease can be acquired."""
    if view.vm is not VmState.ABSENT or view.own_score <= 0 or view.is_doomed:
        return False
    # safety: others count on the times that the policy has.
    if view.unlike:
        return False
    at = turn_at(view)
    if at is None:
        return False
    refused_at = view.memory.refused_at
    if refused_at is not None:
        at = max(at, refused_at + view.policy.refused_retry_s)
    return view.due(at)


def why_start(view: View) -> str:
    """Say why this host starts the VM."""
    return f"{view.placement.reason}: start here"


def begin_start(_: View, memory: Memory) -> Memory:
    """Forget this host's turn: the next start is a new decision."""
    return memory._replace(named_since=None, refused_at=None, vm=None)


ROWS = (
    rows.lose_sight(HERE),
    rows.hands_off(HERE),
    rows.stop_agent(HERE),
    # A VM already here is adopted before any score is judged: starting a second
    # one is the only mistake that cannot be undone.
    rows.adopt(HERE),
    rows.give_up_arrival(HERE),
    rows.take_out(HERE),
    Transition(
        HERE,
        "starts_blocked",
        guards.starts_are_blocked,
        State.SCORE_BLOCKED,
        "too many starts failed or runs ended badly here a short time ago",
        because=guards.blocked_until,
        notifies=True,
        in_series=True,
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
        in_series=True,
    ),
)
