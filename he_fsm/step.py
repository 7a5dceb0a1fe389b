"""The decision: what one host does next, from what it remembers and what it sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

import attrs

from he_fsm.effects import Effect, Notify
from he_fsm.liveness import NEVER, Liveness, grow_no_older, look, who_is_alive
from he_fsm.memory import FailedStarts, Memory, VmWatch
from he_fsm.metadata.record import HostRecord, ProblemWord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.placement import Placement, placement
from he_fsm.policy import Policy
from he_fsm.snapshot import Health, LeaseView, OwnerState, Snapshot, VmState
from he_fsm.states import guards
from he_fsm.states.engine_down import could_start, is_claiming, turn_at
from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.table import TABLE
from he_fsm.states.view import NO_LEASES, View


class Step(NamedTuple):
    """
    One decision.

    `edge` is the row of the table that was taken, None to stay. `wake_at` is the earliest time
    (own monotonic clock) at which the answer can change while the inputs do not; after an edge
    it is now, for the new state may have an answer of its own, and where the lease is claimed
    from now on, for the others are to read that. `idle_until` is the same on the assumption that
    every living host's record keeps growing.
    """

    memory: Memory
    effects: tuple[Effect, ...]
    edge: Optional[Transition]
    reason: str
    wake_at: float
    idle_until: float
    liveness: Liveness
    placement: Placement


def step(memory: Memory, snapshot: Snapshot, policy: Policy) -> Step:
    """
    Decide what this host does next: the first row that holds, else stay.

    Pure and total: it reads nothing but its arguments, and raises nothing for any snapshot.
    """
    view = observe(memory, snapshot, policy)
    for edge in TABLE[memory.state]:
        if edge.when(view):
            return _take(edge, view)
    wakes_at = view.wakes_at
    return Step(
        view.memory,
        (),
        None,
        why_stay(view),
        min(wakes_at, view.liveness.changes_at),
        wakes_at,
        view.liveness,
        view.placement,
    )


def _take(edge: Transition, view: View) -> Step:
    vm = view.memory.vm
    if vm is not None and vm.power_off_at is not None and edge.source is not State.ENGINE_STOPPING:
        # An order to power off belongs to the stop in which it was given.
        vm = attrs.evolve(vm, power_off_at=None)
    before = view.memory
    # The waits that are not named here are over.
    memory = Memory(
        state=edge.to,
        since=view.now,
        began_at=before.began_at,
        sightings=before.sightings,
        read_at=before.read_at,
        is_blind=before.is_blind,
        global_maintenance=before.global_maintenance,
        global_problem=before.global_problem,
        failed=before.failed,
        vm=vm,
        moves=before.moves,
        refused_at=before.refused_at,
    )
    if edge.then is not None:
        memory = edge.then(view, memory)
    reason = edge.says if edge.because is None else edge.because(view)
    effects = edge.effects(view)
    if edge.notifies:
        subject = f"{edge.source.value}-{edge.to.value}: {reason}"
        effects = (*effects, Notify(subject))
    return Step(memory, effects, edge, reason, view.now, view.now, view.liveness, view.placement)


def observe(memory: Memory, snapshot: Snapshot, policy: Policy) -> View:
    """Take in what the snapshot shows: who lives, how the VM is, since when others are better."""
    now = snapshot.now
    whiteboard = snapshot.whiteboard
    sightings = memory.sightings
    read_at = memory.read_at
    maintenance, problem = memory.global_maintenance, memory.global_problem
    if whiteboard is not None:
        if memory.is_blind and read_at is not None:
            sightings = grow_no_older(sightings, max(0.0, now - read_at))
        sightings = look(sightings, whiteboard.slots, snapshot.host_id, now, first=read_at is None)
        read_at = now
        maintenance, problem = _read_global(memory, whiteboard, policy)
    dead_hosts = _dead_hosts(snapshot.leases or NO_LEASES, now)
    # While this host can't read, nobody grows old: what it last saw stands still.
    seen_at = now if whiteboard is not None or read_at is None else read_at
    liveness = who_is_alive(sightings, snapshot.host_id, seen_at, policy.dead_after_s, dead_hosts)
    if whiteboard is None:
        liveness = Liveness(liveness.alive, liveness.pending, NEVER)
    seen = Memory(
        state=memory.state,
        since=memory.since,
        began_at=memory.began_at,
        sightings=sightings,
        read_at=read_at,
        is_blind=whiteboard is None,
        global_maintenance=maintenance,
        global_problem=problem,
        failed=memory.failed,
        vm=_watch(memory, snapshot),
        moves=memory.moves,
        better_since=memory.better_since,
        named_since=memory.named_since,
        claimed_at=memory.claimed_at,
        refused_at=memory.refused_at,
    )
    records = _records(seen, snapshot)
    view = View(
        seen,
        snapshot,
        policy,
        liveness,
        placement(records, liveness.alive, policy, liveness.pending),
    )
    _look_ahead(view, records)
    return _time_passes(view)


def _look_ahead(view: View, records: Mapping[int, HostRecord]) -> None:
    """Say who should start the engine once an owner that renews no more is dead."""
    owner, free_at = view.leases.owner, view.leases.free_at
    alive, pending = view.liveness.alive, view.liveness.pending
    if owner is None or free_at is None or not (owner in alive or owner in pending):
        return
    view.due(free_at)
    view.heirs = placement(records, alive - {owner}, view.policy, pending - {owner})


def _dead_hosts(leases: LeaseView, now: float) -> frozenset[int]:
    """Give the hosts that are dead whatever their records say."""
    owner, free_at = leases.owner, leases.free_at
    if owner is not None and free_at is not None and now >= free_at:
        # Its lease can be had for one reason: its host is dead by sanlock's reckoning.
        return leases.dead_hosts | {owner}
    return leases.dead_hosts


def _records(memory: Memory, snapshot: Snapshot) -> Mapping[int, HostRecord]:
    records = {
        host_id: seen.record
        for host_id, seen in memory.sightings.items()
        if seen.record is not None
    }
    if snapshot.own is not None:
        records[snapshot.host_id] = snapshot.own
    return records


def _read_global(
    memory: Memory, whiteboard: Whiteboard, policy: Policy
) -> tuple[Optional[bool], Optional[ProblemWord]]:
    """Give slot 0's value: the last good one holds while it can't be believed."""
    block = whiteboard.global_block
    if block.maintenance is not None:
        return block.maintenance, None
    word = block.problem.word if block.problem is not None else ProblemWord.GARBAGE
    if memory.global_maintenance is not None:
        return memory.global_maintenance, word
    if word is ProblemWord.EMPTY and policy.empty_global_is_none:
        return False, None
    return None, word


def _watch(memory: Memory, snapshot: Snapshot) -> Optional[VmWatch]:
    """Follow the VM that is here: since when, good or bad since when, paused since when."""
    vm = snapshot.vm
    watch = memory.vm
    if vm.state is VmState.UNKNOWN:
        return watch
    if vm.state is VmState.ABSENT or vm.state is VmState.ARRIVING:
        # What began here and is gone is judged by the state's own rows before it is forgotten.
        return watch if memory.state is State.ENGINE_STARTING else None
    now = snapshot.now
    if watch is None:
        started_here = memory.state is State.ENGINE_STARTING
        watch = VmWatch(since=now, started_here=started_here)
    was_good, bad_since, paused_since = watch.was_good, watch.bad_since, watch.paused_since
    if vm.state is VmState.PAUSED:
        paused_since = now if paused_since is None else paused_since
    else:
        paused_since = None
        if vm.health is Health.GOOD:
            was_good, bad_since = True, None
        elif vm.health is Health.BAD and bad_since is None:
            bad_since = now
    if (was_good, bad_since, paused_since) == (
        watch.was_good,
        watch.bad_since,
        watch.paused_since,
    ):
        return watch
    return attrs.evolve(watch, was_good=was_good, bad_since=bad_since, paused_since=paused_since)


def _time_passes(view: View) -> View:
    """Start and end the waits that do not depend on one state's rows alone."""
    memory = view.memory
    failed = memory.failed
    if failed.count and view.due(failed.last_at + view.policy.failed_starts_forget_s):
        failed = FailedStarts()
    better_since = view.now if _is_better_elsewhere(view) else None
    if better_since is not None and memory.better_since is not None:
        better_since = memory.better_since
    named_since = view.now if _is_named(view) else None
    if named_since is not None and memory.named_since is not None:
        named_since = memory.named_since
    claimed_at = memory.claimed_at
    if not is_claiming(view):
        claimed_at = None
    elif claimed_at is None:
        claimed_at = view.now
        # The others are to read it as soon as can be.
        view.due_again()
    if (
        failed is not memory.failed
        or better_since != memory.better_since
        or named_since != memory.named_since
        or claimed_at != memory.claimed_at
    ):
        view.memory = attrs.evolve(
            memory,
            failed=failed,
            better_since=better_since,
            named_since=named_since,
            claimed_at=claimed_at,
        )
    return view


