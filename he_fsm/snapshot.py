"""What one host can see at one moment."""

from __future__ import annotations

import enum
import math
from typing import Final, Optional

import attrs

from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.value import Value


class VmState(enum.Enum):
    """The engine VM on this host, as its hypervisor tells it."""

    # There is one of each; the hash that enum makes of the name takes ten times as long.
    __hash__ = object.__hash__

    ABSENT = "absent"
    # From the order to start until the VM runs or the order has failed.
    STARTING = "starting"
    UP = "up"
    PAUSED = "paused"
    STOPPING = "stopping"
    # Source and destination of a live migration; only the source executes.
    LEAVING = "leaving"
    ARRIVING = "arriving"
    # The hypervisor does not answer.
    UNKNOWN = "unknown"


class Health(enum.Enum):
    """The engine's health page, as this host reads it."""

    GOOD = "good"
    # A wrong answer.
    BAD = "bad"
    # No answer: it says something about the engine only while this host's network is well.
    SILENT = "silent"
    UNKNOWN = "unknown"


class LocalVm(Value):
    """The engine VM here, and its health page (bad or unknown where no VM runs)."""

    __slots__ = ("health", "state")

    def __init__(
        self,
        state: VmState,
        health: Health = Health.UNKNOWN,
    ) -> None:
        """Take the parts."""
        self.state: Final = state
        self.health: Final = health


@attrs.frozen
class Reading:
    """
    The last value of a monitor and its age.

    `value` None: it has never had one. `age_s`: seconds since the value was read, or since the
    monitor began to try.
    """

    value: Optional[float]
    age_s: float = 0.0


@attrs.frozen(kw_only=True)
class Readings:
    """
    What the monitors of one host say.

    `gateway` is the fraction of pings answered, `bridge` 1.0 or 0.0, `mem_free` MiB and
    `cpu_load`, `mem_load` fractions of capacity, all three without the engine VM.
    """

    gateway: Reading
    bridge: Reading
    mem_free: Reading
    cpu_load: Reading
    mem_load: Reading
    # Whether the host's configuration is the one on shared storage (policy `ovirt` asks).
    config_is_current: bool = True

    @classmethod
    def of(  # noqa: PLR0913 - one for each monitor
        cls,
        *,
        gateway: Optional[float] = 1.0,
        bridge: Optional[float] = 1.0,
        mem_free: Optional[float] = 12367.0,
        cpu_load: Optional[float] = 0.05,
        mem_load: Optional[float] = 0.10,
        config_is_current: bool = True,
    ) -> Readings:
        """Return readings that were just taken, of a healthy host where nothing else is said."""
        return cls(
            gateway=Reading(gateway),
            bridge=Reading(bridge),
            mem_free=Reading(mem_free),
            cpu_load=Reading(cpu_load),
            mem_load=Reading(mem_load),
            config_is_current=config_is_current,
        )


class OwnerState(enum.Enum):
    """What the lease manager says of the host that holds the engine's lease."""

    FREE = "free"
    LIVE = "live"
    # It has stopped renewing, and is not yet certainly dead.
    FAILING = "failing"


