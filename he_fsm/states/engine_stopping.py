"""`EngineStopping`: the VM is being shut down; powered off at the deadline."""

from __future__ import annotations

from he_fsm.effects import PowerOffVm
from he_fsm.states import guards
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds
from he_fsm.states.view import View

HERE = State.ENGINE_STOPPING


def gone_and_blocked(view: View) -> bool:
    """The VM is gone, and too many starts have failed here."""
    return guards.vm_is_gone(view) and view.is_blocked


def gone_and_maintenance(view: View) -> bool:
    """The VM is gone, and the administrator took this host out."""
    return guards.vm_is_gone(view) and view.snapshot.local_maintenance


def deadline_has_passed(view: View) -> bool:
    """The VM is still here when it should be gone; powering off is tried again after a while."""
    watch = view.memory.vm
    if watch is not None and watch.power_off_at is not None:
        return view.due(watch.power_off_at + view.policy.power_off_retry_s)
    return view.due(view.memory.since + view.policy.stop_timeout_s)


def is_paused(view: View) -> bool:
    """A paused guest can't shut itself down."""
    watch = view.memory.vm
    return watch is not None and watch.power_off_at is None and guards.paused_too_long(view)


ROWS = (
    guards.lose_sight(HERE),
    guards.hands_off(HERE),
    guards.stop_agent(HERE),
    Transition(
        HERE,
        "maintenance_set",
        gone_and_maintenance,
        State.LOCAL_MAINTENANCE,
        "the VM is gone, and local maintenance is set",
        notifies=True,
    ),
    Transition(
        HERE,
        "starts_blocked",
        gone_and_blocked,
        State.SCORE_BLOCKED,
        "the VM is gone, and too many starts have failed here",
        because=guards.blocked_until,
        notifies=True,
    ),
    Transition(
        HERE,
        "vm_gone",
        guards.vm_is_gone,
        State.ENGINE_DOWN,
        "the VM is gone; it is started again by score",
        notifies=True,
    ),
    Transition(
        HERE,
        "paused",
        is_paused,
        State.ENGINE_STOPPING,
        "the guest is paused and can't shut itself down",
        deeds(PowerOffVm()),
        then=guards.remember_power_off,
        does="power the VM off",
        notifies=True,
    ),
    Transition(
        HERE,
        "deadline_passed",
        deadline_has_passed,
        State.ENGINE_STOPPING,
        "the VM is still here at the deadline",
        deeds(PowerOffVm()),
        then=guards.remember_power_off,
        does="power the VM off",
        notifies=True,
    ),
)
