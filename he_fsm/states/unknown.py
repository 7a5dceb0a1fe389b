"""`Unknown`: the local VM or the storage can't be read, or the agent has just started."""

from __future__ import annotations

from he_fsm.snapshot import VmState
from he_fsm.states import guards, remembering, rows
from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.view import View

HERE = State.UNKNOWN


def facts_are_known(view: View) -> bool:
    """Storage, lease manager and hypervisor answer."""
    return not guards.facts_are_missing(view)


def known_and_global_maintenance(view: View) -> bool:
    """The facts are known, and one of them is global maintenance."""
    return facts_are_known(view) and guards.global_maintenance_is_set(view)


def vm_is_leaving(view: View) -> bool:
    """A migration away is under way."""
    return facts_are_known(view) and guards.vm_is_leaving(view)


def vm_is_stopping(view: View) -> bool:
    """The VM here is shutting down."""
    return facts_are_known(view) and view.vm is VmState.STOPPING


def vm_was_up(view: View) -> bool:
    """The VM here is healthy, or was when its health was last known."""
    watch = view.memory.vm
    return facts_are_known(view) and view.vm_is_here and watch is not None and watch.was_good


def vm_is_here(view: View) -> bool:
    """A VM is here that has not yet been seen healthy (`vm_was_up` is tried first)."""
    return facts_are_known(view) and view.vm_is_here


def known_and_taken_out(view: View) -> bool:
    """No VM here, and the administrator took this host out, or it is about to be shut down."""
    return facts_are_known(view) and view.is_taken_out


def known_and_blocked(view: View) -> bool:
    """No VM here, and too many runs have ended badly."""
    return facts_are_known(view) and view.is_blocked


def known_and_died(view: View) -> bool:
    """The VM that was here ended without an order while this host could not decide."""
    return facts_are_known(view) and remembering.ended_unseen(view)


def rows_by_the_facts(here: State) -> tuple[Transition, ...]:
    """Return the rows of *here* that derive the state from the facts alone."""
    return (
        Transition(
            here,
            "vm_leaving",
            vm_is_leaving,
            State.ENGINE_MIGRATING_AWAY,
            "a migration away from here is under way",
        ),
        Transition(
            here,
            "vm_stopping",
            vm_is_stopping,
            State.ENGINE_STOPPING,
            "the VM here is going down",
        ),
        Transition(
            here,
            "vm_up",
            vm_was_up,
            State.ENGINE_UP,
            "the VM is here, and its health is good or was when it was last seen",
        ),
        Transition(
            here,
            "vm_found_here",
            vm_is_here,
            State.ENGINE_STARTING,
            "a VM is here whose health is not yet known to be good",
        ),
        Transition(
            here,
            "maintenance_set",
            known_and_taken_out,
            State.LOCAL_MAINTENANCE,
            "no VM here, and local maintenance is set, or the host is about to be shut down",
            because=guards.why_taken_out,
            then=remembering.count_unseen_ending,
        ),
        Transition(
            here,
            "starts_blocked",
            known_and_blocked,
            State.SCORE_BLOCKED,
            "no VM here, and too many runs ended badly a short time ago",
            because=guards.blocked_until,
            then=remembering.count_unseen_ending,
        ),
        Transition(
            here,
            "vm_gone",
            known_and_died,
            State.ENGINE_DOWN,
            "the VM that was here has gone while nobody looked; a bad ending",
            then=remembering.count_unseen_ending,
            notifies=True,
            in_series=True,
        ),
        Transition(
            here,
            "vm_absent",
            facts_are_known,
            State.ENGINE_DOWN,
            "no VM here",
            then=remembering.count_unseen_ending,
        ),
    )


ROWS = (
    rows.end_without_lease(HERE),
    Transition(
        HERE,
        "global_maintenance",
        known_and_global_maintenance,
        State.GLOBAL_MAINTENANCE,
        "global maintenance is set, or slot 0 has never been readable",
        because=guards.why_global_maintenance,
    ),
    *rows_by_the_facts(HERE),
)
