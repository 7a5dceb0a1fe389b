"""Memories and snapshots as plain objects and back, so that a run can be recorded and replayed."""

from __future__ import annotations

import functools
from typing import Any, Final, Optional, TypedDict, Union

import cattrs

from he_fsm.liveness import Liveness
from he_fsm.memory import Memory, Sighting
from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.record import EngineStatus, HostRecord, ProblemWord, SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.placement import Placement
from he_fsm.remembered import FailedStarts, Moves, RaisedAlarm, VmWatch
from he_fsm.snapshot import (
    Health,
    LeaseView,
    LocalVm,
    Outcome,
    OwnerState,
    Reading,
    Readings,
    Result,
    Snapshot,
    VmState,
)
from he_fsm.states.names import State
from he_fsm.tick import Facts
from he_fsm.value import Value


class EngineParts(TypedDict, total=False):
    """What the engine's status consists of, as cattrs is told it."""

    vm: str
    health: str
    detail: str
    reason: Optional[str]


class ProblemParts(TypedDict, total=False):
    """The same of a slot that can't be believed."""

    host_id: int
    word: ProblemWord
    detail: str
    newer_timestamp: Optional[int]


class ReadingParts(TypedDict, total=False):
    """The same of a reading."""

    value: Optional[float]
    age_s: float


class ReadingsParts(TypedDict, total=False):
    """The same of all readings of a host."""

    gateway: Reading
    bridge: Reading
    mem_free: Reading
    cpu_load: Reading
    mem_load: Reading
    config_is_current: bool


class ResultParts(TypedDict, total=False):
    """The same of an effect's result."""

    outcome: Outcome
    detail: str


class GlobalParts(TypedDict, total=False):
    """The same of slot 0."""

    maintenance: Optional[bool]
    problem: Optional[SlotProblem]
    rejected_lines: int
    until: Optional[int]


class RecordParts(TypedDict, total=False):
    """The same of a host's record."""

    host_id: int
    timestamp: int
    score: int
    engine: EngineStatus
    hostname: str
    local_maintenance: bool
    stopped: bool
    conf_on_shared_storage: bool
    local_conf_timestamp: int
    parse_version: int
    feature_version: int
    watchdog_s: Optional[float]
    text: str


class WhiteboardParts(TypedDict, total=False):
    """The same of a whiteboard."""

    global_block: GlobalBlock
    slots: dict[int, Union[HostRecord, SlotProblem]]


class VmParts(TypedDict, total=False):
    """The same of the VM here."""

    state: VmState
    health: Health


class LeaseParts(TypedDict, total=False):
    """The same of the leases."""

    owner: Optional[int]
    owner_state: OwnerState
    free_at: Optional[float]
    dead_hosts: frozenset[int]
    joined: bool
    held_by_other: bool
    doomed_until: Optional[float]
    doom: str
    watchdog_s: Optional[float]
    kill_grace_s: Optional[float]


class SnapshotParts(TypedDict, total=False):
    """The same of a snapshot."""

    now: float
    host_id: int
    vm: LocalVm
    own: Optional[HostRecord]
    whiteboard: Optional[Whiteboard]
    leases: Optional[LeaseView]
    local_maintenance: bool
    results: tuple[Result, ...]
    boot_now: Optional[float]
    leaves_by: Optional[float]
    wall_offset_s: Optional[float]


class FactsParts(TypedDict, total=False):
    """The same of what the adapters found out for one pass."""

    now: float
    wall_offset_s: float
    readings: Readings
    vm: LocalVm
    leases: Optional[LeaseView]
    local_maintenance: bool
    results: tuple[Result, ...]
    boot_now: Optional[float]
    leaves_by: Optional[float]


class LivenessParts(TypedDict, total=False):
    """The same of who is alive."""

    alive: frozenset[int]
    pending: frozenset[int]
    changes_at: float


class PlacementParts(TypedDict, total=False):
    """The same of who should run the engine."""

    engine_on: Optional[int]
    hosts: tuple[int, ...]
    score: int
    waits_for: tuple[int, ...]
    turns: tuple[int, ...]
    kept_by: tuple[int, ...]


class SightingParts(TypedDict, total=False):
    """The same of a sighting."""

    content: Union[HostRecord, SlotProblem, None]
    timestamp: Optional[int]
    grew_at: Optional[float]
    since: float
    record: Optional[HostRecord]
    problem: Optional[ProblemWord]
    newer_timestamp: Optional[int]
    is_newer: bool
    doubts: int
    stepped_at: float


class FailedParts(TypedDict, total=False):
    """The same of the engine's bad endings."""

    count: int
    last_at: float
    good_runs: int
    time_outs: int


class WatchParts(TypedDict, total=False):
    """The same of the VM that is followed."""

    since: float
    started_here: bool
    was_good: bool
    bad_since: Optional[float]
    bad_before_s: float
    paused_since: Optional[float]
    paused_before_s: float
    power_off_at: Optional[float]
    is_ordered_down: bool
    is_gone: bool
    has_slept: bool


