"""A scenario as values: the cluster, what happens to it, and what is expected of it."""

from __future__ import annotations

import enum
import math
from typing import Any, Final, Optional

import attrs

from he_fsm.document.forms import Choice, Duration, Flag, Integer, Number, OrWord, Text
from he_fsm.document.mappings import Record, written_as
from he_fsm.document.nodes import Place
from he_fsm.document.units import TOLERANCE, Comparison
from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.policy import TALK, Policy
from he_fsm.scenario.clock import ClockForm, WallClock
from he_fsm.scenario.judging.matching import Condition
from he_fsm.scenario.language.forms import Fraction, HostReference, Load
from he_fsm.score import NEVER, PREFERENCE_MAX, PREFERENCE_WORDS, Preference

NOT_NEGATIVE: Final = Number(minimum=0)
# More would be a mistake: numbers of many digits only fill records and time.
COUNT: Final = Integer(0, 1_000_000)
# The place of a scenario that was built by a program.
NOWHERE: Final = Place("")


@attrs.frozen(kw_only=True)
class World:
    """The surroundings, in seconds. `cold`: every agent starts at time 0 with an empty memory."""

    loop_s: float = attrs.field(default=10.0, metadata=written_as("loop", Duration(positive=True)))
    jitter_s: float = attrs.field(default=1.0, metadata=written_as("jitter", Duration()))
    storage_latency_s: float = attrs.field(
        default=0.01, metadata=written_as("storage_latency", Duration())
    )
    io_timeout_s: float = attrs.field(
        default=10.0, metadata=written_as("io_timeout", Duration(positive=True))
    )
    vm_start_s: float = attrs.field(default=5.0, metadata=written_as("vm_start", Duration()))
    vm_boot_s: float = attrs.field(default=55.0, metadata=written_as("vm_boot", Duration()))
    vm_shutdown_s: float = attrs.field(default=20.0, metadata=written_as("vm_shutdown", Duration()))
    migration_s: float = attrs.field(default=15.0, metadata=written_as("migration", Duration()))
    # libvirt's sanlock plug-in releases the lease of a VM that is paused, whoever paused it.
    pause_keeps_lease: bool = attrs.field(
        default=True, metadata=written_as("pause_keeps_lease", Flag())
    )
    # A VM moves while it executes; a program can't.
    live_migration: bool = attrs.field(default=True, metadata=written_as("live_migration", Flag()))
    # For so long the target of a migration waits for a source whose host has lost its power.
    arrival_timeout_s: float = attrs.field(
        default=0.0, metadata=written_as("arrival_timeout", Duration())
    )
    reboot_s: float = attrs.field(default=120.0, metadata=written_as("reboot", Duration()))
    # How long an orderly shutdown waits for the agent: InhibitDelayMaxSec= of logind, as he_fsm's
    # packages set it.
    shutdown_delay_s: float = attrs.field(
        default=300.0, metadata=written_as("shutdown_delay", Duration())
    )
    # How long systemd takes to restart a daemon that died: RestartSec= of the shipped units.
    agent_restart_s: float = attrs.field(
        default=2.0, metadata=written_as("agent_restart", Duration())
    )
    broker_restart_s: float = attrs.field(
        default=2.0, metadata=written_as("broker_restart", Duration())
    )
    cold: bool = attrs.field(default=False, metadata=written_as("cold", Flag()))


@attrs.frozen(kw_only=True)
class FailedStarts:
    """Failed starts before time 0. `last_s`: the time of the last of them, 0 or below."""

    count: int = attrs.field(default=0, metadata=written_as("count", COUNT))
    last_s: float = attrs.field(default=-300.0, metadata=written_as("last", Duration(signed=True)))


