"""What one host decides next, while all that it sees stays as it is, or with one thing changed."""

from __future__ import annotations

from typing import Callable, Final, Optional

import attrs

from he_fsm.effects import MigrateVm
from he_fsm.memory import Memory
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.policy import Policy
from he_fsm.snapshot import Snapshot
from he_fsm.states.row import Transition
from he_fsm.step import step

# A host that has something new to publish looks again at once; that takes it a moment (seconds).
_AT_ONCE_S: Final = 0.1

# Changes what a host sees; the second argument is the time since the change (seconds).
Change = Callable[[Snapshot, float], Snapshot]


@attrs.frozen(kw_only=True)
class Case:
    """One host at one moment: what it remembers, what it sees, and its policy."""

    memory: Memory
    snapshot: Snapshot
    policy: Policy

    @property
    def horizon_s(self) -> float:
        """For how long it is worth looking ahead: the longest wait of any rule, with room."""
        policy = self.policy
        waits = (policy.bad_health_s, policy.dead_after_s, policy.migration_hold_s)
        return max(waits) + policy.lease_expiry_s + 3 * policy.loop_s

    @property
    def writers(self) -> frozenset[int]:
        """The hosts whose records have grown of late: they are taken to go on."""
        now, gap_s = self.snapshot.now, self.policy.gap_s
        others = (
            host_id
            for host_id, seen in self.memory.sightings.items()
            if seen.grew_at is not None and now - seen.grew_at <= gap_s
        )
        return frozenset((self.snapshot.host_id, *others))


@attrs.frozen(kw_only=True)
class Turn:
    """
    An edge that a host takes *after_s* seconds from now, and the reason that it has for it.

    *target*: the host to which it moves the engine by that; None: it moves it nowhere.
    """

    edge: Transition
    after_s: float
    reason: str
    target: Optional[int] = None

    def is_like(self, other: Optional[Turn]) -> bool:
        """Whether another turn is the same decision, whenever it is made."""
        return other is not None and self.edge is other.edge


def unchanged(snapshot: Snapshot, _since_s: float) -> Snapshot:
    """Return what the host sees as it is."""
    return snapshot


def outlook(case: Case, change: Change = unchanged) -> Optional[Turn]:
    """
    Return the next edge that a host takes; None: it stays in its state for `Case.horizon_s`.

    Meanwhile the records of `Case.writers` grow, and nothing else happens but *change*.
    """
    began_at, memory, writers = case.snapshot.now, case.memory, case.writers
    now = began_at
    while now <= began_at + case.horizon_s:
        since_s = now - began_at
        decision = step(
            memory, change(_later(case.snapshot, since_s, writers), since_s), case.policy
        )
        if decision.edge is not None:
            targets = [each.target for each in decision.effects if isinstance(each, MigrateVm)]
            return Turn(
                edge=decision.edge,
                after_s=since_s,
                reason=decision.reason,
                target=targets[0] if targets else None,
            )
        memory = decision.memory
        now = max(now + _AT_ONCE_S, min(now + case.policy.loop_s, decision.wake_at))
    return None


def _later(snapshot: Snapshot, since_s: float, writers: frozenset[int]) -> Snapshot:
    """Return what the host sees some time later, if the *writers* only go on writing."""
    own, board, boot = snapshot.own, snapshot.whiteboard, snapshot.boot_now
    return snapshot._replace(
        now=snapshot.now + since_s,
        own=None if own is None else _grown(own, since_s),
        whiteboard=None if board is None else _board(board, since_s, writers),
        results=snapshot.results if not since_s else (),
        boot_now=None if boot is None else boot + since_s,
    )


def _board(board: Whiteboard, since_s: float, writers: frozenset[int]) -> Whiteboard:
    slots = {
        slot: _grown(found, since_s) if isinstance(found, HostRecord) and slot in writers else found
        for slot, found in board.slots.items()
    }
    return Whiteboard(board.global_block, slots)


def _grown(record: HostRecord, since_s: float) -> HostRecord:
    return record._replace(timestamp=record.timestamp + int(since_s) + 1)