class LeaseView(Value):
    """
    The leases as this host's lease manager shows them.

    `owner`: host id that holds the engine's lease, None when anybody may take it. `free_at`: when
    a failing owner's lease can be taken, on this host's monotonic clock (last renewal +
    8 x io_timeout + watchdog). `dead_hosts`: host ids whose own lease has run out or was released.
    `joined`: this host holds its host id. `held_by_other`: another living host holds it.
    `doomed_until`: until then (same clock) this host is about to be reset by its watchdog or to
    lose its host id, for the reason `doom`; None: it is not. Such a host takes nothing.
    `watchdog_s`, `kill_grace_s`: the times that this host's lease manager goes by; None: it does
    not say. `free_at` counts with this host's own watchdog: another one may have more.
    """

    __slots__ = (
        "dead_hosts",
        "doom",
        "doomed_until",
        "free_at",
        "held_by_other",
        "joined",
        "kill_grace_s",
        "owner",
        "owner_state",
        "watchdog_s",
    )

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        *,
        owner: Optional[int] = None,
        owner_state: OwnerState = OwnerState.FREE,
        free_at: Optional[float] = None,
        dead_hosts: frozenset[int] = frozenset(),
        joined: bool = True,
        held_by_other: bool = False,
        doomed_until: Optional[float] = None,
        doom: str = "",
        watchdog_s: Optional[float] = None,
        kill_grace_s: Optional[float] = None,
    ) -> None:
        """Take the parts."""
        self.owner: Final = owner
        self.owner_state: Final = owner_state
        self.free_at: Final = free_at
        self.dead_hosts: Final = dead_hosts
        self.joined: Final = joined
        self.held_by_other: Final = held_by_other
        self.doomed_until: Final = doomed_until
        self.doom: Final = doom
        self.watchdog_s: Final = watchdog_s
        self.kill_grace_s: Final = kill_grace_s


class Outcome(enum.Enum):
    """How an effect that takes time ended."""

    # The lease is held by another host: no failed start.
    START_REFUSED = "start refused"
    START_FAILED = "start failed"
    MIGRATION_FAILED = "migration failed"
    MIGRATION_DONE = "migration done"
    # The VM ended because its guest reported that it is dead: a panic, or a watchdog that fired.
    GUEST_DIED = "guest died"


@attrs.frozen
class Result:
    """The outcome of an earlier effect; `detail` is for people."""

    outcome: Outcome
    detail: str = ""


class Snapshot(Value):
    """
    All that one host can see at one moment.

    `now` is in seconds of its own monotonic clock, `boot_now` in those of the clock that counts
    suspended time as well (CLOCK_BOOTTIME); None: there is none. `own` is its record as it last
    published it.
    `whiteboard` None: the storage can't be read. `leases` None: the lease manager does not
    answer. `results`: how effects ended since the last step, each told once.
    `leaves_by`: the host is about to be shut down or rebooted in order, and goes down at that time
    (its own monotonic clock) whatever its agent does; None: it is not.
    `wall_offset_s`: what has to be added to `now` for the wall clock (seconds since 1970), by which
    alone a maintenance with an end is ended; None: it is not known.

    Raises:
        ValueError: `now` is no finite number, or the host id is not 1 to 2000.
    """

    __slots__ = (
        "boot_now",
        "host_id",
        "leases",
        "leaves_by",
        "local_maintenance",
        "now",
        "own",
        "results",
        "vm",
        "wall_offset_s",
        "whiteboard",
    )

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        *,
        now: float,
        host_id: int,
        vm: LocalVm,
        own: Optional[HostRecord] = None,
        whiteboard: Optional[Whiteboard] = None,
        leases: Optional[LeaseView] = None,
        local_maintenance: bool = False,
        results: tuple[Result, ...] = (),
        boot_now: Optional[float] = None,
        leaves_by: Optional[float] = None,
        wall_offset_s: Optional[float] = None,
    ) -> None:
        """Take the parts; refuse a time and an id that can't be."""
        self.now: Final = now
        self.host_id: Final = host_id
        self.vm: Final = vm
        self.own: Final = own
        self.whiteboard: Final = whiteboard
        self.leases: Final = leases
        self.local_maintenance: Final = local_maintenance
        self.results: Final = results
        self.boot_now: Final = boot_now
        self.leaves_by: Final = leaves_by
        self.wall_offset_s: Final = wall_offset_s
        if not math.isfinite(self.now):
            msg = f"now must be a finite number, got {self.now!r}"
            raise ValueError(msg)
        if not 1 <= self.host_id <= HOST_ID_MAX:
            msg = f"host_id must be 1 to {HOST_ID_MAX}, got {self.host_id!r}"
            raise ValueError(msg)
