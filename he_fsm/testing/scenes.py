"""
Plain situations that a test varies by one fact.

The usual scene is a cluster of three healthy hosts under policy `talk`, seen from host 1:
storage and leases are fine, the engine runs nowhere. Records of the others grow with every look.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, Union

import attrs
import pytest

from he_fsm.effects import Alarm, Effect, Notify
from he_fsm.memory import Memory, Sighting
from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.record import HostRecord, ProblemWord, SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.policy import TALK, Policy
from he_fsm.remembered import FailedStarts, Moves, RaisedAlarm, VmWatch
from he_fsm.snapshot import Health, LeaseView, LocalVm, Outcome, Result, Snapshot, VmState
from he_fsm.states.names import State
from he_fsm.step import Step, step
from he_fsm.tick import engine_status

# The present moment of every scene and situation: long enough after the clock began.
NOW = 10_000.0
GOOD = engine_status(LocalVm(VmState.UP, Health.GOOD))
NONE = engine_status(LocalVm(VmState.ABSENT))
CLAIM = engine_status(LocalVm(VmState.ABSENT), claims_lease=True)
KEPT = engine_status(LocalVm(VmState.ABSENT), keeps_engine=True)

# How a time-out is tried: an eighth of a second before, at and after it.
around = pytest.mark.parametrize(
    ("late_s", "is_due"),
    [(-0.125, False), (0.0, True), (0.125, True)],
    ids=["just under", "at", "just over"],
)


def record(host_id: int, score: int = 2400, **more: Any) -> HostRecord:
    """Return the record of a healthy host without the VM, with these changes."""
    usual = HostRecord(
        host_id=host_id,
        timestamp=5000,
        score=score,
        engine=NONE,
        hostname=f"host{host_id}.example.com",
    )
    return usual._replace(**more)


def newer_release(host_id: int, timestamp: int) -> SlotProblem:
    """Return a slot that a newer release of the agent has written."""
    return SlotProblem(
        host_id=host_id,
        word=ProblemWord.TOO_NEW,
        detail="its parse version is 2, this release reads up to 1",
        newer_timestamp=timestamp,
    )


def sighting(
    content: Union[HostRecord, SlotProblem, None],
    *,
    grew_at: Optional[float] = NOW - 10,
    since: float = NOW - 3600,
    **more: Any,
) -> Sighting:
    """Return a sighting of a slot that holds *content*; growth was last seen at *grew_at*."""
    record_there = content if isinstance(content, HostRecord) else None
    timestamp = None if record_there is None else record_there.timestamp
    usual = Sighting(content, timestamp, grew_at, since, record_there, None)
    return usual._replace(**more)


@attrs.frozen(kw_only=True)
class Scene:
    """One moment of one host, as plainly as a test can say it."""

    state: State
    own_id: int = 1
    policy: Policy = TALK
    since: float = NOW - 1000
    began_at: float = NOW - 3600
    vm: VmState = VmState.ABSENT
    health: Health = Health.UNKNOWN
    watch: Optional[VmWatch] = None
    own_score: int = 2400
    # Scores of the other living hosts.
    scores: Mapping[int, int] = attrs.field(factory=lambda: {2: 2400, 3: 2400})
    engine_on: Optional[int] = None
    # The watchdog's times that the others' records tell.
    told_s: Mapping[int, float] = attrs.field(factory=dict)
    leases: Optional[LeaseView] = attrs.field(factory=LeaseView)
    can_read: bool = True
    local_maintenance: bool = False
    # When this host goes down in order; None: it does not.
    leaves_by: Optional[float] = None
    keeps_engine: bool = False
    # Other hosts that keep the engine for themselves, and those that stopped in order.
    keepers: frozenset[int] = frozenset()
    stopped: frozenset[int] = frozenset()
    global_maintenance: Optional[bool] = False
    remembered_global: Optional[bool] = False
    # When global maintenance ends, on a wall clock that shows the scene's own time.
    global_until: Optional[int] = None
    is_superseded: bool = False
    failed: FailedStarts = attrs.field(factory=FailedStarts)
    moves: Moves = attrs.field(factory=Moves)
    better_since: Optional[float] = None
    named_since: Optional[float] = None
    arriving_since: Optional[float] = None
    claimed_at: Optional[float] = None
    # Other hosts that announce that they will acquire the lease.
    claims: frozenset[int] = frozenset()
    refused_at: Optional[float] = None
    draining_since: Optional[float] = None
    well_since: Optional[float] = None
    alarms: tuple[RaisedAlarm, ...] = ()
    looked_at: Optional[float] = NOW - 10
    # By how much the clock that counts suspended time was ahead, and is now.
    boot_ahead: Optional[float] = None
    boot_ahead_now: Optional[float] = None
    outcomes: tuple[Outcome, ...] = ()

    def but(self, **changes: Any) -> Scene:
        """Return the same scene with *changes*."""
        return attrs.evolve(self, **changes)

    def memory(self) -> Memory:
        """Return the host's memory."""
        newer = 5000 if self.is_superseded else None
        sightings = {
            host_id: sighting(
                record(host_id, score, watchdog_s=self.told_s.get(host_id)), newer_timestamp=newer
            )
            for host_id, score in self.scores.items()
        }
        return Memory(
            state=self.state,
            since=self.since,
            began_at=self.began_at,
            looked_at=self.looked_at,
            boot_ahead=self.boot_ahead,
            sightings=sightings,
            read_at=NOW - 10,
            global_maintenance=self.remembered_global,
            failed=self.failed,
            vm=self.watch,
            moves=self.moves,
            better_since=self.better_since,
            named_since=self.named_since,
            arriving_since=self.arriving_since,
            claimed_at=self.claimed_at,
            refused_at=self.refused_at,
            draining_since=self.draining_since,
            keeps_engine=self.keeps_engine,
            well_since=self.well_since,
            alarms=self.alarms,
        )

    def snapshot(self, now: float = NOW) -> Snapshot:
        """Return the host's snapshot at *now*."""
        engine = engine_status(LocalVm(self.vm, self.health), keeps_engine=self.keeps_engine)
        own = record(self.own_id, self.own_score, engine=engine)
        slots: dict[int, Union[HostRecord, SlotProblem]] = {self.own_id: own}
        for host_id, score in self.scores.items():
            if self.is_superseded:
                slots[host_id] = newer_release(host_id, timestamp=5001)
                continue
            down = CLAIM if host_id in self.claims else NONE
            down = KEPT if host_id in self.keepers else down
            engine = GOOD if host_id == self.engine_on else down
            told_s = self.told_s.get(host_id)
            slots[host_id] = record(
                host_id,
                score,
                timestamp=5001,
                engine=engine,
                watchdog_s=told_s,
                stopped=host_id in self.stopped,
            )
        board = Whiteboard(GlobalBlock(self.global_maintenance, until=self.global_until), slots)
        return Snapshot(
            now=now,
            host_id=self.own_id,
            vm=LocalVm(self.vm, self.health),
            own=own,
            whiteboard=board if self.can_read else None,
            leases=self.leases,
            local_maintenance=self.local_maintenance,
            results=tuple(Result(outcome, "told by the test") for outcome in self.outcomes),
            boot_now=None if self.boot_ahead_now is None else now + self.boot_ahead_now,
            leaves_by=self.leaves_by,
            wall_offset_s=0.0,
        )

    def step(self, now: float = NOW) -> Step:
        """Decide at *now*."""
        return step(self.memory(), self.snapshot(now), self.policy)

    def edge(self, now: float = NOW) -> Optional[str]:
        """Return the name of the edge that is taken at *now*; None: the state stays."""
        taken = self.step(now).edge
        return None if taken is None else taken.name


def deeds_of(decision: Step) -> tuple[Effect, ...]:
    """Return the effects other than notifications and alarms."""
    return tuple(e for e in decision.effects if not isinstance(e, (Alarm, Notify)))


def subjects_of(decision: Step) -> list[str]:
    """Return the subjects of the notifications."""
    return [effect.subject for effect in decision.effects if isinstance(effect, Notify)]


def alarms_of(decision: Step) -> list[str]:
    """Return the names of the raised and repeated alarms, with "over" for those that end."""
    return [
        f"{effect.name} over" if effect.is_over else effect.name
        for effect in decision.effects
        if isinstance(effect, Alarm)
    ]