class MovesParts(TypedDict, total=False):
    """The same of the engine's moves."""

    target: Optional[int]
    failures: int
    failed_at: float
    refused_by: Optional[int]
    moves: int
    moved_at: float
    seen_on: Optional[int]


class AlarmParts(TypedDict, total=False):
    """The same of an alarm."""

    name: str
    since: float
    told: int
    next_at: float
    ended_at: Optional[float]
    is_open: bool


class MemoryParts(TypedDict, total=False):
    """The same of a memory."""

    state: State
    since: float
    began_at: float
    looked_at: Optional[float]
    boot_ahead: Optional[float]
    sightings: dict[int, Sighting]
    read_at: Optional[float]
    is_blind: bool
    global_maintenance: Optional[bool]
    global_is_old: bool
    global_problem: Optional[ProblemWord]
    global_problem_since: Optional[float]
    global_until: Optional[int]
    global_ended_at: Optional[float]
    failed: FailedStarts
    well_since: Optional[float]
    vm: Optional[VmWatch]
    moves: Moves
    better_since: Optional[float]
    named_since: Optional[float]
    arriving_since: Optional[float]
    claimed_at: Optional[float]
    refused_at: Optional[float]
    draining_since: Optional[float]
    keeps_engine: bool
    has_let_go: bool
    alarms: tuple[RaisedAlarm, ...]


# What a value of each kind consists of: names and types of its parts.
PARTS: Final[dict[Any, Any]] = {
    FailedStarts: FailedParts,
    VmWatch: WatchParts,
    Moves: MovesParts,
    RaisedAlarm: AlarmParts,
    Memory: MemoryParts,
    Sighting: SightingParts,
    EngineStatus: EngineParts,
    SlotProblem: ProblemParts,
    HostRecord: RecordParts,
    Whiteboard: WhiteboardParts,
    LocalVm: VmParts,
    LeaseView: LeaseParts,
    Reading: ReadingParts,
    Snapshot: SnapshotParts,
    Readings: ReadingsParts,
    Result: ResultParts,
    GlobalBlock: GlobalParts,
    Facts: FactsParts,
    Liveness: LivenessParts,
    Placement: PlacementParts,
}


def to_plain(value: Union[Memory, Snapshot, HostRecord]) -> dict[str, Any]:
    """Return a memory, a snapshot or a record as an object of plain values, fit for JSON."""
    return dict(_converter().unstructure(value))


def memory_from_plain(plain: dict[str, Any]) -> Memory:
    """
    Read a memory back; the same one that `to_plain` was given.

    Raises:
        cattrs.BaseValidationError: the object is of another form.
    """
    return _converter().structure(plain, Memory)


def snapshot_from_plain(plain: dict[str, Any]) -> Snapshot:
    """
    Read a snapshot back; the same one that `to_plain` was given.

    Raises:
        cattrs.BaseValidationError: the object is of another form.
    """
    return _converter().structure(plain, Snapshot)


def record_from_plain(plain: dict[str, Any]) -> HostRecord:
    """
    Read a record back; the same one that `to_plain` was given.

    Raises:
        cattrs.BaseValidationError: the object is of another form.
    """
    return _converter().structure(plain, HostRecord)


def teach(converter: cattrs.Converter) -> None:
    """
    Tell a converter what the values of this package consist of.

    A compiled class does not know the types of its parts.
    """
    for content in (Union[HostRecord, SlotProblem], Union[HostRecord, SlotProblem, None]):
        converter.register_structure_hook(content, lambda plain, _: _content(converter, plain))
    converter.register_structure_hook_func(
        lambda kind: isinstance(kind, type) and kind in PARTS,
        lambda plain, kind: _made(converter, plain, kind),
    )
    converter.register_unstructure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, Value),
        lambda value: converter.unstructure(value._asdict()),
    )
    # JSON has no sets.
    converter.register_unstructure_hook_func(
        lambda kind: getattr(kind, "__origin__", kind) is frozenset, sorted
    )


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    teach(converter)
    return converter


def _made(converter: cattrs.Converter, plain: Any, kind: Any) -> Any:
    """Make a value of its parts; what a later release has added is left out."""
    found = converter.structure(plain, PARTS[kind])
    parts = {name: part for name, part in found.items() if name in PARTS[kind].__annotations__}
    try:
        return kind(**parts)
    except (TypeError, ValueError) as error:
        raise cattrs.BaseValidationError(str(error), [error], kind) from error


def _content(converter: cattrs.Converter, plain: Any) -> Union[HostRecord, SlotProblem, None]:
    """Read a slot: a problem has a word, a record has a score."""
    if plain is None:
        return None
    if "word" in plain:
        return converter.structure(plain, SlotProblem)
    return converter.structure(plain, HostRecord)
