"""Guards and rows that several states share."""

from __future__ import annotations

import attrs

from he_fsm.effects import MigrateVm, PowerOffVm, ShutDownVm, StopAgent
from he_fsm.memory import FailedStarts, Memory
from he_fsm.snapshot import Outcome, VmState
from he_fsm.states.names import State
from he_fsm.states.row import Transition, deeds
from he_fsm.states.view import View, backoff_s

SUPERSEDED = "a whole record of a newer parse version keeps growing: another release has taken over"


def is_superseded(view: View) -> bool:
    """A newer release's record is whole and keeps growing."""
    # With hundreds of hosts a list takes half of what `any` does.
    return True in [seen.is_newer for seen in view.memory.sightings.values()]


def is_superseded_with_vm(view: View) -> bool:
    """Superseded, and the VM is here: it is shut down first."""
    return view.vm_is_here and is_superseded(view)


def is_superseded_without_vm(view: View) -> bool:
    """Superseded, and no VM is here."""
    return view.vm is VmState.ABSENT and is_superseded(view)


def facts_are_missing(view: View) -> bool:
    """Storage, lease manager or hypervisor can't be read."""
    return view.vm is VmState.UNKNOWN or not view.can_read


def hypervisor_is_silent(view: View) -> bool:
    """The hypervisor does not answer."""
    return view.vm is VmState.UNKNOWN


def what_is_missing(view: View) -> str:
    """Say what can't be read."""
    if view.vm is VmState.UNKNOWN:
        return "the hypervisor does not answer"
    if view.snapshot.whiteboard is None:
        return "the storage can't be read"
    if view.snapshot.leases is None:
        return "the lease manager does not answer"
    if view.snapshot.leases.held_by_other:
        return f"host id {view.snapshot.host_id} is held by another host"
    return "this host does not hold its host id"


def global_maintenance_is_set(view: View) -> bool:
    """Slot 0 says maintenance, or its value was never readable."""
    return view.memory.global_maintenance is not False


def why_global_maintenance(view: View) -> str:
    """Say whether the flag is set, or only unreadable."""
    if view.memory.global_maintenance is None:
        problem = view.memory.global_problem
        word = problem.value if problem is not None else "never read"
        return f"slot 0 has never been readable ({word}): as in global maintenance"
    return "global maintenance is set"


def local_maintenance_is_set(view: View) -> bool:
    """The administrator took this host out."""
    return view.snapshot.local_maintenance


def vm_is_here(view: View) -> bool:
    """An engine VM is here: starting, up, paused, stopping or leaving."""
    return view.vm_is_here


def vm_is_gone(view: View) -> bool:
    """No engine VM is here (one that is only arriving does not execute)."""
    return view.vm is VmState.ABSENT or view.vm is VmState.ARRIVING


def health_is_good(view: View) -> bool:
    """The VM is up and its health page is good."""
    return view.vm is VmState.UP and _watched_good(view)


def _watched_good(view: View) -> bool:
    watch = view.memory.vm
    return watch is not None and watch.was_good and watch.bad_since is None


def vm_is_leaving(view: View) -> bool:
    """A live migration away from here is under way, whoever ordered it."""
    return view.vm is VmState.LEAVING


def paused_too_long(view: View) -> bool:
    """The VM has been paused for longer than the limit."""
    watch = view.memory.vm
    if watch is None or watch.paused_since is None:
        return False
    return view.due(watch.paused_since + view.policy.paused_limit_s)


def why_paused(view: View) -> str:
    """Say for how long."""
    return f"paused for {view.policy.paused_limit_s:g} s: power off, start again by score"


def starts_are_blocked(view: View) -> bool:
    """Too many starts failed here; the block has not expired."""
    return view.is_blocked


def blocked_until(view: View) -> str:
    """Say how many starts failed, and for how long the score is 0."""
    failed = view.memory.failed
    left = failed.last_at + view.policy.failed_starts_forget_s - view.now
    return f"{failed.count} failed starts: score 0 for {left:.0f} s"


def can_evacuate(view: View) -> bool:
    """Local maintenance is set, and there is a host to go to."""
    return (
        view.snapshot.local_maintenance
        and view.vm is VmState.UP
        and view.best_other() is not None
        and view.due(view.wait_after_failure())
    )


def migrate_to_best(view: View) -> tuple[MigrateVm, ...]:
    """Move to the best other host."""
    best = view.best_other()
    return () if best is None else (MigrateVm(best[0]),)


