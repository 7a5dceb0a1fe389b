"""`EngineMigratingAway`: a live migration to another host is under way."""

from __future__ import annotations

from he_fsm.effects import CancelMigration
from he_fsm.memory import Memory
from he_fsm.snapshot import Outcome
from he_fsm.states import guards, leaving, remembering, rows
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds
from he_fsm.states.view import View

HERE = State.ENGINE_MIGRATING_AWAY


def has_left(view: View) -> bool:
    """The VM is no longer here."""
    return guards.vm_is_gone(view)


def has_left_for_maintenance(view: View) -> bool:
    """The VM is no longer here, and the host is taken out, or is about to be shut down."""
    return guards.vm_is_gone(view) and view.is_taken_out


def why_left(view: View) -> str:
    """Say whether the VM arrived, as far as this host knows."""
    detail = view.result(Outcome.MIGRATION_DONE)
    if detail is not None:
        return f"migrated: {detail}"
    return "the VM is gone"


def migration_failed(view: View) -> bool:
    """The VM is still here, and no longer migrating."""
    return view.vm_is_here and not guards.vm_is_leaving(view)


def migration_of_a_start_failed(view: View) -> bool:
    """The VM is still here, no longer migrating, and has never been healthy."""
    watch = view.memory.vm
    return migration_failed(view) and watch is not None and not watch.was_good


def why_failed(view: View) -> str:
    """Say why the migration failed."""
    detail = view.result(Outcome.MIGRATION_FAILED) or "it is no longer leaving"
    return f"migration failed: {detail}; the VM stays, the next try waits"


def remember_failure(view: View, memory: Memory) -> Memory:
    """Count the failed migration, which doubles the back-off."""
    if remembering.is_told_of_failed_move(view):
        # `observe` has counted a failure that the hypervisor reported.
        return memory
    return remembering.remember_failed_move(view, memory)


def remember_departure(view: View, memory: Memory) -> Memory:
    """Forget failed migrations; count a bad ending if the VM did not arrive elsewhere."""
    if not remembering.has_moved(view):
        memory = remembering.count_ending(view, memory)
    memory = remembering.remember_departure(view, memory)
    moves = memory.moves._replace(target=None, failures=0, refused_by=None)
    return memory._replace(moves=moves, vm=None)


def migration_took_too_long(view: View) -> bool:
    """The migration has taken longer than `migration_timeout_s`, or than the host can wait."""
    if view.due(view.memory.since + view.policy.migration_timeout_s):
        return True
    # Once: what is cancelled is counted from now on.
    return view.memory.since < leaving.stops_at(view) and leaving.is_late(view)


ROWS = (
    rows.end_without_lease(HERE),
    rows.lose_sight(HERE),
    rows.hands_off(HERE),
    Transition(
        HERE,
        "left_for_maintenance",
        has_left_for_maintenance,
        State.LOCAL_MAINTENANCE,
        "the VM has left, and local maintenance is set, or the host is about to be shut down",
        because=why_left,
        then=remember_departure,
        notifies=True,
    ),
    Transition(
        HERE,
        "left",
        has_left,
        State.ENGINE_DOWN,
        "the VM is no longer here",
        because=why_left,
        then=remember_departure,
        notifies=True,
    ),
    Transition(
        HERE,
        "start_stays",
        migration_of_a_start_failed,
        State.ENGINE_STARTING,
        "the VM is here, no longer leaving, and has never been good; the next try waits",
        because=why_failed,
        then=remember_failure,
        notifies=True,
    ),
    Transition(
        HERE,
        "migration_failed",
        migration_failed,
        State.ENGINE_UP,
        "the VM is here and no longer leaving; the next try waits, twice as long each time",
        because=why_failed,
        then=remember_failure,
        notifies=True,
    ),
    Transition(
        HERE,
        "migration_timed_out",
        migration_took_too_long,
        State.ENGINE_MIGRATING_AWAY,
        "the migration does not come to an end, or not before the host is shut down",
        deeds(CancelMigration()),
        does="cancel the migration",
        notifies=True,
    ),
)
