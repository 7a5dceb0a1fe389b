"""What one host remembers between two looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Optional, Union

from he_fsm.metadata.record import HostRecord, ProblemWord, SlotProblem
from he_fsm.remembered import FailedStarts, Moves, RaisedAlarm, VmWatch
from he_fsm.states.names import State
from he_fsm.value import Value


class Sighting(Value):
    """
    One other host's slot, as this host has seen it so far.

    Times are on this host's own monotonic clock. `timestamp` is the writer's, and only its
    growth means anything.
    """

    __slots__ = (
        "content",
        "doubts",
        "grew_at",
        "is_newer",
        "newer_timestamp",
        "problem",
        "record",
        "since",
        "stepped_at",
        "timestamp",
    )

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        # What the slot held at the last look; None: it was empty.
        content: Union[HostRecord, SlotProblem, None],
        # The baseline that growth is measured from; None: no record seen yet.
        timestamp: Optional[int],
        # When growth was last seen; None: never.
        grew_at: Optional[float],
        # When the first baseline was seen.
        since: float,
        # The last record that was believed.
        record: Optional[HostRecord],
        problem: Optional[ProblemWord],
        # Timestamp of a whole record of a newer parse version, while such records follow each
        # other.
        newer_timestamp: Optional[int] = None,
        # A newer release's record has been seen to grow: this agent is superseded.
        is_newer: bool = False,
        # How often a slot that went backwards still has to grow before it is believed again, and
        # when it changed last.
        doubts: int = 0,
        stepped_at: float = 0.0,
    ) -> None:
        """Take the parts."""
        self.content: Final = content
        self.timestamp: Final = timestamp
        self.grew_at: Final = grew_at
        self.since: Final = since
        self.record: Final = record
        self.problem: Final = problem
        self.newer_timestamp: Final = newer_timestamp
        self.is_newer: Final = is_newer
        self.doubts: Final = doubts
        self.stepped_at: Final = stepped_at


_NO_ENDINGS, _NO_MOVES = FailedStarts(), Moves()
# Nobody changes it: it is a `Mapping`.
_NOBODY: Mapping[int, Sighting] = {}


class Memory(Value):
    """
    All that a host remembers between two steps. Times are on its own monotonic clock, in seconds.

    A new agent begins with `Memory.beginning(now)`; one that restarts on the same boot with
    `saved.after_restart(now)`.
    """

    __slots__ = (
        "alarms",
        "arriving_since",
        "began_at",
        "better_since",
        "boot_ahead",
        "claimed_at",
        "draining_since",
        "failed",
        "global_ended_at",
        "global_is_old",
        "global_maintenance",
        "global_problem",
        "global_problem_since",
        "global_until",
        "has_let_go",
        "is_blind",
        "keeps_engine",
        "looked_at",
        "moves",
        "named_since",
        "read_at",
        "refused_at",
        "sightings",
        "since",
        "state",
        "vm",
        "well_since",
    )

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        state: State = State.UNKNOWN,
        since: float = 0.0,
        # When this agent began to look; a cluster of strangers is given time to show itself.
        began_at: float = 0.0,
        # When this host looked last, whatever it could see; None: not yet.
        looked_at: Optional[float] = None,
        # By how much the clock that counts suspended time was ahead of the monotonic one then.
        boot_ahead: Optional[float] = None,
        sightings: Mapping[int, Sighting] = _NOBODY,
        # When the storage was last read; None: never.
        read_at: Optional[float] = None,
        # The last reading failed: the peers' ages are frozen meanwhile.
        is_blind: bool = False,
        # Slot 0's last good value; None: there never was one. It may be what an earlier agent read.
        global_maintenance: Optional[bool] = None,
        global_is_old: bool = False,
        global_problem: Optional[ProblemWord] = None,
        # Since when slot 0 can't be believed.
        global_problem_since: Optional[float] = None,
        # When global maintenance ends by itself (seconds since 1970), as slot 0 said last; None:
        # somebody ends it. And when this host last ordered its end.
        global_until: Optional[int] = None,
        global_ended_at: Optional[float] = None,
        failed: FailedStarts = _NO_ENDINGS,
        # Since when the engine has been running well, wherever; only while an ending is remembered.
        well_since: Optional[float] = None,
        vm: Optional[VmWatch] = None,
        moves: Moves = _NO_MOVES,
        # Since when another host's score has been better by the threshold.
        better_since: Optional[float] = None,
        # When this host became eligible to start; earlier after a local VM crash, so that it goes
        # first.
        named_since: Optional[float] = None,
        # Since when this host says that it is about to take the lease, which runs out.
        claimed_at: Optional[float] = None,
        # When a start was refused, or the VM was seen to have moved: the next start waits a little.
        refused_at: Optional[float] = None,
        # Since when a VM is to arrive here by migration, or the arrival was last given up.
        arriving_since: Optional[float] = None,
        # Since when an administrator, or the host's shutdown, waits for the VM to leave this host.
        draining_since: Optional[float] = None,
        # The engine was shut down here with its host, and no other host is to start it (`freeze`).
        keeps_engine: bool = False,
        # The host, which is about to be shut down in order, no longer waits for this agent.
        has_let_go: bool = False,
        alarms: tuple[RaisedAlarm, ...] = (),
    ) -> None:
        """Take the parts."""
        self.state: Final = state
        self.since: Final = since
        self.began_at: Final = began_at
        self.looked_at: Final = looked_at
        self.boot_ahead: Final = boot_ahead
        self.sightings: Final = sightings
        self.read_at: Final = read_at
        self.is_blind: Final = is_blind
        self.global_maintenance: Final = global_maintenance
        self.global_is_old: Final = global_is_old
        self.global_problem: Final = global_problem
        self.global_problem_since: Final = global_problem_since
        self.global_until: Final = global_until
        self.global_ended_at: Final = global_ended_at
        self.failed: Final = failed
        self.well_since: Final = well_since
        self.vm: Final = vm
        self.moves: Final = moves
        self.better_since: Final = better_since
        self.named_since: Final = named_since
        self.claimed_at: Final = claimed_at
        self.refused_at: Final = refused_at
        self.arriving_since: Final = arriving_since
        self.draining_since: Final = draining_since
        self.keeps_engine: Final = keeps_engine
        self.has_let_go: Final = has_let_go
        self.alarms: Final = alarms

    @property
    def waits_on_evidence(self) -> bool:
        """Whether a wait runs for which it matters when this host looked."""
        vm = self.vm
        return (
            self.better_since is not None
            or self.named_since is not None
            or self.arriving_since is not None
            or (vm is not None and (vm.bad_since is not None or vm.paused_since is not None))
        )

    def has_run_well(self, now: float, for_s: float) -> bool:
        """Return whether the engine had run well for so long, as far as this host has seen."""
        return self.well_since is not None and now >= self.well_since + for_s

    @classmethod
    def beginning(cls, now: float) -> Memory:
        """Return the memory of an agent that knows nothing."""
        return cls(since=now, began_at=now)

    def seeing(self, sightings: Mapping[int, Sighting], looked_at: Optional[float]) -> Memory:
        """Return the same memory with other sightings, as of a look that could read."""
        return Memory(
            state=self.state,
            since=self.since,
            began_at=self.began_at,
            looked_at=looked_at,
            boot_ahead=self.boot_ahead,
            sightings=sightings,
            read_at=looked_at,
            is_blind=self.is_blind,
            global_maintenance=self.global_maintenance,
            global_is_old=self.global_is_old,
            global_problem=self.global_problem,
            global_problem_since=self.global_problem_since,
            global_until=self.global_until,
            global_ended_at=self.global_ended_at,
            failed=self.failed,
            well_since=self.well_since,
            vm=self.vm,
            moves=self.moves,
            better_since=self.better_since,
            named_since=self.named_since,
            claimed_at=self.claimed_at,
            refused_at=self.refused_at,
            arriving_since=self.arriving_since,
            draining_since=self.draining_since,
            keeps_engine=self.keeps_engine,
            has_let_go=self.has_let_go,
            alarms=self.alarms,
        )

    def is_but_for_sight(self, other: Memory) -> bool:
        """
        Return whether this is the same memory but for the others' records and the last look's time.

        What a quiet look leaves unchanged is the same object: that is asked first.
        """
        return (
            self.state is other.state
            and self.since == other.since
            and self.began_at == other.began_at
            and self.boot_ahead == other.boot_ahead
            and self.is_blind == other.is_blind
            and self.global_maintenance is other.global_maintenance
            and self.global_is_old == other.global_is_old
            and self.global_problem is other.global_problem
            and self.global_problem_since == other.global_problem_since
            and self.global_until == other.global_until
            and self.global_ended_at == other.global_ended_at
            and (self.failed is other.failed or self.failed == other.failed)
            and self.well_since == other.well_since
            and (self.vm is other.vm or self.vm == other.vm)
            and (self.moves is other.moves or self.moves == other.moves)
            and self.better_since == other.better_since
            and self.named_since == other.named_since
            and self.claimed_at == other.claimed_at
            and self.refused_at == other.refused_at
            and self.arriving_since == other.arriving_since
            and self.draining_since == other.draining_since
            and self.keeps_engine is other.keeps_engine
            and self.has_let_go is other.has_let_go
            and self.alarms == other.alarms
        )

    def after_restart(self, now: float) -> Memory:
        """
        Return what a restarted agent still knows: endings, the VM's troubles, moves, slot 0.

        Liveness is learnt afresh: what others did meanwhile is unknown.
        """
        return Memory(
            since=now,
            began_at=now,
            looked_at=self.looked_at,
            boot_ahead=self.boot_ahead,
            global_maintenance=self.global_maintenance,
            global_is_old=self.global_maintenance is not None,
            global_until=self.global_until,
            failed=self.failed,
            well_since=self.well_since,
            vm=self.vm,
            moves=self.moves,
            keeps_engine=self.keeps_engine,
            alarms=self.alarms,
        )

    def after_boot(self, now: float, stopped_at: float, off_s: float = 0.0) -> Memory:
        """
        Return what an agent still knows after its host booted: endings, moves and slot 0.

        The clock began anew: what was *stopped_at* (old clock) is *off_s* before *now* (new clock).
        Blocks and waits run on by the clock, the time without power included.
        """
        return self._shifted(now - stopped_at - max(0.0, off_s), now)

    def after_suspend(self, now: float, slept_s: float) -> Memory:
        """
        Return what an agent still knows whose host was suspended for *slept_s*.

        The monotonic clock did not count that time, others did: nothing that was seen is trusted.
        The VM is still here, and older by that time; for how long it has been in trouble is not
        known.
        """
        vm = self.vm
        if vm is not None:
            vm = VmWatch(
                since=vm.since - slept_s,
                started_here=vm.started_here,
                was_good=vm.was_good,
                is_ordered_down=vm.is_ordered_down,
                has_slept=True,
            )
        return self._shifted(-slept_s, now)._replace(state=self.state, vm=vm)

    def _shifted(self, shift: float, now: float) -> Memory:
        """Return what does not rest on what was seen, on a clock that shows another time."""
        failed, moves, well_since = self.failed, self.moves, self.well_since
        return Memory(
            since=now,
            began_at=now,
            global_maintenance=self.global_maintenance,
            global_is_old=self.global_maintenance is not None,
            global_until=self.global_until,
            failed=failed._replace(last_at=failed.last_at + shift),
            well_since=None if well_since is None else well_since + shift,
            moves=moves._replace(
                target=None,
                failed_at=moves.failed_at + shift,
                moved_at=moves.moved_at + shift,
            ),
            keeps_engine=self.keeps_engine,
            alarms=tuple(
                alarm._replace(
                    since=alarm.since + shift,
                    next_at=alarm.next_at + shift,
                    ended_at=None if alarm.ended_at is None else alarm.ended_at + shift,
                )
                for alarm in self.alarms
            ),
        )
