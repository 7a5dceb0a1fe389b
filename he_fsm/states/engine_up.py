"""`EngineUp`: the engine runs here."""

from __future__ import annotations

from he_fsm.effects import ShutDownVm
from he_fsm.snapshot import VmState
from he_fsm.states import guards
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds
from he_fsm.states.view import View

HERE = State.ENGINE_UP


def health_bad_too_long(view: View) -> bool:
    """The health page has been bad for longer than the limit."""
    watch = view.memory.vm
    # A guest that hangs while it boots again or goes down is ill too; a paused one has its own row.
    if watch is None or watch.bad_since is None or view.vm is VmState.PAUSED:
        return False
    return view.due(watch.bad_since + view.policy.bad_health_s)


def why_bad(view: View) -> str:
    """Say how long."""
    return f"health page bad for {view.policy.bad_health_s:g} s: shut down, start again by score"


def better_host_holds(view: View) -> bool:
    """Another living host has been better by the threshold for long enough, and no wait is on."""
    since = view.memory.better_since
    if since is None or view.vm is not VmState.UP:
        return False
    return view.due(since + view.policy.migration_hold_s) and view.due(view.wait_after_moves())


def should_migrate(view: View) -> bool:
    """A better host holds, and the policy moves by live migration."""
    return not view.policy.move_by_restart and better_host_holds(view)


def should_restart_there(view: View) -> bool:
    """A better host holds, and the policy moves by stopping here and starting there."""
    return view.policy.move_by_restart and better_host_holds(view)


def why_move(view: View) -> str:
    """Say where to, and by how much it is better."""
    best = view.best_other()
    if best is None:
        return "a better host"
    more = best[1] - view.own_score
    return (
        f"host {best[0]} has scored {best[1]}, {more} more than the {view.own_score} here, "
        f"for {view.policy.migration_hold_s:g} s"
    )


ROWS = (
    guards.lose_sight(HERE),
    guards.hands_off(HERE),
    guards.hand_over(HERE),
    Transition(
        HERE,
        "vm_gone",
        guards.vm_is_gone,
        State.ENGINE_DOWN,
        "the VM is gone: it died, shut itself down or was moved; it is started again by score",
        then=guards.remember_end,
        notifies=True,
    ),
    Transition(
        HERE,
        "vm_leaving",
        guards.vm_is_leaving,
        State.ENGINE_MIGRATING_AWAY,
        "somebody else migrates the VM away; left alone",
    ),
    guards.end_paused(HERE),
    Transition(
        HERE,
        "health_bad",
        health_bad_too_long,
        State.ENGINE_STOPPING,
        "the health page has been bad for too long; a failed start",
        deeds(ShutDownVm()),
        because=why_bad,
        then=guards.count_failed_start,
        does="shut the VM down",
        counts_failed_start=True,
        notifies=True,
    ),
    Transition(
        HERE,
        "maintenance_set",
        guards.can_evacuate,
        State.ENGINE_MIGRATING_AWAY,
        "local maintenance is set, and there is a host to go to",
        guards.migrate_to_best,
        because=guards.why_evacuate,
        then=guards.remember_target,
        does="migrate to the best other host",
        notifies=True,
    ),
    Transition(
        HERE,
        "better_host",
        should_migrate,
        State.ENGINE_MIGRATING_AWAY,
        "another living host's score has been better by the threshold for long enough",
        guards.migrate_to_best,
        because=why_move,
        then=guards.remember_target,
        does="migrate to the best other host",
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
        then=guards.remember_target,
        does="shut the VM down",
        notifies=True,
    ),
)
