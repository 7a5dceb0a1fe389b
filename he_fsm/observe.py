"""
Taking a look in: what one snapshot adds to what a host remembers.

Nothing is decided here. What follows from the passing of time alone, whatever the state, is noted:
who lives, how the VM has been, since when another host is better, what is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

from he_fsm.crowd import CrowdSightings
from he_fsm.liveness import NEVER, Liveness, grow_no_older, look, who_is_alive
from he_fsm.memory import Memory, Sighting
from he_fsm.metadata.record import RANK_GOOD, ProblemWord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.placement import Placement, placement
from he_fsm.policy import Policy
from he_fsm.remembered import FailedStarts, Moves
from he_fsm.snapshot import Health, LeaseView, Snapshot, VmState
from he_fsm.states import remembering
from he_fsm.states.engine_down import could_start, is_claiming
from he_fsm.states.names import State
from he_fsm.states.view import NO_LEASES, View
from he_fsm.watch import watch_vm
from he_fsm.watchdogs import for_the_longer

# A clock that counts suspended time gains so much on the monotonic one only by a suspend.
_SUSPENDED_S = 1.0


def observe(memory: Memory, snapshot: Snapshot, policy: Policy) -> View:
    """Take in what the snapshot shows: who lives, how the VM is, since when others are better."""
    now = snapshot.now
    slept_s = 0.0 if snapshot.boot_now is None else _slept_s(memory, snapshot)
    if slept_s:
        memory = memory.after_suspend(now, slept_s)
    whiteboard, gap_s = snapshot.whiteboard, policy.gap_s
    sightings, read_at = memory.sightings, memory.read_at
    if whiteboard is not None:
        sightings, read_at = _look_at(whiteboard, memory, snapshot, gap_s), now
    leases = snapshot.leases or NO_LEASES
    if leases.free_at is not None:
        leases = for_the_longer(leases, sightings, policy)
    dead_hosts = leases.dead_hosts if leases.free_at is None else _dead_hosts(leases, now)
    # Freeze the peers' ages while the storage is unreadable.
    seen_at = now if whiteboard is not None or read_at is None else read_at
    liveness = who_is_alive(sightings, snapshot.host_id, seen_at, policy.dead_after_s, dead_hosts)
    if whiteboard is None:
        liveness = Liveness(liveness.alive, liveness.pending, NEVER)
    # A gap between two looks that is too long adds nothing to what is counted.
    unseen_s = 0.0 if memory.looked_at is None else now - memory.looked_at
    if unseen_s <= gap_s:
        unseen_s = 0.0
    ahead = memory.boot_ahead
    if snapshot.boot_now is not None and (ahead is None or slept_s):
        ahead = snapshot.boot_now - now
    plan = _plan(sightings, snapshot, liveness.alive, liveness.pending, policy)
    moves = memory.moves
    if plan.engine_on != moves.seen_on and plan.engine_on is not None and whiteboard is not None:
        moves = _moved_to(moves, plan.engine_on, now, policy)
    maintenance, is_old = memory.global_maintenance, memory.global_is_old
    problem, problem_since = memory.global_problem, memory.global_problem_since
    until = memory.global_until
    if whiteboard is not None and (
        maintenance is None
        or problem is not None
        or is_old
        or whiteboard.global_block.maintenance is not maintenance
        or whiteboard.global_block.until != memory.global_until
    ):
        before = Slot0(maintenance, is_old, problem, problem_since, memory.global_until)
        slot_0 = _read_slot_0(before, whiteboard, now, policy)
        maintenance, is_old = slot_0.maintenance, slot_0.is_old
        problem, problem_since, until = slot_0.problem, slot_0.since, slot_0.until
    better_since, named_since = memory.better_since, memory.named_since
    if unseen_s:
        better_since = _later(better_since, unseen_s, now)
        named_since = _later(named_since, unseen_s, now)
    seen = Memory(
        state=memory.state,
        since=memory.since,
        began_at=memory.began_at,
        looked_at=now,
        boot_ahead=ahead,
        sightings=sightings,
        read_at=read_at,
        is_blind=whiteboard is None,
        global_maintenance=maintenance,
        global_is_old=is_old,
        global_problem=problem,
        global_problem_since=problem_since,
        global_until=until,
        global_ended_at=memory.global_ended_at if until == memory.global_until else None,
        failed=memory.failed,
        well_since=memory.well_since,
        vm=watch_vm(memory, snapshot, unseen_s, has_slept=slept_s > 0.0),
        moves=moves,
        better_since=better_since,
        named_since=named_since,
        claimed_at=memory.claimed_at,
        refused_at=memory.refused_at,
        arriving_since=_arriving_since(memory, snapshot, unseen_s),
        draining_since=memory.draining_since,
        keeps_engine=memory.keeps_engine,
        has_let_go=memory.has_let_go and snapshot.leaves_by is not None,
        alarms=memory.alarms,
    )
    view = View(seen, snapshot, policy, liveness, plan, leases)
    view.slept_s = slept_s
    if memory.is_blind and whiteboard is not None:
        # Its record says that it could not read; the others are to know better soon.
        view.due_again()
    if maintenance is None and problem_since is not None:
        view.due(problem_since + _empty_for_s(policy))
    if leases.free_at is not None:
        _look_ahead(view)
    return _time_passes(view)


def _look_at(
    whiteboard: Whiteboard, memory: Memory, snapshot: Snapshot, gap_s: float
) -> Mapping[int, Sighting]:
    """Return what is seen of the others after one reading of the whiteboard."""
    now, read_at = snapshot.now, memory.read_at
    sightings = memory.sightings
    was_blind = memory.is_blind and read_at is not None
    if was_blind and read_at is not None:
        sightings = grow_no_older(sightings, max(0.0, now - read_at))
    return look(
        sightings,
        whiteboard.slots,
        snapshot.host_id,
        now,
        first=read_at is None,
        was_blind=was_blind,
        slack_s=gap_s,
    )


def _slept_s(memory: Memory, snapshot: Snapshot) -> float:
    """Return for how long this host was suspended since its last look; 0: it was not."""
    if snapshot.boot_now is None or memory.boot_ahead is None:
        return 0.0
    slept_s = snapshot.boot_now - snapshot.now - memory.boot_ahead
    return slept_s if slept_s > _SUSPENDED_S else 0.0


def _arriving_since(memory: Memory, snapshot: Snapshot, unseen_s: float) -> Optional[float]:
    """Return since when a VM is seen to be on its way here; None: it is not."""
    if snapshot.vm.state is not VmState.ARRIVING:
        return None
    if memory.arriving_since is None:
        return snapshot.now
    return _later(memory.arriving_since, unseen_s, snapshot.now)


def _later(time: Optional[float], by_s: float, now: float) -> Optional[float]:
    """Return since when something is observed, without *by_s* in which nobody looked."""
    return None if time is None else min(time + by_s, now)


def _look_ahead(view: View) -> None:
    """Say who should start the engine once an owner that renews no more is dead."""
    owner, free_at = view.leases.owner, view.leases.free_at
    alive, pending = view.liveness.alive, view.liveness.pending
    if owner is None or free_at is None or not (owner in alive or owner in pending):
        return
    view.due(free_at)
    view.placement_after_expiry = _plan(
        view.memory.sightings, view.snapshot, alive - {owner}, pending - {owner}, view.policy
    )


def _moved_to(moves: Moves, engine_on: int, now: float, policy: Policy) -> Moves:
    """Count a move where the engine is seen on another host than before, whoever moved it."""
    if moves.seen_on is None:
        return moves._replace(seen_on=engine_on)
    return remembering.count_move(moves, engine_on, now, policy)


def _dead_hosts(leases: LeaseView, now: float) -> frozenset[int]:
    """Return the hosts that are dead whatever their records say."""
    owner, free_at = leases.owner, leases.free_at
    if owner is not None and free_at is not None and now >= free_at:
        # Its lease can be had for one reason: its host is dead by sanlock's reckoning.
        return leases.dead_hosts | {owner}
    return leases.dead_hosts


def _plan(
    sightings: Mapping[int, Sighting],
    snapshot: Snapshot,
    alive: frozenset[int],
    pending: frozenset[int],
    policy: Policy,
) -> Placement:
    """Return who should run the engine, by the records that are believed."""
    if type(sightings) is CrowdSightings:
        return sightings.placement(snapshot.own, alive, pending, policy)
    records = {
        host_id: seen.record for host_id, seen in sightings.items() if seen.record is not None
    }
    if snapshot.own is not None:
        records[snapshot.host_id] = snapshot.own
    return placement(records, alive, policy, pending)


class Slot0(NamedTuple):
    """What is known of slot 0 (see the fields of `Memory`)."""

    maintenance: Optional[bool]
    is_old: bool
    problem: Optional[ProblemWord]
    since: Optional[float]
    until: Optional[int]


def _read_slot_0(before: Slot0, whiteboard: Whiteboard, now: float, policy: Policy) -> Slot0:
    """
    Take in slot 0's value: the last good one holds while it can't be believed.

    A slot of zeros whose value nobody writes again means no maintenance: nobody knows of any.
    """
    block = whiteboard.global_block
    if block.maintenance is not None:
        return Slot0(block.maintenance, False, None, None, block.until)
    word = block.problem.word if block.problem is not None else ProblemWord.GARBAGE
    since = now if before.problem is None or before.since is None else before.since
    if word is ProblemWord.EMPTY and not before.maintenance:
        if policy.empty_global_is_none:
            return Slot0(False, False, None, None, None)
        if before.maintenance is None and now >= since + _empty_for_s(policy):
            return Slot0(False, True, word, since, None)
    return Slot0(before.maintenance, before.is_old, word, since, before.until)


def _empty_for_s(policy: Policy) -> float:
    """
    Return after how long whoever knows the value of an empty slot 0 has written it again.

    Those that know it from an earlier agent wait for those that have read it themselves.
    """
    return policy.dead_after_s + policy.loop_s * (policy.slot_0_writers + 2)


def _time_passes(view: View) -> View:
    """Start and end the waits that do not depend on one state's rows alone."""
    if view.snapshot.results and remembering.is_told_of_failed_move(view):
        # It is told once, also where facts are missing and the state's own row does not see it.
        view.memory = remembering.remember_failed_move(view, view.memory)
    memory = view.memory
    failed, well_since = memory.failed, memory.well_since
    if failed.count:
        # The score changes with the end of a block, in whatever state.
        view.due(failed.last_at + view.policy.blocked_s(failed.count))
        well_since = _well_since(view)
        if _is_forgotten(view, well_since):
            failed, well_since = FailedStarts(), None
    if view.leases.doomed_until is not None:
        view.due(view.leases.doomed_until)
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
    moves, draining_since = memory.moves, None
    if view.is_taken_out and view.vm_is_here:
        draining_since = memory.draining_since
        if draining_since is None:
            draining_since = view.now
            # Somebody asks anew: what failed before says nothing.
            moves = moves._replace(failures=0, refused_by=None)
    if (
        failed is not memory.failed
        or moves is not memory.moves
        or well_since != memory.well_since
        or better_since != memory.better_since
        or named_since != memory.named_since
        or claimed_at != memory.claimed_at
        or draining_since != memory.draining_since
        or (memory.keeps_engine and not _keeps_engine(view))
    ):
        view.memory = memory._replace(
            failed=failed,
            well_since=well_since,
            moves=moves,
            better_since=better_since,
            named_since=named_since,
            claimed_at=claimed_at,
            draining_since=draining_since,
            keeps_engine=memory.keeps_engine and _keeps_engine(view),
        )
    return view


