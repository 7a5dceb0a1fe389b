"""
Before an orderly shutdown of the host: what becomes of the engine here, and when.

The host goes down at `Snapshot.leaves_by`, whatever its agent does. By `Policy.on_shutdown` the
engine moves first (`migrate`), or is shut down (`stop`, `freeze`). An engine that can't move, or
has not moved by `shutdown_stop_s` before that time, is shut down as well, so that it ends as a
guest should and its lease is released. `shutdown_last_s` before that time its VM is powered off.
"""

from __future__ import annotations

from he_fsm.memory import Memory
from he_fsm.snapshot import VmState
from he_fsm.states import guards
from he_fsm.states.names import State
from he_fsm.states.view import View

_RUNS = frozenset((VmState.STARTING, VmState.UP, VmState.PAUSED))


def must_stop(view: View) -> bool:
    """The host is about to be shut down, and the engine here is not to move first, or can't."""
    if not view.is_leaving or view.vm not in _RUNS:
        return False
    if view.policy.on_shutdown != "migrate":
        return True
    return is_late(view) or (view.vm is VmState.UP and not _can_move_in_time(view))


def _can_move_in_time(view: View) -> bool:
    """Return whether the engine can move, and another try is not too late."""
    if not guards.moves_live(view):
        return False
    if view.next_target() is None:
        # Of hosts that are not known to be alive yet one may be able to take it.
        return bool(view.liveness.pending)
    return view.wait_after_failure() < stops_at(view)


def is_late(view: View) -> bool:
    """Return whether it is time to shut the engine down, wherever it is about to go."""
    return view.due(stops_at(view))


def stops_at(view: View) -> float:
    """Return when the engine is shut down if it is still here; infinite: nothing waits for it."""
    leaves_by = view.snapshot.leaves_by
    return float("inf") if leaves_by is None else leaves_by - view.policy.shutdown_stop_s


def ends_at(view: View) -> float:
    """Return when the VM is powered off if it is still here; infinite: nothing waits for it."""
    leaves_by = view.snapshot.leaves_by
    return float("inf") if leaves_by is None else leaves_by - view.policy.shutdown_last_s


def why_stop(view: View) -> str:
    """Say why the engine is shut down, and where it is started again."""
    how = view.policy.on_shutdown
    if how == "freeze":
        return "this host is about to be shut down: the engine stops here until it is back"
    if how == "stop":
        return "this host is about to be shut down: the engine stops here, and starts on another"
    if view.policy.move_by_restart:
        why = "this policy stops it here and starts it there"
    elif not view.policy.live_migration:
        why = "it can't move while it runs"
    elif view.next_target() is None:
        why = "there is no host to go to"
    else:
        why = "there is no time left for a migration"
    return f"this host is about to be shut down, and the engine stops here: {why}"


def remember_stop(view: View, memory: Memory) -> Memory:
    """Keep the engine for this host where the policy says so."""
    if view.policy.on_shutdown != "freeze":
        return memory
    return memory._replace(keeps_engine=True)


def may_let_go(view: View) -> str:
    """
    Return why the host need not wait any longer with its shutdown; empty: it should.

    A VM that arrives by migration is waited for: its source may be about to hand it over.
    """
    if not view.is_leaving:
        return ""
    if view.memory.state is State.GLOBAL_MAINTENANCE:
        return "global maintenance: the engine is the administrator's"
    if view.vm is VmState.ABSENT:
        return "the engine is not here"
    leaves_by = view.snapshot.leaves_by
    if leaves_by is not None and view.due(leaves_by):
        return f"the time is over, and the VM here is {view.vm.value}"
    return ""