def _is_better_elsewhere(view: View) -> bool:
    if view.memory.state is not State.ENGINE_UP or view.vm is not VmState.UP:
        return False
    best = view.best_other()
    return best is not None and best[1] >= view.own_score + view.policy.migration_threshold


def _is_named(view: View) -> bool:
    """Whether this host should start the engine, its turn among equals aside."""
    return (
        could_start(view)
        and view.snapshot.host_id in view.placement.hosts
        and view.due(view.memory.began_at + view.policy.settle_s)
        and view.lease_can_be_taken
    )


def why_stay(view: View) -> str:
    """Say why the state stays as it is, in words."""
    return _WHY_STAY[view.memory.state](view)


def _why_unknown(view: View) -> str:
    return guards.what_is_missing(view)


def _why_down(view: View) -> str:
    plan = view.placement
    if plan.engine_on is not None or not plan.hosts:
        return plan.reason
    leases = view.leases
    if not view.lease_can_be_taken:
        if leases.owner_state is OwnerState.FAILING and leases.free_at is not None:
            left = leases.free_at - view.now
            return f"the engine's lease is held by host {leases.owner}, free in {left:.0f} s"
        return (
            f"the engine's lease is held by host {leases.owner}, which is alive: its VM runs there"
        )
    if view.snapshot.host_id not in plan.hosts:
        return plan.reason
    at = turn_at(view)
    if at is None:
        return f"{plan.reason}; looking around until others have had time to show themselves"
    return f"{plan.reason}; this host's turn is in {max(0.0, at - view.now):.0f} s"


