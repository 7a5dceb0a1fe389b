"""A scenario as values: the cluster, what happens to it, and what must come out."""

from __future__ import annotations

import enum
import math
from typing import Any, Final, Optional

import attrs

from he_fsm.document.forms import Choice, Duration, Flag, Integer, Number, Text
from he_fsm.document.mappings import Record, written_as
from he_fsm.document.nodes import Place
from he_fsm.document.units import TOLERANCE, Comparison
from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.policy import TALK, Policy
from he_fsm.scenario.clock import ClockForm, WallClock
from he_fsm.scenario.forms import Fraction, HostReference
from he_fsm.scenario.matching import Condition

NOT_NEGATIVE: Final = Number(minimum=0)
# The place of what was built by a program.
NOWHERE: Final = Place("")


@attrs.frozen(kw_only=True)
class World:
    """The surroundings, in seconds. `cold`: every agent starts at time 0, knowing nothing."""

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
    reboot_s: float = attrs.field(default=120.0, metadata=written_as("reboot", Duration()))
    cold: bool = attrs.field(default=False, metadata=written_as("cold", Flag()))


@attrs.frozen(kw_only=True)
class FailedStarts:
    """Failed starts before time 0. `last_s`: when the last of them was, 0 or below."""

    count: int = attrs.field(default=0, metadata=written_as("count", Integer(minimum=0)))
    last_s: float = attrs.field(default=-300.0, metadata=written_as("last", Duration(signed=True)))


@attrs.frozen(kw_only=True)
class Host:
    """
    One host at time 0.

    `name` is what timeline and expectations call it: its id, unless the file says another.
    `gateway` and `bridge` are fractions of 1.0, `mem_free` is MiB without the engine VM, the
    loads are fractions of capacity without the engine VM.
    """

    id: int = attrs.field(metadata=written_as("id", Integer(1, HOST_ID_MAX)))
    name: str = attrs.field(metadata=written_as("name", Text("a host's name")))
    hostname: str = attrs.field(metadata=written_as("hostname", Text("a hostname")))
    gateway: float = attrs.field(default=1.0, metadata=written_as("gateway", Fraction()))
    bridge: float = attrs.field(default=1.0, metadata=written_as("bridge", Fraction()))
    mem_free: float = attrs.field(default=12367.0, metadata=written_as("mem_free", NOT_NEGATIVE))
    cpu_load: float = attrs.field(default=0.05, metadata=written_as("cpu_load", NOT_NEGATIVE))
    mem_load: float = attrs.field(default=0.10, metadata=written_as("mem_load", NOT_NEGATIVE))
    maintenance: bool = attrs.field(default=False, metadata=written_as("maintenance", Flag()))
    powered: bool = attrs.field(default=True, metadata=written_as("powered", Flag()))
    agent_running: bool = attrs.field(
        default=True, metadata=written_as("agent", Choice({"running": True, "stopped": False}))
    )
    watchdog: bool = attrs.field(default=True, metadata=written_as("watchdog", Flag()))
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

    @property
    def wall_offset_s(self) -> float:
        """By how much the wall clock is ahead of true time at time 0."""
        return self.clock.offset_s

    @property
    def wall_start_s(self) -> Optional[float]:
        """What the wall clock shows at time 0, in seconds since 1970; None: see `wall_offset_s`."""
        return self.clock.start_s


@attrs.frozen(kw_only=True)
class Engine:
    """
    The engine VM at time 0.

    `running_on`: a host's name or None. `memory`: in MiB. `lease_left_s`: its host, which loses
    its power at time 0, had renewed its leases no more for so long that others can take them
    after this time; None: it renewed them up to then.
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
    One thing that happens.

    `hosts`: names; empty where the verb is about no host; "0" is the global slot.
    `value`: as the table `VERBS` of `verbs.py` says for each verb.
    `times`: how often in all, each `every_s` after the one before; None: until the run ends.
    `since`: conditions from whose first common moment `at` counts; empty: from time 0.
    `for_s`: how long every reader sees the overwritten slot so; None: until it is written again.
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
        """Give the times at which it acts, none after *until*; *start* is what `at` counts from."""
        first = start + self.at
        if self.every is None:
            return (first,) if first <= until else ()
        # A sum of tenths may end a hair after `until` although it was meant to meet it.
        fitting = math.floor((until - first) / self.every + TOLERANCE) + 1 if first <= until else 0
        count = fitting if self.times is None else min(self.times, fitting)
        return tuple(first + self.every * index for index in range(count))


class Kind(str, enum.Enum):
    """At which moments an expectation asks its conditions, or what else it asks."""

    AT = "at"
    BY = "by"
    INTERVAL = "interval"
    TOTAL = "total"
    ANY = "any"


@attrs.frozen
class Total:
    """Something that is counted, and what it has to be. `host`: a name, or None for all hosts."""

    name: str
    host: Optional[str]
    comparison: Comparison

    @property
    def label(self) -> str:
        """The total as messages name it."""
        return self.name if self.host is None else f"{self.name} of host {self.host}"


@attrs.frozen(kw_only=True)
class Expectation:
    """
    What must come out.

    `start`, `end`: the times it is about, both included; `end` None: the end of the run.
    AT: `start` and `end` are that moment. BY: at some moment between them. INTERVAL: at each,
    or, with `never`, at none. TOTAL: `totals` between them. ANY: one of `alternatives` holds,
    each of which is a tuple of expectations that hold together.
    `since`: conditions from whose first common moment the times count; empty: from time 0.
    `window`: the length of the stretches that `totals` are about, in seconds.
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
        """Give the host of a name."""
        return next(host for host in self.hosts if host.name == name)
