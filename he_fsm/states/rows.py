"""Rows that several states share."""

from __future__ import annotations

from he_fsm.effects import GiveUpArrival, PowerOffVm, ShutDownVm, StopAgent
from he_fsm.states import guards, leaving, remembering
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds

_SUPERSEDED = (
    "a whole record of a newer parse version keeps growing: another release has taken over"
)


def stop_agent(source: State) -> Transition:
    """Return the row by which a superseded agent without a VM stops."""
    return Transition(
        source,
        "superseded",
        guards.is_superseded_without_vm,
        State.UNKNOWN,
        _SUPERSEDED,
        deeds(StopAgent("superseded by a newer release")),
        does="stop the agent",
        notifies=True,
    )


def hand_over(source: State) -> Transition:
    """Return the row by which a superseded agent shuts its VM down."""
    return Transition(
        source,
        "superseded",
        guards.is_superseded_with_vm,
        State.ENGINE_STOPPING,
        _SUPERSEDED + "; the VM here is shut down",
        deeds(ShutDownVm()),
        does="shut the VM down",
        notifies=True,
    )


def lose_sight(source: State) -> Transition:
    """Return the row to `Unknown`."""
    return Transition(
        source,
        "facts_missing",
        guards.sight_is_lost,
        State.UNKNOWN,
        "storage, lease manager or hypervisor can't be read, or the host was suspended",
        because=guards.what_is_missing,
    )


def hands_off(source: State) -> Transition:
    """Return the row to `GlobalMaintenance`."""
    return Transition(
        source,
        "global_maintenance",
        guards.global_maintenance_is_set,
        State.GLOBAL_MAINTENANCE,
        "global maintenance is set, or slot 0 has never been readable",
        because=guards.why_global_maintenance,
        notifies=True,
        by_one=True,
    )


def end_without_lease(source: State) -> Transition:
    """Return the row that powers off a VM whose lease is another host's, or lost."""
    # safety: this row is the first, in global maintenance too: two VMs on one disk destroy it.
    return Transition(
        source,
        "lease_elsewhere",
        guards.lease_is_elsewhere,
        State.ENGINE_STOPPING,
        "a VM executes here, and its lease is known to be another host's, or was lost while the "
        "host was suspended",
        deeds(PowerOffVm()),
        because=guards.why_lease_is_elsewhere,
        then=remembering.remember_power_off,
        does="power the VM off",
        notifies=True,
    )


def drain(source: State) -> tuple[Transition, ...]:
    """
    Return the rows by which the engine leaves a host.

    The host is in local maintenance, is about to be shut down, or is doomed.
    """
    return (
        Transition(
            source,
            "shutdown",
            leaving.must_stop,
            State.ENGINE_STOPPING,
            "the host is about to be shut down, and the engine is to stop first (on_shutdown: stop "
            "or freeze), can't move, or has not moved in time",
            deeds(ShutDownVm()),
            because=leaving.why_stop,
            then=leaving.remember_stop,
            does="shut the VM down",
            notifies=True,
        ),
        Transition(
            source,
            "maintenance_set",
            guards.can_evacuate,
            State.ENGINE_MIGRATING_AWAY,
            "local maintenance is set, or the host is doomed or about to be shut down, and there "
            "is a host to go to",
            guards.migrate_to_best,
            because=guards.why_evacuate,
            then=remembering.remember_target,
            does="migrate to the best other host, or to the next one after a refusal",
            notifies=True,
        ),
        Transition(
            source,
            "maintenance_restart",
            guards.can_restart_elsewhere,
            State.ENGINE_STOPPING,
            "as maintenance_set, where the policy moves by a restart (policy ovirt)",
            deeds(ShutDownVm()),
            because=guards.why_restart_elsewhere,
            then=remembering.remember_restart,
            does="shut the VM down",
            notifies=True,
        ),
    )


def end_paused(source: State) -> Transition:
    """Return the row by which a VM that is paused for too long is powered off."""
    return Transition(
        source,
        "paused",
        guards.paused_too_long,
        State.ENGINE_STOPPING,
        "paused by an I/O error for longer than the limit; a bad ending",
        deeds(PowerOffVm()),
        because=guards.why_paused,
        then=remembering.count_paused,
        does="power the VM off",
        notifies=True,
        in_series=True,
    )


def adopt(source: State) -> Transition:
    """Return the row by which a VM that is found here is adopted."""
    return Transition(
        source,
        "vm_found_here",
        guards.vm_is_here,
        State.ENGINE_STARTING,
        "an engine VM is here: received by migration, or found running",
        notifies=True,
    )


def give_up_arrival(source: State) -> Transition:
    """Return the row by which a VM that does not come to execute here is no longer waited for."""
    return Transition(
        source,
        "arrival_lost",
        guards.arrival_is_lost,
        source,
        "a VM was to arrive here by migration, and its source is dead or silent",
        deeds(GiveUpArrival()),
        because=guards.why_arrival_is_lost,
        then=remembering.restart_arrival,
        does="give the arrival up",
        notifies=True,
    )


def take_out(source: State) -> Transition:
    """Return the row to `LocalMaintenance`, for states without a VM."""
    return Transition(
        source,
        "maintenance_set",
        guards.host_is_taken_out,
        State.LOCAL_MAINTENANCE,
        "local maintenance is set, or the host is about to be shut down",
        because=guards.why_taken_out,
        notifies=True,
    )
