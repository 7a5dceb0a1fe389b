"""What the guards read: memory, snapshot and policy of one moment, and what follows from them."""

from __future__ import annotations

from typing import Optional

from he_fsm.liveness import NEVER, Liveness
from he_fsm.memory import Memory
from he_fsm.placement import Placement
from he_fsm.policy import Policy, doubled_s
from he_fsm.snapshot import LeaseView, Outcome, OwnerState, Snapshot, VmState
from he_fsm.watchdogs import why_unlike

NO_LEASES = LeaseView(joined=False)


class View:
    """
    One moment, as the guards of a state's rows read it.

    Guards compare times with the clock through `due` alone, which notes when the answer will
    change. So `wakes_at` is the earliest time at which any guard that was asked can change its
    answer.
    """

    __slots__ = (
        "can_read",
        "is_doomed",
        "is_leaving",
        "is_taken_out",
        "leases",
        "liveness",
        "memory",
        "must_leave",
        "now",
        "placement",
        "placement_after_expiry",
        "policy",
        "slept_s",
        "snapshot",
        "unlike",
        "vm",
        "wakes_at",
    )

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        memory: Memory,
        snapshot: Snapshot,
        policy: Policy,
        liveness: Liveness,
        placement: Placement,
        leases: LeaseView,
    ) -> None:
        """
        Collect the facts; *memory* has already seen this snapshot.

        *leases*: as the snapshot shows them, but as they can be had (`he_fsm.watchdogs`).
        """
        self.memory = memory
        self.snapshot = snapshot
        self.policy = policy
        self.liveness = liveness
        self.placement = placement
        # The placement without the owner of a lease that is about to expire.
        self.placement_after_expiry = placement
        self.now = snapshot.now
        self.vm = snapshot.vm.state
        # For how long this host was suspended since the last snapshot.
        self.slept_s = 0.0
        self.leases = leases
        # Whether storage and lease manager answer, and this host holds its host id.
        self.can_read = (
            snapshot.whiteboard is not None and snapshot.leases is not None and leases.joined
        )
        # Whether this host is about to be reset, or to lose its host id. If so, or in local
        # maintenance, or before an orderly shutdown, the engine should leave this host whatever the
        # scores are.
        doomed_until = leases.doomed_until
        self.is_doomed = doomed_until is not None and self.now < doomed_until
        self.is_leaving = snapshot.leaves_by is not None
        self.is_taken_out = snapshot.local_maintenance or self.is_leaving
        self.must_leave = self.is_doomed or self.is_taken_out
        # How the lease manager here differs from the policy: this host takes no lease then.
        self.unlike = why_unlike(leases, policy)
        self.wakes_at = NEVER

    def due(self, at: float) -> bool:
        """Return whether the time *at* has come; if not, schedule the next pass for it."""
        if self.now >= at:
            return True
        self.wakes_at = min(self.wakes_at, at)
        return False

    def due_again(self) -> None:
        """Schedule an immediate pass: this host has something new to publish."""
        self.wakes_at = self.now

    @property
    def vm_is_here(self) -> bool:
        """Return whether an engine VM is here that this host has to manage (none that arrives)."""
        return self.vm not in (VmState.ABSENT, VmState.ARRIVING, VmState.UNKNOWN)

    @property
    def own_score(self) -> int:
        """This host's score as it last published it; 0 before that."""
        return 0 if self.snapshot.own is None else self.snapshot.own.score

    @property
    def is_blocked(self) -> bool:
        """Return whether starts are blocked here after too many bad endings."""
        failed, policy = self.memory.failed, self.policy
        return failed.count >= policy.failed_starts_max and not self.due(
            failed.last_at + policy.blocked_s(failed.count)
        )

    @property
    def bad_s(self) -> Optional[float]:
        """For how long the VM here has been seen unhealthy; None: it is healthy, or not known."""
        watch = self.memory.vm
        if watch is None or watch.bad_since is None:
            return None
        return watch.bad_before_s + self.now - watch.bad_since

    @property
    def paused_s(self) -> Optional[float]:
        """For how long the VM here has been seen paused; None: it is not paused, or not known."""
        watch = self.memory.vm
        if watch is None or watch.paused_since is None:
            return None
        return watch.paused_before_s + self.now - watch.paused_since

    def bad_for(self, limit_s: float) -> bool:
        """Return whether the VM here has been seen unhealthy for *limit_s*."""
        watch = self.memory.vm
        if watch is None or watch.bad_since is None:
            return False
        return self.due(watch.bad_since + limit_s - watch.bad_before_s)

    def paused_for(self, limit_s: float) -> bool:
        """Return whether the VM here has been seen paused for *limit_s*."""
        watch = self.memory.vm
        if watch is None or watch.paused_since is None:
            return False
        return self.due(watch.paused_since + limit_s - watch.paused_before_s)

    def result(self, outcome: Outcome) -> Optional[str]:
        """Return the detail of an effect that had this outcome since the last step, if any."""
        for result in self.snapshot.results:
            if result.outcome is outcome:
                return result.detail
        return None

    @property
    def lease_can_be_taken(self) -> bool:
        """
        Return whether an acquire would succeed now.

        A live owner keeps the lease, even if its agent is silent: its VM runs. A failing owner's
        lease can be acquired from `free_at` on.
        """
        leases = self.leases
        if leases.owner is None or leases.owner == self.snapshot.host_id:
            return True
        if self.lease_runs_out and leases.free_at is not None:
            return self.due(leases.free_at)
        return leases.owner_state is OwnerState.FREE

    @property
    def lease_runs_out(self) -> bool:
        """Return whether the owner no longer renews the lease, and nobody has acquired it yet."""
        return self.leases.owner_state is OwnerState.FAILING

    def candidates(self, score_min: int = 1) -> list[tuple[int, int]]:
        """Return the other living hosts of at least this score, the best and lowest id first."""
        own_id = self.snapshot.host_id
        sightings = self.memory.sightings
        score_max = self.policy.score_max
        found = []
        for host_id in self.liveness.alive:
            if host_id == own_id:
                continue
            record = sightings[host_id].record
            if record is not None and score_min <= record.score <= score_max:
                found.append((-record.score, host_id))
        found.sort()
        return [(host_id, -score) for score, host_id in found]

    def best_other(self) -> Optional[tuple[int, int]]:
        """Return the other living host with the highest score above 0; of equals the lowest id."""
        best: Optional[tuple[int, int]] = None
        own_id = self.snapshot.host_id
        sightings = self.memory.sightings
        score_max = self.policy.score_max
        for host_id in self.liveness.alive:
            if host_id == own_id:
                continue
            record = sightings[host_id].record
            if record is None or not 0 < record.score <= score_max:
                continue
            if best is None or (record.score, -host_id) > (best[1], -best[0]):
                best = (host_id, record.score)
        return best

    def next_target(self) -> Optional[tuple[int, int]]:
        """
        Return the host to which the VM should move next, with its score.

        That is the best host. After a failed migration it is the one after the host that refused,
        so that the VM does not retry one host for ever while another would accept it.
        """
        score_min = 1
        if not self.must_leave:
            score_min = self.own_score + self.policy.migration_threshold
        candidates = self.candidates(score_min)
        if not candidates:
            return None
        asked = [host_id for host_id, _ in candidates]
        moves = self.memory.moves
        is_old = self.now >= moves.failed_at + 2 * self.policy.migration_backoff_max_s
        if is_old or moves.refused_by not in asked:
            return candidates[0]
        return candidates[(asked.index(moves.refused_by) + 1) % len(candidates)]

    def wait_after_moves(self) -> float:
        """Return the time from which a better score elsewhere may move the VM again."""
        moves = self.memory.moves
        policy = self.policy
        after_failure = self.wait_after_failure()
        if not moves.moves:
            return after_failure
        return max(after_failure, moves.moved_at + backoff_s(moves.moves, policy))

    def wait_after_failure(self) -> float:
        """Return the time from which a migration may be retried after a failed one."""
        moves = self.memory.moves
        if not moves.failures:
            return -NEVER
        if self.must_leave:
            # An administrator, or a reset, waits for the VM to leave: retry sooner.
            return moves.failed_at + self.policy.drain_retry_s
        return moves.failed_at + backoff_s(moves.failures, self.policy)

    @property
    def speaks(self) -> bool:
        """
        Return whether this host is the one that notifies people of what all hosts see.

        That is the living host with the lowest id. The choice rests on shared facts alone, so no
        two hosts leave it to each other. A host whose hypervisor does not answer is passed over:
        it takes no edge.
        """
        own_id = self.snapshot.host_id
        return not any(h < own_id and not self._is_lost(h) for h in self.liveness.alive)

    def _is_lost(self, host_id: int) -> bool:
        record = self.memory.sightings[host_id].record
        return record is not None and record.engine.vm == "unknown"


def backoff_s(times: int, policy: Policy) -> float:
    """Return the back-off after so many tries in a row; each try doubles it, up to the maximum."""
    return doubled_s(policy.migration_backoff_s, times - 1, policy.migration_backoff_max_s)
