"""What states write into the memory: endings, moves, orders. Several of them share it."""

from __future__ import annotations

from typing import Optional

from he_fsm.memory import Memory
from he_fsm.policy import Policy
from he_fsm.remembered import Moves
from he_fsm.snapshot import Outcome, VmState
from he_fsm.states.view import View, backoff_s


def count_failed_start(view: View, memory: Memory) -> Memory:
    """Count one more start that failed here, now."""
    failed = memory.failed
    return memory._replace(failed=failed._replace(count=failed.count + 1, last_at=view.now))


def count_time_out(view: View, memory: Memory) -> Memory:
    """Count a failed start that took longer than its limit: the next limit is twice as long."""
    memory = count_failed_start(view, memory)
    failed = memory.failed
    return memory._replace(failed=failed._replace(time_outs=failed.time_outs + 1))


def count_ending(view: View, memory: Memory) -> Memory:
    """Count a run that ended badly here, now; its VM may still have to be powered off."""
    watch = view.memory.vm
    failed = memory.failed
    return memory._replace(
        failed=failed._replace(
            count=failed.count + 1,
            last_at=view.now,
            good_runs=failed.good_runs + (watch is not None and watch.was_good),
        ),
    )


def has_moved(view: View) -> bool:
    """The VM that is gone runs elsewhere: it was migrated, and its lease with it."""
    # A living new host would hold the lease. An owner whose lease can be acquired is dead: it is
    # the one that was seen before the VM began here.
    return view.result(Outcome.MIGRATION_DONE) is not None or not view.lease_can_be_taken


def ended_unseen(view: View) -> bool:
    """The VM that was here ended without an order, and did not move, while its end was not seen."""
    watch = view.memory.vm
    return (
        view.vm is VmState.ABSENT
        and watch is not None
        and not watch.is_ordered_down
        and not has_moved(view)
    )


def count_unseen_ending(view: View, memory: Memory) -> Memory:
    """Count a bad ending that this host did not see, and forget the VM."""
    if ended_unseen(view):
        memory = count_ending(view, memory)
    return memory._replace(vm=None)


def remember_departure(view: View, memory: Memory) -> Memory:
    """Delay the next start here, so that a VM that has arrived elsewhere can be seen there."""
    if view.result(Outcome.MIGRATION_DONE) is None:
        return memory
    return memory._replace(refused_at=view.now)


def is_told_of_failed_move(view: View) -> bool:
    """A migration from here is reported to have failed."""
    return view.vm is not VmState.LEAVING and view.result(Outcome.MIGRATION_FAILED) is not None


def remember_failed_move(view: View, memory: Memory) -> Memory:
    """Count the failed migration, which doubles the back-off; the retry goes to the next host."""
    moves = memory.moves
    # The back-off counts failures in a row. A success ends the row, as does a long enough pause.
    is_new = view.now >= moves.failed_at + 2 * view.policy.migration_backoff_max_s
    moves = moves._replace(
        target=None,
        failures=1 if is_new or not moves.failures else moves.failures + 1,
        failed_at=view.now,
        refused_by=moves.refused_by if moves.target is None else moves.target,
    )
    return memory._replace(moves=moves)


def remember_end(view: View, memory: Memory) -> Memory:
    """
    Delay the next start here if the VM has moved; otherwise put this host first among equals.

    This host knows at once that the VM died, the others only when their lease managers show it.
    So this host need not wait for its turn: no other will try to acquire the lease yet.
    """
    memory = memory._replace(vm=None)
    if has_moved(view):
        return remember_departure(view, memory)
    memory = count_ending(view, memory)
    return memory._replace(named_since=view.now - view.policy.stagger_total_s)


def remember_power_off(view: View, memory: Memory) -> Memory:
    """Note when the power-off was ordered, so that it is ordered again if the VM does not end."""
    watch = memory.vm
    if watch is None:
        return memory
    return memory._replace(vm=watch._replace(power_off_at=view.now))


def count_paused(view: View, memory: Memory) -> Memory:
    """Count the bad ending, and note when the power-off was ordered."""
    return count_ending(view, remember_power_off(view, memory))


def restart_arrival(view: View, memory: Memory) -> Memory:
    """Wait anew, so that the arrival is given up again if its process does not end."""
    return memory._replace(arriving_since=view.now)


def remember_target(view: View, memory: Memory) -> Memory:
    """Note where the VM is sent."""
    best = view.next_target()
    target = None if best is None else best[0]
    return memory._replace(moves=memory.moves._replace(target=target), better_since=None)


def remember_restart(view: View, memory: Memory) -> Memory:
    """Count a move by restart at once: only the other host sees whether it succeeds."""
    best = view.next_target()
    seen_on = memory.moves.seen_on if best is None else best[0]
    moves = count_move(memory.moves, seen_on, view.now, view.policy)
    return memory._replace(moves=moves, better_since=None)


def moves_forget_s(times: int, policy: Policy) -> float:
    """Return how long after the last of so many moves in a row the next one begins a new series."""
    return max(policy.migration_backoff_max_s, 2 * backoff_s(times, policy))


def count_move(moves: Moves, seen_on: Optional[int], now: float, policy: Policy) -> Moves:
    """Return the moves with one more, now; after a long enough pause a new series begins."""
    is_new = not moves.moves or now >= moves.moved_at + moves_forget_s(moves.moves, policy)
    return Moves(
        target=moves.target,
        failures=moves.failures,
        failed_at=moves.failed_at,
        refused_by=moves.refused_by,
        moves=1 if is_new else moves.moves + 1,
        moved_at=now,
        seen_on=seen_on,
    )