@attrs.frozen(kw_only=True)
class Host:
    """
    One host at time 0.

    `name` is the host's name in timeline and expectations: its id, unless the file names it.
    `gateway` and `bridge` are fractions of 1.0, `mem_free` is in MiB without the engine VM, the
    loads are fractions of capacity without the engine VM. `preference` is a part of its own score.
    """

    id: int = attrs.field(metadata=written_as("id", Integer(1, HOST_ID_MAX)))
    name: str = attrs.field(metadata=written_as("name", Text("a host's name")))
    hostname: str = attrs.field(metadata=written_as("hostname", Text("a hostname")))
    gateway: float = attrs.field(default=1.0, metadata=written_as("gateway", Fraction()))
    bridge: float = attrs.field(default=1.0, metadata=written_as("bridge", Fraction()))
    mem_free: float = attrs.field(default=12367.0, metadata=written_as("mem_free", NOT_NEGATIVE))
    cpu_load: float = attrs.field(default=0.05, metadata=written_as("cpu_load", Load()))
    mem_load: float = attrs.field(default=0.10, metadata=written_as("mem_load", Load()))
    preference: Preference = attrs.field(
        default=0,
        metadata=written_as(
            "preference", OrWord(Integer(-PREFERENCE_MAX, PREFERENCE_MAX), NEVER, PREFERENCE_WORDS)
        ),
    )
    maintenance: bool = attrs.field(default=False, metadata=written_as("maintenance", Flag()))
    powered: bool = attrs.field(default=True, metadata=written_as("powered", Flag()))
    agent_running: bool = attrs.field(
        default=True, metadata=written_as("agent", Choice({"running": True, "stopped": False}))
    )
    watchdog: bool = attrs.field(default=True, metadata=written_as("watchdog", Flag()))
    # The time of its own watchdog, as its record tells it; None: the policy's.
    watchdog_time_s: Optional[float] = attrs.field(
        default=None, metadata=written_as("watchdog_time", Duration(positive=True))
    )
    clock: WallClock = attrs.field(default=WallClock(), metadata=written_as("clock", ClockForm()))
    failed_starts: FailedStarts = attrs.field(
        default=FailedStarts(),
        metadata=written_as(
            "failed_starts", Record(FailedStarts, "a mapping like {count: 1, last: -300s}")
        ),
    )

    @name.default
    def _name_default(self) -> str:
        return str(self.id)

    @hostname.default
    def _hostname_default(self) -> str:
        return f"host{self.id}"

    def policy_under(self, policy: Policy) -> Policy:
        """Return the policy as this host has it, with the time of its own watchdog."""
        return policy if self.watchdog_time_s is None else policy.on_host(self.watchdog_time_s)

    @property
    def wall_offset_s(self) -> float:
        """How far the wall clock is ahead of true time at time 0, in seconds."""
        return self.clock.offset_s

    @property
    def wall_start_s(self) -> Optional[float]:
        """What the wall clock shows at time 0, in seconds since 1970; None: see `wall_offset_s`."""
        return self.clock.start_s


@attrs.frozen(kw_only=True)
class Engine:
    """
    The engine VM at time 0.

    `running_on`: a host's name or None. `memory`: in MiB. `lease_left_s`: after how many seconds
    the leases of its host expire, which loses power at time 0 and had stopped renewing them
    before; None: the host renewed its leases until time 0. `doing`: what it is in the middle of,
    and `doing_for_s` for how long. `kept_by`: the host that has shut it down with itself and keeps
    it until it is back (`on_shutdown: freeze`); its name or None.
    """

    running_on: Optional[str] = attrs.field(
        default=None, metadata=written_as("running_on", HostReference(or_null=True))
    )
    memory: float = attrs.field(default=4096.0, metadata=written_as("memory", NOT_NEGATIVE))
    health: str = attrs.field(
        default="good", metadata=written_as("health", Choice.of("good", "bad"))
    )
    paused: bool = attrs.field(default=False, metadata=written_as("paused", Flag()))
    lease_left_s: Optional[float] = attrs.field(
        default=None, metadata=written_as("lease_left", Duration(positive=True))
    )
    doing: str = attrs.field(
        default="running",
        metadata=written_as("doing", Choice.of("running", "starting", "stopping")),
    )
    doing_for_s: float = attrs.field(default=0.0, metadata=written_as("doing_for", Duration()))
    kept_by: Optional[str] = attrs.field(
        default=None, metadata=written_as("kept_by", HostReference(or_null=True))
    )