def _keeps_engine(view: View) -> bool:
    """
    Return whether this host still keeps the engine that it has shut down for itself.

    It does so until the engine runs again, or it can't start it although it is back. An agent that
    has just begun, and can't tell yet how its host is, is given time.
    """
    memory, own = view.memory, view.snapshot.own
    engine_on = view.placement.engine_on
    if view.is_leaving:
        return engine_on in (None, view.snapshot.host_id)
    if engine_on is not None:
        return False
    if own is None or own.score > 0:
        return True
    return memory.state is State.UNKNOWN and not view.due(
        memory.began_at + view.policy.dead_after_s
    )


def _is_forgotten(view: View, well_since: Optional[float]) -> bool:
    """
    Whether the engine has run well for so long that what ended badly before counts no more.

    *well_since*: since when it runs well, as this look shows it. Endings that cost no points and
    block nothing are of no account before the next one. They are forgotten when the engine is
    well no more, and nobody has to look for their sake.
    """
    failed, policy = view.memory.failed, view.policy
    if well_since is None:
        return view.memory.has_run_well(view.now, policy.endings_forget_s)
    is_felt = failed.count >= policy.failed_starts_max or failed.penalised > 0
    return is_felt and view.due(well_since + policy.endings_forget_s)


def _well_since(view: View) -> Optional[float]:
    """Return since when the engine has run well, wherever; what is not known changes nothing."""
    memory = view.memory
    engine_on = view.placement.engine_on
    is_well: Optional[bool] = None
    if view.vm_is_here:
        health = view.snapshot.vm.health
        if view.vm is not VmState.UP or health is Health.BAD:
            is_well = False
        elif health is Health.GOOD:
            is_well = True
    elif engine_on is not None and engine_on != view.snapshot.host_id:
        seen = memory.sightings[engine_on].record
        is_well = seen is not None and seen.engine.rank == RANK_GOOD
    elif not view.liveness.pending and not memory.is_blind and view.vm is not VmState.UNKNOWN:
        is_well = False
    if is_well is None:
        return memory.well_since
    if not is_well:
        return None
    return view.now if memory.well_since is None else memory.well_since


def _is_better_elsewhere(view: View) -> bool:
    if view.memory.state is not State.ENGINE_UP or view.vm is not VmState.UP:
        return False
    if view.snapshot.own is None:
        # This host can't publish: it has no score to be compared, nor can it hand the lease over.
        return False
    best = view.best_other()
    return best is not None and best[1] >= view.own_score + view.policy.migration_threshold


def _is_named(view: View) -> bool:
    """Whether this host should start the engine, its turn among equals aside."""
    return (
        could_start(view)
        and view.placement.names(view.snapshot.host_id)
        and view.due(view.memory.began_at + view.policy.settle_s)
        and view.lease_can_be_taken
    )
