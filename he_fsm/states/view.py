"""What the guards look at: one moment, with what follows from it."""

from __future__ import annotations

from typing import Optional

from he_fsm.liveness import NEVER, Liveness
from he_fsm.memory import Memory
from he_fsm.placement import Placement
from he_fsm.policy import Policy
from he_fsm.snapshot import LeaseView, Outcome, OwnerState, Snapshot, VmState

NO_LEASES = LeaseView(joined=False)


class View:
    """
    One moment as a guard sees it.

    Every comparison with the time goes through `due`, which notes when the answer would change:
    so `wake_at` is known to be honest, whatever the guards are.
    """

    __slots__ = (
        "heirs",
        "leases",
        "liveness",
        "memory",
        "now",
        "placement",
        "policy",
        "snapshot",
        "vm",
        "wakes_at",
    )

    def __init__(
        self,
        memory: Memory,
        snapshot: Snapshot,
        policy: Policy,
        liveness: Liveness,
        placement: Placement,
    ) -> None:
        """Collect the facts; *memory* has already seen this snapshot."""
        self.memory = memory
        self.snapshot = snapshot
        self.policy = policy
        self.liveness = liveness
        self.placement = placement
        # The placement once the owner of a lease that runs out is dead.
        self.heirs = placement
        self.now = snapshot.now
        self.vm = snapshot.vm.state
        self.leases = snapshot.leases or NO_LEASES
        self.wakes_at = NEVER

    def due(self, at: float) -> bool:
        """Whether the time *at* has come; if not, this host has to wake then."""
        if self.now >= at:
            return True
        self.wakes_at = min(self.wakes_at, at)
        return False

    def due_again(self) -> None:
        """Let this host look again at once: it has something new to publish."""
        self.wakes_at = self.now

    @property
    def can_read(self) -> bool:
        """Whether storage and lease manager answer, and this host holds its host id."""
        return (
            self.snapshot.whiteboard is not None
            and self.snapshot.leases is not None
            and self.snapshot.leases.joined
        )

    @property
    def vm_is_here(self) -> bool:
        """Whether an engine VM is here in any form that this host has to care for."""
        return self.vm not in (VmState.ABSENT, VmState.ARRIVING, VmState.UNKNOWN)

    @property
    def own_score(self) -> int:
        """This host's score as it last published it; 0 before that."""
        return 0 if self.snapshot.own is None else self.snapshot.own.score

    @property
    def is_blocked(self) -> bool:
        """Whether too many starts failed here, too short a time ago."""
        failed = self.memory.failed
        return failed.count >= self.policy.failed_starts_max and not self.due(
            failed.last_at + self.policy.failed_starts_forget_s
        )

    def result(self, outcome: Outcome) -> Optional[str]:
        """Give the detail of an effect that ended so since the last step; None: none did."""
        for result in self.snapshot.results:
            if result.outcome is outcome:
                return result.detail
        return None

    @property
    def lease_can_be_taken(self) -> bool:
        """
        Whether an acquire would succeed now.

        A living owner has it (even one whose agent is silent: its VM runs); a failing owner's can
        be taken when its time is up, which is known beforehand.
        """
        leases = self.leases
        if leases.owner is None or leases.owner == self.snapshot.host_id:
            return True
        if self.lease_runs_out and leases.free_at is not None:
            return self.due(leases.free_at)
        return leases.owner_state is OwnerState.FREE

    @property
    def lease_runs_out(self) -> bool:
        """Whether the lease's owner renews no more, and nobody has taken it yet."""
        return self.leases.owner_state is OwnerState.FAILING

    def best_other(self) -> Optional[tuple[int, int]]:
        """Give the living other host with the highest score above 0 (of equals the lowest id)."""
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

    def wait_after_moves(self) -> float:
        """Give the time from which the score may move the VM again."""
        moves = self.memory.moves
        policy = self.policy
        after_failure = self.wait_after_failure()
        if not moves.moves:
            return after_failure
        return max(after_failure, moves.moved_at + backoff_s(moves.moves, policy))

    def wait_after_failure(self) -> float:
        """Give the time from which a migration may be tried again after one failed."""
        moves = self.memory.moves
        if not moves.failures:
            return -NEVER
        return moves.failed_at + backoff_s(moves.failures, self.policy)


def backoff_s(times: int, policy: Policy) -> float:
    """Give how long to wait after so many tries in a row: twice as long each time."""
    # Past 2**20 the longest wait has long been reached.
    doubled = policy.migration_backoff_s * 2.0 ** min(times - 1, 20)
    return min(doubled, policy.migration_backoff_max_s)
