"""Why a host stays in its state, in words."""

from __future__ import annotations

from he_fsm.snapshot import OwnerState
from he_fsm.states import guards
from he_fsm.states.engine_down import turn_at
from he_fsm.states.names import State
from he_fsm.states.view import View


def why_stay(view: View) -> str:
    """Say why the state stays as it is, in words."""
    return _WHY_STAY[view.memory.state](view)


def _why_unknown(view: View) -> str:
    return guards.what_is_missing(view)


def _why_down(view: View) -> str:
    plan = view.placement
    if plan.engine_on is not None or not plan.hosts:
        return plan.reason
    leases = view.leases
    if not view.lease_can_be_taken:
        if leases.owner_state is OwnerState.FAILING and leases.free_at is not None:
            left = leases.free_at - view.now
            return f"the engine's lease is held by host {leases.owner}, free in {left:.0f} s"
        return (
            f"the engine's lease is held by host {leases.owner}, which is alive: its VM runs there"
        )
    if not plan.names(view.snapshot.host_id):
        return plan.reason
    at = turn_at(view)
    if at is None:
        return f"{plan.reason}; looking around until others have had time to show themselves"
    return f"{plan.reason}; this host's turn is in {max(0.0, at - view.now):.0f} s"


def _why_starting(view: View) -> str:
    if view.is_taken_out:
        return _why_up(view)
    return "waiting for the health page to become good"


# It has no live migration, and no move by a restart.
_STAYS = (
    "it can't move while it runs, and the policy does not move it by a restart "
    "(move_by_restart): it stays"
)


def _why_up(view: View) -> str:
    if view.is_taken_out:
        why = guards.why_taken_out(view)
        if view.next_target() is None:
            return f"{why}, but there is no host to go to: the engine stays"
        if guards.moves_never(view):
            return f"{why}, but the engine runs here: {_STAYS}"
        return f"{why}; {guards.what_the_drain_waits_for(view)}"
    if view.paused_s is not None:
        return f"the VM has been paused for {view.paused_s:.0f} s"
    if view.bad_s is not None:
        return f"the health page has been bad for {view.bad_s:.0f} s"
    if view.is_doomed and guards.moves_never(view):
        return f"{view.leases.doom}: {_STAYS}"
    if view.is_doomed:
        return f"{view.leases.doom}; there is no host to go to"
    if view.memory.better_since is not None and guards.moves_never(view):
        return f"another host is better by the threshold: {_STAYS}"
    if view.memory.better_since is not None:
        return "another host is better by the threshold; waiting whether that lasts"
    return "the engine runs here and is well"


def _why_migrating(view: View) -> str:
    target = view.memory.moves.target
    return "migration under way" + ("" if target is None else f" to host {target}")


def _why_stopping(_: View) -> str:
    return "waiting for the VM to go down"


def _why_maintenance(view: View) -> str:
    return guards.why_taken_out(view)


_WHY_STAY = {
    State.UNKNOWN: _why_unknown,
    State.ENGINE_DOWN: _why_down,
    State.ENGINE_STARTING: _why_starting,
    State.ENGINE_UP: _why_up,
    State.ENGINE_MIGRATING_AWAY: _why_migrating,
    State.ENGINE_STOPPING: _why_stopping,
    State.LOCAL_MAINTENANCE: _why_maintenance,
    State.SCORE_BLOCKED: guards.blocked_until,
    State.GLOBAL_MAINTENANCE: guards.why_global_maintenance,
}
