"""One simulated host: its parts, and what faults have done to them."""

from __future__ import annotations

from typing import Callable, Final, Optional

import attrs

from he_fsm.liveness import NEVER, Liveness
from he_fsm.memory import Memory, Sighting
from he_fsm.metadata.record import HostRecord
from he_fsm.scenario.model import Host
from he_fsm.score import Score
from he_fsm.simulate.clock import HostClock
from he_fsm.simulate.lockspace import Member
from he_fsm.simulate.looks import Answered, Fading, Look
from he_fsm.simulate.schedule import LoopTimes
from he_fsm.snapshot import LeaseView, LocalVm, Reading, Readings, Result
from he_fsm.states.names import State
from he_fsm.tick import Facts, Identity

# How the daemons beside an agent are.
RUNS: Final = "runs"
KILLED: Final = "killed"
FROZEN: Final = "frozen"
_NOBODY: Final = Liveness(frozenset(), frozenset(), NEVER)


@attrs.define(eq=False)
class Trial:
    """Whether a thing succeeds: always, never, or not the next `left` times."""

    mode: str = "ok"
    left: int = 0

    def fails_now(self) -> bool:
        """Use up one try."""
        if self.mode != "fail":
            return False
        if self.left > 0:
            self.left -= 1
            if not self.left:
                self.mode = "ok"
        return True


@attrs.define(eq=False)
class Agent:
    """A running agent process: what it remembers, and when it looks next."""

    memory: Memory
    loops: LoopTimes
    results: list[Result] = attrs.field(factory=list)
    is_frozen: bool = False
    # When it began (true time).
    began_at: float = float("-inf")
    # When it last heard of its broker (monotonic clock), and what that said of the local flag.
    heard_at: float = float("-inf")
    local_maintenance: bool = False
    # The tick that counts; events for another time are left over from before. Below 0 while it
    # looks, infinite where nothing but news or what happens can make it look.
    next_tick: float = -1.0
    # The monotonic time that the next tick was asked for, where it was: rounding must not miss it.
    asked_for: Optional[float] = None
    # Ticks at one moment: a chain of edges is followed at once, an endless one is not.
    ticks_now: int = 0
    ticked_at: float = -1.0
    own: Optional[HostRecord] = None
    score: Optional[Score] = None
    # What the score was computed from.
    scored: tuple[object, ...] = ()
    # What the block of its last record was made of.
    facts: Optional[Facts] = None
    # Only a part of its last write arrived: the next one is news to others, whatever it says.
    is_torn: bool = False
    alive: frozenset[int] = frozenset()
    # Who was alive in this agent's eyes, and is not.
    given_up: frozenset[int] = frozenset()
    liveness: Liveness = _NOBODY
    idle_until: float = NEVER
    problems: dict[int, str] = attrs.field(factory=dict)
    # What skipping idle time (he_fsm.simulate.quiet) knows of it: its last looks;
    looks: list[Look] = attrs.field(factory=list)
    # how many of the last of them have a heartbeat that is still to be written;
    owed: int = 0
    is_steady: bool = False
    # what it remembers of each steady host as of the last time that it heard of it;
    seen: dict[int, Sighting] = attrs.field(factory=dict)
    # what it sees at last of those that are steady no more;
    fading: dict[int, Fading] = attrs.field(factory=dict)
    # what its last answer was made from, None where that is not the answer to the same again;
    answered: Optional[Answered] = None
    # the time for which its next look was brought forward, and that look;
    told: tuple[float, float] = (-NEVER, -NEVER)
    # from when on it has to look at its next loop (true time);
    due: float = NEVER
    # whether its last look was one of its loops, and its place among those that look together.
    is_on_loop: bool = False
    rank: int = 0
    # What its problems with slots came from.
    judged: Optional[tuple[object, ...]] = None
    shown_state: Optional[State] = None
    shown_score: Optional[int] = None


@attrs.define(eq=False)
class SimHost:
    """One host: hardware, lockspace member, hypervisor's mood, agent."""

    config: Host
    identity: Identity
    clock: HostClock
    member: Member
    readings: Readings
    monitors: dict[str, float]
    local_maintenance: bool
    # What the last agent remembered, as it would be on disk, and when that was (monotonic clock).
    saved: Memory
    saved_at: float
    # Powered, booted, and its kernel runs unless it is frozen.
    is_up: bool = True
    is_booting: bool = False
    is_frozen: bool = False
    storage: str = "ok"
    slow_s: float = 0.0
    broker: str = RUNS
    sanlock: str = RUNS
    # Counts what befell sanlock: what was to come of it belongs to one of them.
    daemon: int = 0
    hypervisor_is_lost: bool = False
    starts: Trial = attrs.field(factory=Trial)
    migrations: Trial = attrs.field(factory=Trial)
    boots: tuple[str, float] = ("ok", 0.0)
    agent: Optional[Agent] = None
    # What its agents wrote last, whoever holds the slot now; None: nothing yet.
    written_score: Optional[int] = None
    # Counts boots: what was under way before one is over.
    boot: int = 0
    restarts: int = 0
    # Counts lapses of the renewals: an expiry belongs to one of them.
    lapse: int = 0
    # The boot and the lapse in which its host id is being taken.
    joining: Optional[tuple[int, int]] = None
    # The engine's lease could not be given back; done when the storage answers again.
    owes_release: bool = False
    # What was due while the host was frozen.
    deferred: list[Callable[[], None]] = attrs.field(factory=list)
    local_vm: Optional[LocalVm] = None
    # The leases as this host saw them last.
    leases: Optional[LeaseView] = None

    @property
    def name(self) -> str:
        """The host's name in the scenario; its id where it was given none."""
        return self.config.name

    @property
    def host_id(self) -> int:
        """sanlock's host id."""
        return self.identity.host_id

    @property
    def runs(self) -> bool:
        """Whether anything on it makes progress."""
        return self.is_up and not self.is_frozen

    @property
    def storage_answers(self) -> bool:
        """Whether this host's reads and writes come back."""
        return self.storage in ("ok", "slow")

    @property
    def can_renew(self) -> bool:
        """Whether this host's sanlock runs, and its writes come back."""
        return self.storage_answers and self.sanlock == RUNS

    @property
    def sees_storage(self) -> bool:
        """Whether an agent here can read and write slots."""
        return self.storage_answers and self.broker == RUNS

    @property
    def sees_leases(self) -> bool:
        """Whether an agent here is told of the leases."""
        return self.sees_storage and self.sanlock == RUNS

    @property
    def holds_id(self) -> bool:
        """Whether the host id is held and renewed."""
        return self.member.is_joined and self.member.renews

    def set_monitors(self, values: dict[str, float]) -> None:
        """Let the monitors read other values from now on."""
        self.monitors = {**self.monitors, **values}
        self.readings = readings_of(self.monitors)


def readings_of(monitors: dict[str, float]) -> Readings:
    """Give what monitors read that are asked with every look."""
    return Readings(
        gateway=Reading(monitors["gateway"]),
        bridge=Reading(monitors["bridge"]),
        mem_free=Reading(monitors["mem_free"]),
        cpu_load=Reading(monitors["cpu_load"]),
        mem_load=Reading(monitors["mem_load"]),
    )
