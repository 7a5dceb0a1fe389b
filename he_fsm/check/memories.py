"""
The normal form of memories: one for all that are equivalent.

A memory is always stored as of the moment `now_of(host)`; when time passes, its times move into the
past (`aged`). The number of memories is finite for these reasons:

* A time that is further back than the longest wait counted from it is moved up to that wait, since
  whether it is due stays the same. A wait that is over for good is forgotten.
* Of the writers' timestamps only the order matters (`he_fsm.liveness`), so labels replace them:
  `SEEN` for this host's baseline, `BELIEVED` for the last believed record if it is another one. The
  clocks of two hosts are far apart, and the labels are far from both, so code that compares them is
  detected.
* While a host can't read, the ages of its peers are frozen: the time without reading is taken out
  at once, as `he_fsm.step` does at the next reading.
* Endings, failures and moves in a row are counted only up to the longest wait.
"""

from __future__ import annotations

from typing import Optional

from he_fsm.check.scale import LOOP_S, loops
from he_fsm.liveness import grow_no_older
from he_fsm.memory import Memory, Sighting
from he_fsm.metadata.record import HostRecord
from he_fsm.policy import Policy
from he_fsm.remembered import FailedStarts, Moves, VmWatch
from he_fsm.states.names import State
from he_fsm.states.remembering import moves_forget_s
from he_fsm.states.view import backoff_s

# Labels of a writer's timestamps, in their order.
EARLIER = 500
SEEN = 1000
BELIEVED = 2000
LATER = 3000
_CLOCKS_APART_S = 1_000_000.0


def now_of(host_id: int) -> float:
    """Return the time that a host's monotonic clock always shows, in seconds."""
    return _CLOCKS_APART_S * host_id