def _why_starting(_: View) -> str:
    return "waiting for the health page to become good"


def _why_up(view: View) -> str:
    watch = view.memory.vm
    if view.snapshot.local_maintenance:
        if view.best_other() is None:
            return "local maintenance is set, but there is no host to go to: the engine stays"
        return "local maintenance is set; the engine leaves when the next migration may be tried"
    if watch is not None and watch.paused_since is not None:
        return f"the VM has been paused for {view.now - watch.paused_since:.0f} s"
    if watch is not None and watch.bad_since is not None:
        return f"the health page has been bad for {view.now - watch.bad_since:.0f} s"
    if view.memory.better_since is not None:
        return "another host is better by the threshold; waiting whether that lasts"
    return "the engine runs here and is well"


def _why_migrating(view: View) -> str:
    target = view.memory.moves.target
    return "migration under way" + ("" if target is None else f" to host {target}")


def _why_stopping(_: View) -> str:
    return "waiting for the VM to go down"


def _why_maintenance(_: View) -> str:
    return "local maintenance is set"


_WHY_STAY = {
    State.UNKNOWN: _why_unknown,
    State.ENGINE_DOWN: _why_down,
    State.ENGINE_STARTING: _why_starting,
    State.ENGINE_UP: _why_up,
    State.ENGINE_MIGRATING_AWAY: _why_migrating,
    State.ENGINE_STOPPING: _why_stopping,
    State.LOCAL_MAINTENANCE: _why_maintenance,
    State.SCORE_BLOCKED: guards.blocked_until,
    State.GLOBAL_MAINTENANCE: guards.why_global_maintenance,
}
