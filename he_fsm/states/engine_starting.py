"""`EngineStarting`: the VM was started, received or found here; waiting for good health."""

from __future__ import annotations

from he_fsm.effects import ShutDownVm
from he_fsm.memory import Memory
from he_fsm.snapshot import Outcome, VmState
from he_fsm.states import guards, remembering, rows
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds
from he_fsm.states.view import View

HERE = State.ENGINE_STARTING


def start_was_refused(view: View) -> bool:
    """The start was refused because another host holds the lease."""
    return view.vm is VmState.ABSENT and view.result(Outcome.START_REFUSED) is not None


def why_refused(view: View) -> str:
    """Say who holds the lease."""
    return f"start refused: {view.result(Outcome.START_REFUSED)}; no failed start"


def remember_refusal(view: View, memory: Memory) -> Memory:
    """Note when the start was refused: the next one waits for `refused_retry_s`."""
    return memory._replace(refused_at=view.now, vm=None)


def start_failed(view: View) -> bool:
    """The lease was acquired, but the VM did not come up, or died before it was ever healthy."""
    if view.vm is not VmState.ABSENT:
        return False
    if view.result(Outcome.START_FAILED) is not None:
        return True
    watch = view.memory.vm
    return watch is not None and watch.started_here and not remembering.has_moved(view)


def start_failed_for_good(view: View) -> bool:
    """A start failed, and with it the count reaches `failed_starts_max`."""
    return start_failed(view) and view.memory.failed.count + 1 >= view.policy.failed_starts_max


def why_failed(view: View) -> str:
    """Say how the start failed, and which one it was."""
    detail = view.result(Outcome.START_FAILED) or view.result(Outcome.GUEST_DIED)
    what = detail or "the VM died before it was ever good"
    return f"failed start {view.memory.failed.count + 1}: {what}"


def vm_has_gone_again(view: View) -> bool:
    """A VM that this host did not start is gone."""
    return guards.vm_is_gone(view)


def start_took_too_long(view: View) -> bool:
    """The health page has not become good within the limit; unobserved time does not count."""
    return view.vm is not VmState.PAUSED and view.bad_for(start_limit_s(view))


def start_limit_s(view: View) -> float:
    """Return how long this start may take; each start that timed out here doubles the limit."""
    return view.policy.start_limit_s(view.memory.failed.time_outs)


def why_too_long(view: View) -> str:
    """Say how long this start took, and how long the next one may take."""
    next_s = view.policy.start_limit_s(view.memory.failed.time_outs + 1)
    return (
        f"not healthy {start_limit_s(view):g} s after the start: shut down; that is a failed "
        f"start, and the next one here may take {next_s:g} s"
    )


def remember_loss(view: View, memory: Memory) -> Memory:
    """Count the bad ending of a VM that was started elsewhere, unless it has moved on."""
    memory = memory._replace(vm=None)
    if remembering.has_moved(view):
        return remembering.remember_departure(view, memory)
    return pause_before_next(view, remembering.count_ending(view, memory))


def count_and_forget_vm(view: View, memory: Memory) -> Memory:
    """Count the failed start, and forget its VM, which is gone."""
    memory = remembering.count_failed_start(view, memory)._replace(vm=None)
    return pause_before_next(view, memory)


def pause_before_next(view: View, memory: Memory) -> Memory:
    """
    Delay the next start here if this one failed at once.

    The order could not be given, say, and giving it again would change nothing. A VM that failed
    later than the next look at its lease has taken its time.
    """
    if view.now - view.memory.since > view.policy.lease_look_s:
        return memory
    return memory._replace(refused_at=view.now)


ROWS = (
    rows.end_without_lease(HERE),
    rows.lose_sight(HERE),
    rows.hands_off(HERE),
    rows.hand_over(HERE),
    # A refusal is no failed start: another host holds the lease; nothing is wrong with this one.
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
        in_series=True,
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
        in_series=True,
    ),
    Transition(
        HERE,
        "vm_gone",
        vm_has_gone_again,
        State.ENGINE_DOWN,
        "a VM that this host did not start is gone again; a bad ending, unless it has moved on",
        then=remember_loss,
        notifies=True,
        in_series=True,
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
        "the VM is up and its health page is good",
        notifies=True,
        in_series=True,
    ),
    rows.end_paused(HERE),
    Transition(
        HERE,
        "start_timed_out",
        start_took_too_long,
        State.ENGINE_STOPPING,
        "the health page has not become good in time; a failed start",
        deeds(ShutDownVm()),
        because=why_too_long,
        then=remembering.count_time_out,
        does="shut the VM down",
        counts_failed_start=True,
        notifies=True,
        in_series=True,
    ),
    *rows.drain(HERE),
)
