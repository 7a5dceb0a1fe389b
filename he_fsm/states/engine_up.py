"""`EngineUp`: the engine runs here."""

from __future__ import annotations

from he_fsm.effects import ShutDownVm
from he_fsm.snapshot import VmState
from he_fsm.states import guards, remembering, rows
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds
from he_fsm.states.view import View

HERE = State.ENGINE_UP


def health_bad_too_long(view: View) -> bool:
    """The health page has been bad for longer than the limit."""
    # Not only in state UP: a guest that hangs while it reboots or shuts down is ill too. A paused
    # guest has its own row.
    watch = view.memory.vm
    return (
        watch is not None
        and watch.bad_since is not None
        and view.vm is not VmState.PAUSED
        and view.bad_for(view.policy.bad_health_s)
    )


def why_bad(view: View) -> str:
    """Say for how long the health page has been bad."""
    return f"health page bad for {view.policy.bad_health_s:g} s: shut down, start again by score"


def better_host_holds(view: View) -> bool:
    """A living host has been better by the threshold for long enough; no back-off is left."""
    since = view.memory.better_since
    if since is None or view.vm is not VmState.UP:
        return False
    return view.due(since + view.policy.migration_hold_s) and view.due(view.wait_after_moves())


def should_migrate(view: View) -> bool:
    """A better host is there, and the policy moves by live migration."""
    return guards.moves_live(view) and better_host_holds(view)


def should_restart_there(view: View) -> bool:
    """A better host is there, and the policy moves by stopping here and starting there."""
    return view.policy.move_by_restart and better_host_holds(view)


def why_move(view: View) -> str:
    """Say where the VM should move, and by how much that host is better."""
    best = view.next_target()
    if best is None:
        return "a better host"
    more = best[1] - view.own_score
    return (
        f"host {best[0]} has scored {best[1]}, {more} more than the {view.own_score} here, "
        f"for {view.policy.migration_hold_s:g} s"
    )


ROWS = (
    rows.end_without_lease(HERE),
    rows.lose_sight(HERE),
    rows.hands_off(HERE),
    rows.hand_over(HERE),
    Transition(
        HERE,
        "vm_gone",
        guards.vm_is_gone,
        State.ENGINE_DOWN,
        guards.VM_GONE,
        because=guards.why_gone,
        then=remembering.remember_end,
        notifies=True,
        in_series=True,
    ),
    Transition(
        HERE,
        "vm_leaving",
        guards.vm_is_leaving,
        State.ENGINE_MIGRATING_AWAY,
        "somebody else migrates the VM away; left alone",
    ),
    rows.end_paused(HERE),
    Transition(
        HERE,
        "health_bad",
        health_bad_too_long,
        State.ENGINE_STOPPING,
        "the health page has been bad for too long; a failed start",
        deeds(ShutDownVm()),
        because=why_bad,
        then=remembering.count_failed_start,
        does="shut the VM down",
        counts_failed_start=True,
        notifies=True,
        in_series=True,
    ),
    *rows.drain(HERE),
    Transition(
        HERE,
        "better_host",
        should_migrate,
        State.ENGINE_MIGRATING_AWAY,
        "another living host's score has been better by the threshold for long enough",
        guards.migrate_to_best,
        because=why_move,
        then=remembering.remember_target,
        does="migrate to the best other host, or to the next one after a refusal",
        notifies=True,
    ),
    Transition(
        HERE,
        "better_host_restart",
        should_restart_there,
        State.ENGINE_STOPPING,
        "as better_host, where the policy moves by a restart (policy ovirt)",
        deeds(ShutDownVm()),
        because=why_move,
        then=remembering.remember_restart,
        does="shut the VM down",
        notifies=True,
    ),
)