class Normal:
    """Normal forms under one policy."""

    def __init__(self, policy: Policy) -> None:
        """Compute the waits, in seconds."""
        self._policy = policy
        self._stay_s = _whole(max(policy.migration_timeout_s, policy.stop_timeout_s))
        # A host that has just become blind uses what it read a loop ago.
        self._dead_s = _whole(policy.dead_after_s) + LOOP_S
        self._named_s = _whole(policy.stagger_total_s + policy.stagger_s + policy.lease_sight_s)
        self._arriving_s = _whole(policy.arrival_limit_s)
        self._peace_s = _whole(2 * policy.migration_backoff_max_s)
        self._bad_s = _whole(max(policy.bad_health_s, policy.start_timeout_max_s))
        self._endings_max = policy.failed_starts_max
        while policy.blocked_s(self._endings_max) < policy.block_max_s:
            self._endings_max += 1
        self._time_outs_max = 0
        while policy.start_limit_s(self._time_outs_max) < policy.start_timeout_max_s:
            self._time_outs_max += 1
        times = 1
        while backoff_s(times, policy) < policy.migration_backoff_max_s:
            times += 1
        self._series_max = times

    def of(self, memory: Memory, host_id: int) -> Memory:
        """Return the normal form of a memory as of `now_of(host_id)`."""
        now = now_of(host_id)
        policy = self._policy
        sightings = memory.sightings
        read_at = memory.read_at
        if memory.is_blind and read_at is not None:
            sightings = grow_no_older(sightings, now - read_at)
            read_at = now
        waits = memory.state in (State.ENGINE_MIGRATING_AWAY, State.ENGINE_STOPPING)
        # A blind host uses what it read last.
        oldest = now - (self._dead_s - LOOP_S if memory.is_blind else self._dead_s)
        is_watched = (
            memory.vm is not None
            or memory.better_since is not None
            or memory.arriving_since is not None
        )
        # The next pass would forget these endings, so forget them here.
        is_forgotten = memory.has_run_well(now, policy.endings_forget_s)
        return Memory(
            state=memory.state,
            since=_not_before(memory.since, now - self._stay_s) if waits else now,
            began_at=_not_before(memory.began_at, now - self._begins_s(memory)),
            # A gap in observation interrupts the waits above; three loops are enough for a gap.
            looked_at=_latest(memory.looked_at, now - 3 * LOOP_S) if is_watched else None,
            # Only changes of the distance between the two clocks matter, not the distance.
            boot_ahead=None if memory.boot_ahead is None else 0.0,
            sightings={
                other: self._sighting(sightings[other], oldest) for other in sorted(sightings)
            },
            read_at=None if read_at is None else _not_before(read_at, now - LOOP_S),
            is_blind=memory.is_blind,
            global_maintenance=memory.global_maintenance,
            global_is_old=memory.global_is_old,
            global_problem=memory.global_problem,
            global_problem_since=None if memory.global_problem_since is None else now,
            failed=FailedStarts() if is_forgotten else self._failed(memory.failed, now),
            well_since=None if is_forgotten else memory.well_since,
            vm=None if memory.vm is None else self._vm(memory.vm, now),
            moves=self._moves(
                memory.moves, now, leaves=memory.state is State.ENGINE_MIGRATING_AWAY
            ),
            better_since=_latest(memory.better_since, now - _whole(policy.migration_hold_s)),
            named_since=_latest(memory.named_since, now - self._named_s),
            claimed_at=_latest(memory.claimed_at, now - _whole(policy.lease_claim_s)),
            refused_at=_recent(memory.refused_at, now - policy.refused_retry_s),
            arriving_since=_latest(memory.arriving_since, now - self._arriving_s),
            global_until=memory.global_until,
            draining_since=None if memory.draining_since is None else now,
            keeps_engine=memory.keeps_engine,
            has_let_go=memory.has_let_go,
            # Alarms only notify people; no decision depends on them.
            alarms=(),
        )

    def _begins_s(self, memory: Memory) -> float:
        """Return the longest wait that is counted from an agent's beginning."""
        policy = self._policy
        longest_s = policy.dead_after_s if memory.keeps_engine else 0.0
        return _whole(max(policy.settle_s, longest_s))

    def _failed(self, failed: FailedStarts, now: float) -> FailedStarts:
        if not failed.count:
            return FailedStarts()
        count = min(failed.count, self._endings_max)
        return FailedStarts(
            count=count,
            last_at=_not_before(failed.last_at, now - _whole(self._policy.blocked_s(count))),
            good_runs=min(failed.good_runs, 1),
            time_outs=min(failed.time_outs, self._time_outs_max),
        )

    def aged(self, memory: Memory, host_id: int) -> Memory:
        """Return the normal form of a memory one loop later."""
        sightings = memory.sightings
        read_at = memory.read_at
        if not memory.is_blind:
            sightings = grow_no_older(sightings, -LOOP_S)
            read_at = _earlier(read_at)
        failed, vm, moves = memory.failed, memory.vm, memory.moves
        if vm is not None:
            vm = VmWatch(
                since=vm.since - LOOP_S,
                started_here=vm.started_here,
                was_good=vm.was_good,
                bad_since=_earlier(vm.bad_since),
                bad_before_s=vm.bad_before_s,
                paused_since=_earlier(vm.paused_since),
                paused_before_s=vm.paused_before_s,
                power_off_at=_earlier(vm.power_off_at),
                is_ordered_down=vm.is_ordered_down,
                is_gone=vm.is_gone,
                has_slept=vm.has_slept,
            )
        older = Memory(
            state=memory.state,
            since=memory.since - LOOP_S,
            began_at=memory.began_at - LOOP_S,
            looked_at=_earlier(memory.looked_at),
            boot_ahead=memory.boot_ahead,
            sightings=sightings,
            read_at=read_at,
            is_blind=memory.is_blind,
            global_maintenance=memory.global_maintenance,
            global_is_old=memory.global_is_old,
            global_problem=memory.global_problem,
            global_problem_since=_earlier(memory.global_problem_since),
            failed=FailedStarts(
                count=failed.count,
                last_at=failed.last_at - LOOP_S,
                good_runs=failed.good_runs,
                time_outs=failed.time_outs,
            ),
            well_since=_earlier(memory.well_since),
            vm=vm,
            moves=Moves(
                target=moves.target,
                failures=moves.failures,
                failed_at=moves.failed_at - LOOP_S,
                refused_by=moves.refused_by,
                moves=moves.moves,
                moved_at=moves.moved_at - LOOP_S,
                seen_on=moves.seen_on,
            ),
            better_since=_earlier(memory.better_since),
            named_since=_earlier(memory.named_since),
            claimed_at=_earlier(memory.claimed_at),
            refused_at=_earlier(memory.refused_at),
            arriving_since=_earlier(memory.arriving_since),
            global_until=memory.global_until,
            draining_since=memory.draining_since,
            keeps_engine=memory.keeps_engine,
            has_let_go=memory.has_let_go,
        )
        return self.of(older, host_id)

    def _sighting(self, seen: Sighting, oldest: float) -> Sighting:
        record, content, timestamp = seen.record, seen.content, seen.timestamp
        if record is not None:
            label = SEEN if record.timestamp == timestamp else BELIEVED
            record = labelled(record, label)
        if isinstance(content, HostRecord):
            content = labelled(content, SEEN)
        elif content is not None and content.newer_timestamp is not None:
            content = content._replace(newer_timestamp=SEEN)
        grew_at = _latest(seen.grew_at, oldest)
        return Sighting(
            content=content,
            timestamp=None if timestamp is None else SEEN,
            grew_at=grew_at,
            # Silence counts from the first sighting only until growth has been seen.
            since=_not_before(seen.since, oldest) if grew_at is None else oldest,
            record=record,
            problem=seen.problem,
            newer_timestamp=None if seen.newer_timestamp is None else SEEN,
            is_newer=seen.is_newer,
        )

    def _vm(self, watch: VmWatch, now: float) -> VmWatch:
        policy = self._policy
        return VmWatch(
            since=_not_before(watch.since, now - _whole(policy.lease_settle_s)),
            started_here=watch.started_here,
            was_good=watch.was_good,
            bad_since=_latest(watch.bad_since, now - self._bad_s),
            bad_before_s=min(watch.bad_before_s, self._bad_s),
            paused_since=_latest(watch.paused_since, now - _whole(policy.paused_limit_s)),
            paused_before_s=min(watch.paused_before_s, _whole(policy.paused_limit_s)),
            power_off_at=_latest(watch.power_off_at, now - _whole(policy.power_off_retry_s)),
            is_ordered_down=watch.is_ordered_down,
            is_gone=watch.is_gone,
            has_slept=watch.has_slept,
        )

    def _moves(self, moves: Moves, now: float, *, leaves: bool) -> Moves:
        """Forget a series of failures or moves that is over: the next one begins a new series."""
        fails = moves.failures and moves.failed_at > now - self._peace_s
        forget_s = moves_forget_s(moves.moves, self._policy) if moves.moves else 0.0
        moved = moves.moves and moves.moved_at > now - forget_s
        return Moves(
            target=moves.target if leaves else None,
            failures=min(moves.failures, self._series_max) if fails else 0,
            failed_at=moves.failed_at if fails else 0.0,
            refused_by=moves.refused_by if fails else None,
            moves=min(moves.moves, self._series_max) if moved else 0,
            moved_at=moves.moved_at if moved else 0.0,
            seen_on=moves.seen_on,
        )


def _whole(seconds: float) -> float:
    return loops(seconds) * LOOP_S


def labelled(record: HostRecord, label: int) -> HostRecord:
    """Return a record with a label in the place of its timestamp."""
    if record.timestamp == label:
        return record
    return record._replace(timestamp=label)


def _not_before(time: float, oldest: float) -> float:
    return max(time, oldest)


def _latest(time: Optional[float], oldest: float) -> Optional[float]:
    return None if time is None else max(time, oldest)


def _recent(time: Optional[float], oldest: float) -> Optional[float]:
    return None if time is None or time <= oldest else time


def _earlier(time: Optional[float]) -> Optional[float]:
    return None if time is None else time - LOOP_S
