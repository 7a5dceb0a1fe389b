"""`EngineStarting`: the VM was started, received or found here; waiting for good health."""

from __future__ import annotations

import attrs

from he_fsm.effects import ShutDownVm
from he_fsm.memory import Memory
from he_fsm.snapshot import Outcome, VmState
from he_fsm.states import guards
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds
from he_fsm.states.view import View

HERE = State.ENGINE_STARTING


def start_was_refused(view: View) -> bool:
    """Another host holds the lease."""
    return view.vm is VmState.ABSENT and view.result(Outcome.START_REFUSED) is not None


def why_refused(view: View) -> str:
    """Say who holds the lease."""
    return f"start refused: {view.result(Outcome.START_REFUSED)}; no failed start"


def remember_refusal(view: View, memory: Memory) -> Memory:
    """Wait a little before the next try."""
    return attrs.evolve(memory, refused_at=view.now, vm=None)


def start_failed(view: View) -> bool:
    """The lease was had, and the VM did not come up or died before it was ever good."""
    if view.vm is not VmState.ABSENT:
        return False
    if view.result(Outcome.START_FAILED) is not None:
        return True
    watch = view.memory.vm
    return watch is not None and watch.started_here


def start_failed_for_good(view: View) -> bool:
    """A start failed, and it was one too many."""
    return start_failed(view) and view.memory.failed.count + 1 >= view.policy.failed_starts_max


def why_failed(view: View) -> str:
    """Say how the start failed, and which one it was."""
    detail = view.result(Outcome.START_FAILED) or "the VM died before it was ever good"
    return f"failed start {view.memory.failed.count + 1}: {detail}"


def vm_has_gone_again(view: View) -> bool:
    """A VM that this host did not start is gone."""
    return guards.vm_is_gone(view)


def start_took_too_long(view: View) -> bool:
    """The health page has not become good in time."""
    watch = view.memory.vm
    return watch is not None and view.due(watch.since + view.policy.start_timeout_s)


def why_too_long(view: View) -> str:
    """Say how long."""
    limit_s = view.policy.start_timeout_s
    return f"not healthy {limit_s:g} s after the start: shut down; that is a failed start"


def count_and_forget_vm(view: View, memory: Memory) -> Memory:
    """Count the failed start; its VM is gone."""
    return attrs.evolve(guards.count_failed_start(view, memory), vm=None)


ROWS = (
    guards.lose_sight(HERE),
    guards.hands_off(HERE),
    guards.hand_over(HERE),
    # Refused is not failed: somebody else holds the lease, nothing is wrong with this host.
    Transition(
        HERE,
        "lease_held",
        start_was_refused,
        State.ENGINE_DOWN,
        "the start was refused because another host holds the lease; no failed start",
        because=why_refused,
        then=remember_refusal,
    ),
    Transition(
        HERE,
        "last_start_failed",
        start_failed_for_good,
        State.SCORE_BLOCKED,
        "the start failed, and it was one too many",
        because=why_failed,
        then=count_and_forget_vm,
        counts_failed_start=True,
        notifies=True,
    ),
    Transition(
        HERE,
        "start_failed",
        start_failed,
        State.ENGINE_DOWN,
        "lease obtained, and the VM did not come up or died before it was ever good",
        because=why_failed,
        then=count_and_forget_vm,
        counts_failed_start=True,
        notifies=True,
    ),
    Transition(
        HERE,
        "vm_gone",
        vm_has_gone_again,
        State.ENGINE_DOWN,
        "a VM that this host did not start is gone again",
    ),
    Transition(
        HERE,
        "vm_leaving",
        guards.vm_is_leaving,
        State.ENGINE_MIGRATING_AWAY,
        "somebody migrates the VM away",
    ),
    Transition(
        HERE,
        "health_good",
        guards.health_is_good,
        State.ENGINE_UP,
        "the VM is up and its health page is good; failed starts are forgotten",
        then=guards.forget_failed_starts,
        notifies=True,
    ),
    guards.end_paused(HERE),
    Transition(
        HERE,
        "start_timed_out",
        start_took_too_long,
        State.ENGINE_STOPPING,
        "the health page has not become good in time; a failed start",
        deeds(ShutDownVm()),
        because=why_too_long,
        then=guards.count_failed_start,
        does="shut the VM down",
        counts_failed_start=True,
        notifies=True,
    ),
)
