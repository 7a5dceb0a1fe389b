"""
Memories in a normal form: of all that amount to the same, one.

A memory is always held as of the moment `now_of(host)`: where time passes, its times move into the
past (`aged`). What makes the number of memories finite:

* A time that lies further back than the longest wait that is counted from it is moved up to that
  wait: whether it is due is the same. A wait that is over for good is forgotten.
* Of the writers' timestamps only the order counts (`he_fsm.liveness`), so they are given labels:
  `SEEN` where this host's baseline is, `BELIEVED` where the last believed record is another one.
  The clocks of two hosts are nowhere near each other, and the labels near neither: whoever compares
  them is found out.
* While a host can't read, nobody grows older in its eyes: the time that it was blind is taken out
  at once, as `he_fsm.step` does when it reads again.
* Failures and moves in a row count up to the longest wait.
"""

from __future__ import annotations

from typing import Optional

import attrs

from he_fsm.check.scale import LOOP_S, loops
from he_fsm.liveness import grow_no_older
from he_fsm.memory import FailedStarts, Memory, Moves, Sighting, VmWatch
from he_fsm.metadata.record import HostRecord
from he_fsm.policy import Policy
from he_fsm.states.names import State
from he_fsm.states.view import backoff_s

# Labels of a writer's timestamps, in their order.
EARLIER = 500
SEEN = 1000
BELIEVED = 2000
LATER = 3000
_CLOCKS_APART_S = 1_000_000.0


def now_of(host_id: int) -> float:
    """Give what the monotonic clock of a host shows at every moment, in seconds."""
    return _CLOCKS_APART_S * host_id


