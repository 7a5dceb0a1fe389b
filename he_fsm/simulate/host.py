"""One simulated host: its parts, and what faults have done to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Final, NamedTuple, Optional

from he_fsm.liveness import NEVER, Liveness
from he_fsm.memory import Memory, Sighting
from he_fsm.metadata.record import HostRecord, ProblemWord
from he_fsm.policy import Policy
from he_fsm.scenario.model import Host
from he_fsm.score import Score
from he_fsm.simulate.clock import HostClock
from he_fsm.simulate.lockspace import Member
from he_fsm.simulate.schedule import LoopTimes
from he_fsm.snapshot import LeaseView, LocalVm, Reading, Readings, Result, VmState
from he_fsm.states.names import State
from he_fsm.tick import Identity

# How the daemons beside an agent are.
RUNS: Final = "runs"
KILLED: Final = "killed"
FROZEN: Final = "frozen"
# The names of those that systemd starts again.
AGENT: Final = "agent"
BROKER: Final = "broker"
_NOBODY: Final = Liveness(frozenset(), frozenset(), NEVER)


class Trial:
    """Whether a thing succeeds: always, never, or not the next `left` times."""

    __slots__ = ("left", "mode")

    def __init__(self, mode: str = "ok", left: int = 0) -> None:
        """Say whether it succeeds."""
        self.mode = mode
        self.left = left

    def fails_now(self) -> bool:
        """Use up one try."""
        if self.mode != "fail":
            return False
        if self.left > 0:
            self.left -= 1
            if not self.left:
                self.mode = "ok"
        return True


class Judged(NamedTuple):
    """What an agent's problems with slots came from."""

    sightings: Mapping[int, Sighting]
    leases: Optional[LeaseView]
    alive: frozenset[int]
    pending: frozenset[int]
    problem: Optional[ProblemWord]


class Agent:
    """A running agent process: what it remembers, and when it looks next."""

    __slots__ = (
        "alive",
        "asked_for",
        "began_at",
        "given_up",
        "heard_at",
        "is_frozen",
        "judged",
        "liveness",
        "local_maintenance",
        "looked_at",
        "looks_now",
        "loops",
        "memory",
        "next_tick",
        "own",
        "planned",
        "problems",
        "readings",
        "results",
        "scores",
        "shown_score",
        "shown_state",
    )

    def __init__(
        self,
        memory: Memory,
        loops: LoopTimes,
        alive: frozenset[int] = frozenset(),
        began_at: float = -NEVER,
    ) -> None:
        """Begin: nothing is known but what is remembered."""
        self.memory = memory
        self.loops = loops
        self.results: list[Result] = []
        self.is_frozen = False
        # When it began (true time).
        self.began_at = began_at
        # When it last heard of its broker (monotonic clock), and what that said of the local flag.
        self.heard_at = -NEVER
        self.local_maintenance = False
        # When it looks next: below 0 while it looks, infinite where nothing but news or what
        # happens can make it look. Of the looks that were planned only the last one counts.
        self.next_tick = -1.0
        self.planned = 0
        # The monotonic time that the next tick was asked for, where it was: rounding must not
        # miss it.
        self.asked_for: Optional[float] = None
        # When it looked last, and how often before at that moment: a chain of edges is followed at
        # once, an endless one is not.
        self.looked_at = -NEVER
        self.looks_now = 0
        self.own: Optional[HostRecord] = None
        # The scores that came of these readings, by the VM's state, the local flag, the endings
        # that cost points, why the host is blocked, and why it is unfit.
        self.readings: Optional[Readings] = None
        self.scores: dict[tuple[VmState, bool, int, str, str], Score] = {}
        self.alive = alive
        # Who was alive in this agent's eyes, and is not.
        self.given_up: frozenset[int] = frozenset()
        self.liveness: Liveness = _NOBODY
        self.problems: dict[int, str] = {}
        # What its problems with slots came from.
        self.judged: Optional[Judged] = None
        self.shown_state: Optional[State] = None
        self.shown_score: Optional[int] = None


