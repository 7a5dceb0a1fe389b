"""What one host remembers between two looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional, Union

import attrs

from he_fsm.metadata.record import HostRecord, ProblemWord, SlotProblem
from he_fsm.states.names import State


class Sighting(NamedTuple):
    """
    One other host's slot, as this host has seen it so far.

    Times are on this host's own monotonic clock. `timestamp` is the writer's, and only its
    growth means anything.
    """

    # What the slot held at the last look; None: it was empty.
    content: Union[HostRecord, SlotProblem, None]
    # The baseline that growth is measured from; None: no record seen yet.
    timestamp: Optional[int]
    # When growth was last seen; None: never.
    grew_at: Optional[float]
    # When the first baseline was seen.
    since: float
    # The last record that was believed.
    record: Optional[HostRecord]
    problem: Optional[ProblemWord]
    # Timestamp of a whole record of a newer parse version, while such records follow each other.
    newer_timestamp: Optional[int] = None
    # A newer release's record has been seen to grow: this agent is superseded.
    is_newer: bool = False


@attrs.frozen(kw_only=True)
class FailedStarts:
    """How many starts failed here in a row, and when the last one did."""

    count: int = 0
    last_at: float = 0.0


@attrs.frozen(kw_only=True)
class VmWatch:
    """The VM that is here now: since when, and how it has been."""

    since: float
    # This host started it (rather than found or received it): if it fails, the start failed.
    started_here: bool = False
    was_good: bool = False
    bad_since: Optional[float] = None
    paused_since: Optional[float] = None
    # When powering it off was last ordered.
    power_off_at: Optional[float] = None


@attrs.frozen(kw_only=True)
class Moves:
    """Migrations away from this host: what the doubling waits are computed from."""

    target: Optional[int] = None
    failures: int = 0
    failed_at: float = 0.0
    moves: int = 0
    moved_at: float = 0.0


@attrs.frozen(kw_only=True)
class Memory:
    """
    All that a host remembers between two steps. Times are on its own monotonic clock, in seconds.

    A new agent begins with `Memory.beginning(now)`; one that restarts on the same boot with
    `saved.after_restart(now)`.
    """

    state: State = State.UNKNOWN
    since: float = 0.0
    # When this agent began to look; a cluster of strangers is given time to show itself.
    began_at: float = 0.0
    sightings: Mapping[int, Sighting] = attrs.field(factory=dict)
    # When the storage was last read; None: never.
    read_at: Optional[float] = None
    # The last reading failed: nobody grows old meanwhile.
    is_blind: bool = False
    # Slot 0's last good value; None: there never was one.
    global_maintenance: Optional[bool] = None
    global_problem: Optional[ProblemWord] = None
    failed: FailedStarts = attrs.field(factory=FailedStarts)
    vm: Optional[VmWatch] = None
    moves: Moves = attrs.field(factory=Moves)
    # Since when another host's score has been better by the threshold.
    better_since: Optional[float] = None
    # Since when this host is among those that should start the engine and the lease can be had;
    # earlier where the VM died here, so that this host's turn has come.
    named_since: Optional[float] = None
    # Since when this host says that it is about to take the lease, which runs out.
    claimed_at: Optional[float] = None
    # When a start was refused, or the VM was seen to have moved: the next start waits a little.
    refused_at: Optional[float] = None

    @classmethod
    def beginning(cls, now: float) -> Memory:
        """Give the memory of an agent that knows nothing."""
        return cls(since=now, began_at=now)

    def seeing(self, sightings: Mapping[int, Sighting], read_at: Optional[float]) -> Memory:
        """Give the same memory with other sightings, read at another time."""
        return Memory(
            state=self.state,
            since=self.since,
            began_at=self.began_at,
            sightings=sightings,
            read_at=read_at,
            is_blind=self.is_blind,
            global_maintenance=self.global_maintenance,
            global_problem=self.global_problem,
            failed=self.failed,
            vm=self.vm,
            moves=self.moves,
            better_since=self.better_since,
            named_since=self.named_since,
            claimed_at=self.claimed_at,
            refused_at=self.refused_at,
        )

    def after_restart(self, now: float) -> Memory:
        """
        Give what a restarted agent still knows: failed starts, the VM's troubles, its moves.

        Liveness and the value of slot 0 are learnt afresh: what others did meanwhile is unknown.
        """
        return Memory(since=now, began_at=now, failed=self.failed, vm=self.vm, moves=self.moves)

    def after_boot(self, now: float, stopped_at: float) -> Memory:
        """
        Give what an agent still knows after its host booted: failed starts and moves.

        The clock began anew: `stopped_at` (old clock) becomes `now` (new clock), so the time
        that the host was off does not count towards forgetting.
        """
        shift = now - stopped_at
        return Memory(
            since=now,
            began_at=now,
            failed=attrs.evolve(self.failed, last_at=self.failed.last_at + shift),
            moves=attrs.evolve(
                self.moves,
                target=None,
                failed_at=self.moves.failed_at + shift,
                moved_at=self.moves.moved_at + shift,
            ),
        )