class Normal:
    """Normal forms under one policy."""

    def __init__(self, policy: Policy) -> None:
        """Compute the waits, in seconds."""
        self._policy = policy
        self._stay_s = _whole(max(policy.migration_timeout_s, policy.stop_timeout_s))
        # Who has just become blind goes by what it saw a loop ago.
        self._dead_s = _whole(policy.dead_after_s) + LOOP_S
        self._named_s = _whole(policy.stagger_total_s + policy.stagger_s + policy.lease_sight_s)
        self._peace_s = _whole(2 * policy.migration_backoff_max_s)
        times = 1
        while backoff_s(times, policy) < policy.migration_backoff_max_s:
            times += 1
        self._series_max = times

    def of(self, memory: Memory, host_id: int) -> Memory:
        """Give the normal form of a memory as of `now_of(host_id)`."""
        now = now_of(host_id)
        policy = self._policy
        sightings = memory.sightings
        read_at = memory.read_at
        if memory.is_blind and read_at is not None:
            sightings = grow_no_older(sightings, now - read_at)
            read_at = now
        waits = memory.state in (State.ENGINE_MIGRATING_AWAY, State.ENGINE_STOPPING)
        failed = memory.failed
        if failed.count:
            last_at = _not_before(failed.last_at, now - _whole(policy.failed_starts_forget_s))
            count = min(failed.count, policy.failed_starts_max)
            failed = FailedStarts(count=count, last_at=last_at)
        else:
            failed = FailedStarts()
        return Memory(
            state=memory.state,
            since=_not_before(memory.since, now - self._stay_s) if waits else now,
            began_at=_not_before(memory.began_at, now - _whole(policy.settle_s)),
            sightings={other: self._sighting(sightings[other], now) for other in sorted(sightings)},
            read_at=None if read_at is None else _not_before(read_at, now - LOOP_S),
            is_blind=memory.is_blind,
            global_maintenance=memory.global_maintenance,
            global_problem=memory.global_problem,
            failed=failed,
            vm=None if memory.vm is None else self._vm(memory.vm, now),
            moves=self._moves(memory.moves, now),
            better_since=_latest(memory.better_since, now - _whole(policy.migration_hold_s)),
            named_since=_latest(memory.named_since, now - self._named_s),
            claimed_at=_latest(memory.claimed_at, now - _whole(policy.lease_claim_s)),
            refused_at=_recent(memory.refused_at, now - policy.refused_retry_s),
        )

    def aged(self, memory: Memory, host_id: int) -> Memory:
        """Give the normal form of a memory one loop later."""
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
                paused_since=_earlier(vm.paused_since),
                power_off_at=_earlier(vm.power_off_at),
            )
        older = Memory(
            state=memory.state,
            since=memory.since - LOOP_S,
            began_at=memory.began_at - LOOP_S,
            sightings=sightings,
            read_at=read_at,
            is_blind=memory.is_blind,
            global_maintenance=memory.global_maintenance,
            global_problem=memory.global_problem,
            failed=FailedStarts(count=failed.count, last_at=failed.last_at - LOOP_S),
            vm=vm,
            moves=Moves(
                target=moves.target,
                failures=moves.failures,
                failed_at=moves.failed_at - LOOP_S,
                moves=moves.moves,
                moved_at=moves.moved_at - LOOP_S,
            ),
            better_since=_earlier(memory.better_since),
            named_since=_earlier(memory.named_since),
            claimed_at=_earlier(memory.claimed_at),
            refused_at=_earlier(memory.refused_at),
        )
        return self.of(older, host_id)

    def _sighting(self, seen: Sighting, now: float) -> Sighting:
        oldest = now - self._dead_s
        record, content, timestamp = seen.record, seen.content, seen.timestamp
        if record is not None:
            label = SEEN if record.timestamp == timestamp else BELIEVED
            record = labelled(record, label)
        if isinstance(content, HostRecord):
            content = labelled(content, SEEN)
        elif content is not None and content.newer_timestamp is not None:
            content = attrs.evolve(content, newer_timestamp=SEEN)
        grew_at = _latest(seen.grew_at, oldest)
        return Sighting(
            content=content,
            timestamp=None if timestamp is None else SEEN,
            grew_at=grew_at,
            # Silence counts from the first look only while no growth was seen.
            since=_not_before(seen.since, oldest) if grew_at is None else oldest,
            record=record,
            problem=seen.problem,
            newer_timestamp=None if seen.newer_timestamp is None else SEEN,
            is_newer=seen.is_newer,
        )

    def _vm(self, watch: VmWatch, now: float) -> VmWatch:
        policy = self._policy
        return VmWatch(
            since=_not_before(watch.since, now - _whole(policy.start_timeout_s)),
            started_here=watch.started_here,
            was_good=watch.was_good,
            bad_since=_latest(watch.bad_since, now - _whole(policy.bad_health_s)),
            paused_since=_latest(watch.paused_since, now - _whole(policy.paused_limit_s)),
            power_off_at=_latest(watch.power_off_at, now - _whole(policy.power_off_retry_s)),
        )

    def _moves(self, moves: Moves, now: float) -> Moves:
        """Forget a series of failures, or of moves, that is over: the next one is a new one."""
        oldest = now - self._peace_s
        fails = moves.failures and moves.failed_at > oldest
        moved = moves.moves and moves.moved_at > oldest
        return Moves(
            failures=min(moves.failures, self._series_max) if fails else 0,
            failed_at=moves.failed_at if fails else 0.0,
            moves=min(moves.moves, self._series_max) if moved else 0,
            moved_at=moves.moved_at if moved else 0.0,
        )


def _whole(seconds: float) -> float:
    return loops(seconds) * LOOP_S


def labelled(record: HostRecord, label: int) -> HostRecord:
    """Give a record with a label in the place of its timestamp."""
    if record.timestamp == label:
        return record
    return attrs.evolve(record, timestamp=label)


def _not_before(time: float, oldest: float) -> float:
    return max(time, oldest)


def _latest(time: Optional[float], oldest: float) -> Optional[float]:
    return None if time is None else max(time, oldest)


def _recent(time: Optional[float], oldest: float) -> Optional[float]:
    return None if time is None or time <= oldest else time


def _earlier(time: Optional[float]) -> Optional[float]:
    return None if time is None else time - LOOP_S