def why_evacuate(view: View) -> str:
    """Say where to."""
    best = view.best_other()
    where = "nowhere" if best is None else f"host {best[0]}, score {best[1]}"
    return f"local maintenance: the engine moves to {where} first"


def count_failed_start(view: View, memory: Memory) -> Memory:
    """Remember one more failed start, now."""
    failed = FailedStarts(count=memory.failed.count + 1, last_at=view.now)
    return attrs.evolve(memory, failed=failed)


def remember_departure(view: View, memory: Memory) -> Memory:
    """Leave a VM that has arrived elsewhere the time to be seen there: no start is the answer."""
    if view.result(Outcome.MIGRATION_DONE) is None:
        return memory
    return attrs.evolve(memory, refused_at=view.now)


def remember_end(view: View, memory: Memory) -> Memory:
    """
    Leave a VM that has arrived elsewhere alone; one that died here is this host's to start first.

    This host knows at once, the others when their lease managers show it: of equal hosts it need
    not wait for its turn, and nobody runs into the lease that it takes again.
    """
    if view.result(Outcome.MIGRATION_DONE) is not None:
        return remember_departure(view, memory)
    return attrs.evolve(memory, named_since=view.now - view.policy.stagger_total_s)


def remember_power_off(view: View, memory: Memory) -> Memory:
    """Remember when the order was given, to give it again if it does nothing."""
    watch = memory.vm
    if watch is None:
        return memory
    return attrs.evolve(memory, vm=attrs.evolve(watch, power_off_at=view.now))


def forget_failed_starts(_: View, memory: Memory) -> Memory:
    """Success: earlier failures no longer count."""
    return attrs.evolve(memory, failed=FailedStarts())


def remember_target(view: View, memory: Memory) -> Memory:
    """Remember where the VM was sent, and count the move towards the next wait."""
    best = view.best_other()
    moves = memory.moves
    # A series is over when the longest wait has passed in peace, and twice the last one.
    peace = max(view.policy.migration_backoff_max_s, 2 * backoff_s(moves.moves, view.policy))
    is_new = not moves.moves or view.now >= moves.moved_at + peace
    moves = attrs.evolve(
        moves,
        target=None if best is None else best[0],
        moves=1 if is_new else moves.moves + 1,
        moved_at=view.now,
    )
    return attrs.evolve(memory, moves=moves, better_since=None)


def stop_agent(source: State) -> Transition:
    """Give the row by which a superseded agent without a VM stops."""
    return Transition(
        source,
        "superseded",
        is_superseded_without_vm,
        State.UNKNOWN,
        SUPERSEDED,
        deeds(StopAgent("superseded by a newer release")),
        does="stop the agent",
        notifies=True,
    )


def hand_over(source: State) -> Transition:
    """Give the row by which a superseded agent shuts its VM down."""
    return Transition(
        source,
        "superseded",
        is_superseded_with_vm,
        State.ENGINE_STOPPING,
        SUPERSEDED + "; the VM here is shut down",
        deeds(ShutDownVm()),
        does="shut the VM down",
        notifies=True,
    )


def lose_sight(source: State) -> Transition:
    """Give the row to `Unknown`."""
    return Transition(
        source,
        "facts_missing",
        facts_are_missing,
        State.UNKNOWN,
        "storage, lease manager or hypervisor can't be read",
        because=what_is_missing,
    )


def hands_off(source: State) -> Transition:
    """Give the row to `GlobalMaintenance`."""
    return Transition(
        source,
        "global_maintenance",
        global_maintenance_is_set,
        State.GLOBAL_MAINTENANCE,
        "global maintenance is set, or slot 0 has never been readable",
        because=why_global_maintenance,
    )


def end_paused(source: State) -> Transition:
    """Give the row by which a VM that is paused for too long is powered off."""
    return Transition(
        source,
        "paused",
        paused_too_long,
        State.ENGINE_STOPPING,
        "paused by an I/O error for longer than the limit",
        deeds(PowerOffVm()),
        because=why_paused,
        then=remember_power_off,
        does="power the VM off",
        notifies=True,
    )


def adopt(source: State) -> Transition:
    """Give the row by which a VM that is found here is adopted."""
    return Transition(
        source,
        "vm_found_here",
        vm_is_here,
        State.ENGINE_STARTING,
        "an engine VM is here: received by migration, or found running",
        notifies=True,
    )


def take_out(source: State) -> Transition:
    """Give the row to `LocalMaintenance` of a state without a VM."""
    return Transition(
        source,
        "maintenance_set",
        local_maintenance_is_set,
        State.LOCAL_MAINTENANCE,
        "local maintenance is set",
        notifies=True,
    )