class Verb(str, enum.Enum):
    """What an entry of the timeline does."""

    SET = "set"
    POWER = "power"
    AGENT = "agent"
    BROKER = "broker"
    SANLOCK = "sanlock"
    STORAGE = "storage"
    HYPERVISOR = "hypervisor"
    STARTS = "starts"
    BOOTS = "boots"
    MIGRATIONS = "migrations"
    FAILED_STARTS = "failed_starts"
    VERSION = "version"
    MAINTENANCE = "maintenance"
    CLOCK = "clock"
    SLOT = "slot"
    ENGINE = "engine"


@attrs.frozen(kw_only=True)
class TimelineEntry:
    """
    One entry of the timeline: something that happens to the cluster.

    `hosts`: names; empty if the verb concerns no host; "0" is the global slot.
    `value`: see the table `VERBS` of `verbs.py`.
    `times`: how often in all, at intervals of `every`; None: until the run ends.
    `since`: `at` counts from the first moment at which all these conditions hold; empty: from
    time 0.
    `for_s`: how long readers see the overwritten slot (None: until the slot is written again), or
    after what time a maintenance ends by itself (None: it does not).
    """

    at: float
    hosts: tuple[str, ...]
    verb: Verb
    value: Any
    every: Optional[float] = None
    times: Optional[int] = 1
    since: tuple[Condition, ...] = ()
    for_s: Optional[float] = None
    text: str = ""
    place: Place = NOWHERE

    def moments(self, start: float, until: float) -> tuple[float, ...]:
        """Return the times at which the entry acts, up to *until*; `at` counts from *start*."""
        first = start + self.at
        if self.every is None:
            return (first,) if first <= until else ()
        # With rounding errors, a sum of tenths that should equal `until` may be just above it.
        fitting = math.floor((until - first) / self.every + TOLERANCE) + 1 if first <= until else 0
        count = fitting if self.times is None else min(self.times, fitting)
        return tuple(first + self.every * index for index in range(count))


class Kind(str, enum.Enum):
    """At which moments an expectation checks its conditions, or what else it checks."""

    AT = "at"
    BY = "by"
    INTERVAL = "interval"
    TOTAL = "total"
    ANY = "any"


@attrs.frozen
class Total:
    """A counted total, and the number it must have. `host`: a name, or None for all hosts."""

    name: str
    host: Optional[str]
    comparison: Comparison

    @property
    def label(self) -> str:
        """The name of the total in messages."""
        return self.name if self.host is None else f"{self.name} of host {self.host}"


@attrs.frozen(kw_only=True)
class Expectation:
    """
    An expectation.

    `start`, `end`: the times between which it is checked, both included; `end` None: the end of
    the run.
    AT: the conditions hold at `start`, which equals `end`. BY: they hold at some moment between
    the two. INTERVAL: they hold at every moment, or, with `never`, at none. TOTAL: `totals` are
    counted between the two. ANY: one of `alternatives` holds; each is a tuple of expectations
    that must all hold.
    `since`: the times count from the first moment at which all these conditions hold; empty: from
    time 0.
    `window`: if set, `totals` are counted in every stretch of this length, in seconds.
    """

    kind: Kind
    start: float = 0.0
    end: Optional[float] = None
    conditions: tuple[Condition, ...] = ()
    never: bool = False
    totals: tuple[Total, ...] = ()
    window: Optional[float] = None
    since: tuple[Condition, ...] = ()
    alternatives: tuple[tuple[Expectation, ...], ...] = ()
    text: str = ""
    place: Place = NOWHERE


@attrs.frozen(kw_only=True)
class Scenario:
    """One scenario. `maintenance`: the global flag at time 0. `until`: when it ends, in seconds."""

    name: str
    about: str = ""
    policy: Policy = TALK
    world: World = World()
    seed: int = 1
    hosts: tuple[Host, ...]
    engine: Engine = Engine()
    maintenance: bool = False
    timeline: tuple[TimelineEntry, ...] = ()
    until: float
    expect: tuple[Expectation, ...] = ()
    place: Place = NOWHERE

    def host(self, name: str) -> Host:
        """Return the host of a name."""
        return next(host for host in self.hosts if host.name == name)
