"""`EngineStopping`: the VM is being shut down; powered off at the deadline."""

from __future__ import annotations

from he_fsm.effects import PowerOffVm
from he_fsm.states import guards, leaving, remembering, rows
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds
from he_fsm.states.view import View

HERE = State.ENGINE_STOPPING


def gone_and_blocked(view: View) -> bool:
    """The VM is gone, and too many runs ended badly here."""
    return guards.vm_is_gone(view) and view.is_blocked


def gone_and_maintenance(view: View) -> bool:
    """The VM is gone, and the host is taken out, or is about to be shut down."""
    return guards.vm_is_gone(view) and view.is_taken_out


def deadline_has_passed(view: View) -> bool:
    """The VM is still here at the deadline, or `power_off_retry_s` after the last power-off."""
    watch = view.memory.vm
    if watch is not None and watch.power_off_at is not None:
        return view.due(watch.power_off_at + view.policy.power_off_retry_s)
    return view.due(min(view.memory.since + view.policy.stop_timeout_s, leaving.ends_at(view)))


def is_paused(view: View) -> bool:
    """The guest has been paused for too long, and a paused guest can't shut itself down."""
    watch = view.memory.vm
    return watch is not None and watch.power_off_at is None and guards.paused_too_long(view)


ROWS = (
    rows.end_without_lease(HERE),
    rows.lose_sight(HERE),
    rows.hands_off(HERE),
    rows.stop_agent(HERE),
    Transition(
        HERE,
        "maintenance_set",
        gone_and_maintenance,
        State.LOCAL_MAINTENANCE,
        "the VM is gone, and local maintenance is set, or the host is about to be shut down",
        because=guards.why_taken_out,
        notifies=True,
    ),
    Transition(
        HERE,
        "starts_blocked",
        gone_and_blocked,
        State.SCORE_BLOCKED,
        "the VM is gone, and too many starts failed or runs ended badly here",
        because=guards.blocked_until,
        notifies=True,
        in_series=True,
    ),
    Transition(
        HERE,
        "vm_gone",
        guards.vm_is_gone,
        State.ENGINE_DOWN,
        "the VM is gone; it is started again by score",
        notifies=True,
        in_series=True,
    ),
    Transition(
        HERE,
        "paused",
        is_paused,
        State.ENGINE_STOPPING,
        "the guest is paused and can't shut itself down",
        deeds(PowerOffVm()),
        then=remembering.remember_power_off,
        does="power the VM off",
        notifies=True,
        in_series=True,
    ),
    Transition(
        HERE,
        "deadline_passed",
        deadline_has_passed,
        State.ENGINE_STOPPING,
        "the VM is still here at the deadline, or when its host is about to go down",
        deeds(PowerOffVm()),
        then=remembering.remember_power_off,
        does="power the VM off",
        notifies=True,
        in_series=True,
    ),
)