class SimHost:
    """One host: hardware, lockspace member, hypervisor's mood, agent."""

    def __init__(  # noqa: PLR0913 - one for each part of a host
        self,
        *,
        config: Host,
        place: int,
        identity: Identity,
        clock: HostClock,
        member: Member,
        policy: Policy,
        readings: Readings,
        monitors: dict[str, float],
        local_maintenance: bool,
        saved: Memory,
        saved_at: float,
        is_up: bool,
    ) -> None:
        """Set a host up as it is before its agent runs."""
        self.config = config
        # In the scenario; its id where it was given none.
        self.name = config.name
        # Among the hosts of the file: that is the order in which they look at one moment.
        self.place = place
        self.identity = identity
        self.host_id = identity.host_id
        self.clock = clock
        self.member = member
        # The cluster's, save for the time of its own watchdog.
        self.policy = policy
        self.readings = readings
        self.monitors = monitors
        self.local_maintenance = local_maintenance
        # When that ends by itself, by this host's wall clock (seconds since 1970).
        self.local_until: Optional[int] = None
        # What the last agent remembered, as it would be on disk, and when (monotonic, wall clock).
        self.saved = saved
        self.saved_at = saved_at
        self.saved_wall = clock.wall(0.0)
        # Powered, booted, and its kernel runs unless it is frozen.
        self.is_up = is_up
        self.is_booting = False
        self.is_frozen = False
        self.storage = "ok"
        self.slow_s = 0.0
        self.broker = RUNS
        self.sanlock = RUNS
        # Counts what befell sanlock: what was to come of it belongs to one of them.
        self.daemon = 0
        # When the watchdog resets it for a daemon that has ended (true time); None: it does not.
        self.doomed_until: Optional[float] = None
        # When it goes down in order, whatever its agent does (true time), and what does that; None:
        # no shutdown is under way.
        self.leaves_at: Optional[float] = None
        self.goes_down: Optional[Callable[[], None]] = None
        # Somebody switches it on again as soon as it is off.
        self.boots_again = False
        # When systemd starts a daemon again that has died (true time).
        self.restarts_at: dict[str, float] = {}
        self.hypervisor_is_lost = False
        self.starts = Trial()
        self.migrations = Trial()
        self.boots = ("ok", 0.0)
        self.agent: Optional[Agent] = None
        # What its agents wrote last, whoever holds the slot now; None: nothing yet.
        self.written_score: Optional[int] = None
        # The parse version in which its last record that was encoded was written; -1: none was.
        self.encoded_version = -1
        # Counts boots: what was under way before one is over.
        self.boot = 0
        self.restarts = 0
        # Counts lapses of the renewals: an expiry belongs to one of them.
        self.lapse = 0
        # The boot and the lapse in which its host id is being taken.
        self.joining: Optional[tuple[int, int]] = None
        # The engine's lease could not be given back; done when the storage answers again.
        self.owes_release = False
        # What was due while the host was frozen.
        self.deferred: list[Callable[[], None]] = []
        self.local_vm: Optional[LocalVm] = None
        # The leases as this host saw them last.
        self.leases: Optional[LeaseView] = None

    @property
    def runs(self) -> bool:
        """Whether anything on it makes progress."""
        return self.is_up and not self.is_frozen

    @property
    def storage_answers(self) -> bool:
        """Whether this host's reads and writes come back: both, as its sanlock needs them."""
        return self.storage in ("ok", "slow")

    @property
    def reads_come_back(self) -> bool:
        """Whether this host's reads come back."""
        return self.storage in ("ok", "slow", "no-writes")

    @property
    def can_renew(self) -> bool:
        """Whether this host's sanlock runs, and its writes come back."""
        return self.storage_answers and self.sanlock == RUNS

    @property
    def sees_storage(self) -> bool:
        """Whether an agent here can read slots."""
        return self.reads_come_back and self.broker == RUNS

    @property
    def can_write(self) -> bool:
        """Whether an agent here can write its slot: only while it holds its host id."""
        return self.storage_answers and self.broker == RUNS and self.holds_id

    @property
    def sees_leases(self) -> bool:
        """Whether an agent here is told of the leases."""
        return self.sees_storage and self.sanlock == RUNS

    @property
    def holds_id(self) -> bool:
        """Whether the host id is held and renewed."""
        return self.member.is_joined and self.member.renews

    @property
    def is_well(self) -> bool:
        """Whether all that an agent needs here runs, and answers as soon as it should."""
        return (
            self.is_up
            and not self.is_frozen
            and self.storage == "ok"
            and self.broker == RUNS
            and self.sanlock == RUNS
            and self.member.is_joined
            and self.member.renews
        )

    def set_monitors(self, values: dict[str, float]) -> None:
        """Change what the monitors read from now on."""
        self.monitors = {**self.monitors, **values}
        self.readings = readings_of(self.monitors)


def readings_of(monitors: dict[str, float]) -> Readings:
    """Return what monitors read that are asked with every look."""
    return Readings(
        gateway=Reading(monitors["gateway"]),
        bridge=Reading(monitors["bridge"]),
        mem_free=Reading(monitors["mem_free"]),
        cpu_load=Reading(monitors["cpu_load"]),
        mem_load=Reading(monitors["mem_load"]),
    )
