"""`EngineMigratingAway`: a live migration to another host is under way."""

from __future__ import annotations

import attrs

from he_fsm.effects import CancelMigration
from he_fsm.memory import Memory
from he_fsm.snapshot import Outcome
from he_fsm.states import guards
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds
from he_fsm.states.view import View

HERE = State.ENGINE_MIGRATING_AWAY


def has_left(view: View) -> bool:
    """The VM is no longer here."""
    return guards.vm_is_gone(view)


def has_left_for_maintenance(view: View) -> bool:
    """The VM is no longer here, and the administrator took this host out."""
    return guards.vm_is_gone(view) and view.snapshot.local_maintenance


def why_left(view: View) -> str:
    """Say whether it arrived, as far as this host knows."""
    detail = view.result(Outcome.MIGRATION_DONE)
    if detail is not None:
        return f"migrated: {detail}"
    return "the VM is gone"


def migration_failed(view: View) -> bool:
    """The VM is here and no longer leaving."""
    return view.vm_is_here and not guards.vm_is_leaving(view)


def why_failed(view: View) -> str:
    """Say why, and when the next try is allowed."""
    detail = view.result(Outcome.MIGRATION_FAILED) or "it is no longer leaving"
    return f"migration failed: {detail}; the VM stays, the next try waits"


def remember_failure(view: View, memory: Memory) -> Memory:
    """Wait before the next try, twice as long each time."""
    moves = memory.moves
    # The wait follows failures in a row: a success, or peace for long enough, ends the row.
    is_new = view.now >= moves.failed_at + 2 * view.policy.migration_backoff_max_s
    failures = 1 if is_new or not moves.failures else moves.failures + 1
    return attrs.evolve(
        memory, moves=attrs.evolve(moves, target=None, failures=failures, failed_at=view.now)
    )


def remember_success(view: View, memory: Memory) -> Memory:
    """Forget failures: the way is open."""
    memory = guards.remember_departure(view, memory)
    return attrs.evolve(memory, moves=attrs.evolve(memory.moves, target=None, failures=0))


def migration_took_too_long(view: View) -> bool:
    """The migration does not come to an end."""
    return view.due(view.memory.since + view.policy.migration_timeout_s)


ROWS = (
    guards.lose_sight(HERE),
    guards.hands_off(HERE),
    Transition(
        HERE,
        "left_for_maintenance",
        has_left_for_maintenance,
        State.LOCAL_MAINTENANCE,
        "the VM has left, and local maintenance is set",
        because=why_left,
        then=remember_success,
        notifies=True,
    ),
    Transition(
        HERE,
        "left",
        has_left,
        State.ENGINE_DOWN,
        "the VM is no longer here",
        because=why_left,
        then=remember_success,
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
        "the migration does not come to an end",
        deeds(CancelMigration()),
        does="cancel the migration",
        notifies=True,
    ),
)
