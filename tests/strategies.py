"""
What the properties are tried on: policies, records, whiteboards, memories, snapshots.

Every field of every class is named here and none is inferred: a new field breaks the tests until
somebody has thought about its values (see `whole`). Times are multiples of `GRID_S`, a
power of two, so that sums of them are exact. What depends on a policy is drawn as a
plain number and read afterwards: making strategies anew for each example takes most of the time.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional, TypeVar, Union

import attrs
from hypothesis import strategies as st

from he_fsm.memory import FailedStarts, Memory, Moves, Sighting, VmWatch
from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.metadata.record import EngineStatus, HostRecord, ProblemWord, SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.policy import OVIRT, TALK, Policy
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
from he_fsm.tick import engine_status
from tests.scenes import NOW

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[Any]], Any]
Content = Union[HostRecord, SlotProblem, None]

GRID_S = 0.25
# Equal hosts start a part of this apart: it can be divided by 1, 2 and 3 without leaving the grid.
STAGGER_UNIT_S = 6 * GRID_S


@functools.cache
def _fields_of(of: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(of).parameters)


def whole(of: Callable[..., T], **values: Any) -> T:
    """Build *of* from a value for each of its fields; none may be left out."""
    known = _fields_of(of)
    if known != set(values):
        msg = f"{of!r}: not the fields that it has: {sorted(known ^ set(values))}"
        raise TypeError(msg)
    return of(**values)


def steps(least_s: float, most_s: float) -> st.SearchStrategy[float]:
    """Give times on the grid, both ends included."""
    first, last = round(least_s / GRID_S), round(most_s / GRID_S)
    return st.integers(first, last).map(lambda n: n * GRID_S)


booleans = st.booleans()


# Policies.

_weights = st.sampled_from([0, 100, 400, 1000]) | st.integers(0, 1000)
_seconds = steps(GRID_S, 10)
_seconds_or_none = steps(0, 5)
_count = st.integers(0, 4)


@st.composite
def policies(draw: Draw) -> Policy:
    """Give policies that fit together, with times of seconds, not minutes: short runs show all."""
    loop_s = draw(steps(GRID_S, 3))
    stagger_total_s = draw(_count) * STAGGER_UNIT_S
    kill_grace_s = draw(_seconds_or_none)
    backoff_s = draw(_seconds)
    return whole(
        Policy,
        name="drawn",
        base_score=draw(st.none() | st.integers(1, 4000)),
        gateway_weight=draw(_weights),
        bridge_weight=draw(_weights),
        memory_weight=draw(_weights),
        cpu_load_weight=draw(_weights),
        mem_load_weight=draw(_weights),
        config_weight=draw(_weights),
        cpu_load_low=draw(st.sampled_from([0.0, 0.4, 0.8])),
        cpu_load_high=draw(st.sampled_from([0.8, 0.9, 1.5])),
        mem_load_limit=draw(st.sampled_from([0.0, 0.5, 0.8])),
        failed_start_penalty=draw(st.integers(0, 200)),
        failed_starts_max=draw(st.integers(1, 4)),
        failed_starts_forget_s=2 * draw(_seconds),
        reading_age_max_s=loop_s + draw(_seconds),
        dead_after_s=max(2 * loop_s, stagger_total_s) + draw(_seconds),
        settle_loops=float(draw(_count)),
        stagger_s=draw(_seconds_or_none),
        stagger_total_s=stagger_total_s,
        lease_claim_s=draw(_seconds_or_none),
        refused_retry_s=draw(_seconds),
        start_timeout_s=2 * draw(_seconds),
        bad_health_s=2 * draw(_seconds),
        paused_limit_s=draw(_seconds),
        stop_timeout_s=draw(_seconds),
        power_off_retry_s=draw(_seconds),
        migration_threshold=draw(st.integers(1, 1000)),
        migration_hold_s=draw(_seconds_or_none),
        migration_timeout_s=draw(_seconds),
        migration_backoff_s=backoff_s,
        migration_backoff_max_s=backoff_s * 2 ** draw(_count),
        move_by_restart=draw(booleans),
        empty_global_is_none=draw(booleans),
        loop_s=loop_s,
        io_timeout_s=draw(_seconds),
        watchdog_s=kill_grace_s + draw(_seconds),
        kill_grace_s=kill_grace_s,
    )


any_policies = st.sampled_from([TALK, OVIRT]) | policies()

# How long ago something was, as a number for `age_s`.
_ages = st.integers(0, 239)


def limits_s(policy: Policy) -> list[float]:
    """Give every time that a policy names."""
    named = [value for name, value in attrs.asdict(policy).items() if name.endswith("_s")]
    return sorted({*named, policy.settle_s, policy.lease_expiry_s})


def age_s(number: int, limits: Sequence[float]) -> float:
    """Read an age: half of them up to 30 s, half just under, at or over one of *limits*."""
    half = 120
    if number < half:
        return number * GRID_S
    index, side = divmod(number - half, 3)
    return max(0.0, limits[index % len(limits)] + (side - 1) * GRID_S)


# What the monitors read.

_fractions = st.sampled_from([0.0, 0.2, 0.5, 1.0]) | st.floats(0.0, 1.0)
_bridges = st.sampled_from([0.0, 1.0])
_loads = st.sampled_from([0.0, 0.4, 0.8, 0.9]) | st.floats(0.0, 3.0)
_sizes = st.sampled_from([0.0, 4095.0, 4096.0]) | st.floats(0.0, 1e6)


@st.composite
def readings(draw: Draw, policy: Policy) -> Readings:
    """Give what all monitors of a host read, each of its own age."""
    limits = limits_s(policy)

    def one(values: st.SearchStrategy[float]) -> Reading:
        value = draw(values) if draw(booleans) else None
        return whole(Reading, value=value, age_s=age_s(draw(_ages), limits))

    return whole(
        Readings,
        gateway=one(_fractions),
        bridge=one(_bridges),
        mem_free=one(_sizes),
        cpu_load=one(_loads),
        mem_load=one(_loads),
        config_is_current=draw(booleans),
    )


# The whiteboard.

host_ids = st.integers(1, 9) | st.integers(1, HOST_ID_MAX)
_engines = st.sampled_from(
    [
        *[engine_status(LocalVm(VmState.ABSENT))] * 64,
        *[engine_status(LocalVm(state, health)) for state in VmState for health in Health],
        *[engine_status(LocalVm(VmState.ABSENT), claims_lease=True)] * 4,
        EngineStatus("down_unexpected", "bad", "Down", "bad vm status"),
        EngineStatus("up", "unknown", "Up"),
    ]
)
_score_numbers = st.integers(0, 7)
_timestamps = st.integers(0, 3)


def _score(draw: Draw, policy: Policy) -> int:
    """Draw a score: equal ones, 0, and now and then one that no host of this policy can have."""
    top = policy.score_max
    usual = [top, top, top, top // 2, max(0, top - policy.migration_threshold), 0, top + 1]
    number = draw(_score_numbers)
    return usual[number] if number < len(usual) else draw(st.integers(0, 4000))


def draw_record(draw: Draw, host_id: int, policy: Policy) -> HostRecord:
    """Draw one host's record. Timestamps are few, so that they repeat, grow and go back."""
    return whole(
        HostRecord,
        host_id=host_id,
        timestamp=draw(_timestamps),
        score=_score(draw, policy),
        engine=draw(_engines),
        hostname=f"host{host_id}.example.com",
        local_maintenance=False,
        stopped=draw(_one_in_eight),
        conf_on_shared_storage=True,
        local_conf_timestamp=0,
        parse_version=1,
        feature_version=1,
        text="",
    )


_one_in_eight = st.integers(0, 7).map(lambda n: n == 7)
_words = st.sampled_from(ProblemWord)
_newer = st.none() | st.integers(0, 3)


def _problem(draw: Draw, host_id: int) -> SlotProblem:
    return whole(
        SlotProblem,
        host_id=host_id,
        word=draw(_words),
        detail="damaged by this test",
        newer_timestamp=draw(_newer),
    )


def _slot(draw: Draw, host_id: int, policy: Policy) -> Content:
    """Draw what one slot holds: mostly a record, else damage or nothing."""
    kind = draw(_score_numbers)
    if kind == 6:
        return None
    return _problem(draw, host_id) if kind == 7 else draw_record(draw, host_id, policy)


def _whiteboard(
    draw: Draw, hosts: Sequence[int], policy: Policy, global_block: GlobalBlock
) -> Whiteboard:
    slots = {host_id: _slot(draw, host_id, policy) for host_id in draw(st.permutations(hosts))}
    used = {host_id: content for host_id, content in slots.items() if content is not None}
    return whole(Whiteboard, global_block=global_block, slots=used)


NO_MAINTENANCE = whole(GlobalBlock, maintenance=False, problem=None, rejected_lines=0)
_global_flags = st.sampled_from([True, False, None])


def _global_block(draw: Draw) -> GlobalBlock:
    flag = draw(_global_flags)
    problem = _problem(draw, 0) if flag is None and draw(booleans) else None
    return whole(GlobalBlock, maintenance=flag, problem=problem, rejected_lines=0)


@attrs.frozen(kw_only=True)
class Cluster:
    """What stands on the storage, and who is known to live or not known to be dead."""

    policy: Policy
    records: Mapping[int, HostRecord]
    alive: frozenset[int]
    pending: frozenset[int]


@st.composite
def clusters(draw: Draw, least: int = 2, most: int = 8) -> Cluster:
    """Give clusters of *least* to *most* hosts; some alive, some pending, some dead."""
    policy = draw(any_policies)
    hosts = draw(st.lists(host_ids, min_size=least, max_size=most, unique=True))
    fates = {host_id: draw(_score_numbers) for host_id in hosts}
    return Cluster(
        policy=policy,
        records={host_id: draw_record(draw, host_id, policy) for host_id in hosts},
        alive=frozenset(host_id for host_id in hosts if fates[host_id] < 6),
        pending=frozenset(host_id for host_id in hosts if fates[host_id] == 6),
    )


# What a host remembers.

states = st.sampled_from(State)
_kinds_of_sighting = st.sampled_from(["none", "same", "same", "older", "older", "any"])


class _Past:
    """Moments before now, near the limits of a policy."""

    def __init__(self, draw: Draw, policy: Policy) -> None:
        self._draw = draw
        self._limits = limits_s(policy)

    def moment(self) -> float:
        return NOW - age_s(self._draw(_ages), self._limits)

    def moment_or_none(self) -> Optional[float]:
        return self.moment() if self._draw(booleans) else None


def draw_sighting(
    draw: Draw, past: _Past, host_id: int, content: Content, policy: Policy
) -> Optional[Sighting]:
    """Draw what was seen of a host whose slot now holds *content*: often that or one earlier."""
    kind = draw(_kinds_of_sighting)
    if kind == "none":
        return None
    since = past.moment()
    grew_at = past.moment_or_none()
    record = content if isinstance(content, HostRecord) else draw_record(draw, host_id, policy)
    if kind == "older":
        record = attrs.evolve(record, timestamp=record.timestamp - 1)
    if kind != "any":
        return whole(
            Sighting,
            content=content if kind == "same" else record,
            timestamp=record.timestamp,
            grew_at=None if grew_at is None else max(grew_at, since),
            since=since,
            record=record,
            problem=None,
            newer_timestamp=None,
            is_newer=False,
        )
    return whole(
        Sighting,
        content=_slot(draw, host_id, policy),
        timestamp=draw(_newer),
        grew_at=grew_at,
        since=since,
        record=record if draw(booleans) else None,
        problem=draw(st.none() | _words),
        newer_timestamp=draw(_newer),
        is_newer=draw(_one_in_eight),
    )


def _watch(draw: Draw, past: _Past) -> VmWatch:
    return whole(
        VmWatch,
        since=past.moment(),
        started_here=draw(booleans),
        was_good=draw(booleans),
        bad_since=past.moment_or_none(),
        paused_since=past.moment_or_none(),
        power_off_at=past.moment_or_none(),
    )


def _moves(draw: Draw, past: _Past, hosts: Sequence[int]) -> Moves:
    return whole(
        Moves,
        target=draw(st.none() | st.sampled_from(hosts)),
        failures=draw(st.integers(0, 40)),
        failed_at=past.moment(),
        moves=draw(st.integers(0, 40)),
        moved_at=past.moment(),
    )


_NO_MOVES = whole(Moves, target=None, failures=0, failed_at=0.0, moves=0, moved_at=0.0)
_NO_FAILED_STARTS = whole(FailedStarts, count=0, last_at=0.0)

# What a host sees.

_results = st.lists(
    st.sampled_from(
        [whole(Result, outcome=outcome, detail=word) for outcome in Outcome for word in ("", "why")]
    ),
    min_size=1,
    max_size=3,
)
_owner_states = st.sampled_from(OwnerState)
FREE_LEASE = whole(
    LeaseView,
    owner=None,
    owner_state=OwnerState.FREE,
    free_at=None,
    dead_hosts=frozenset(),
    joined=True,
    held_by_other=False,
)


def _leases(draw: Draw, past: _Past, hosts: Sequence[int]) -> LeaseView:
    some = st.sampled_from(hosts)
    free_at = past.moment_or_none()
    if free_at is not None and draw(booleans):
        free_at = NOW + (NOW - free_at)
    return whole(
        LeaseView,
        owner=draw(st.none() | some),
        owner_state=draw(_owner_states),
        free_at=free_at,
        dead_hosts=frozenset(draw(st.lists(some, max_size=2))),
        joined=not draw(_one_in_eight),
        held_by_other=draw(_one_in_eight),
    )


@attrs.frozen(kw_only=True)
class Situation:
    """All that one decision is made from."""

    memory: Memory
    snapshot: Snapshot
    policy: Policy


# What departs from the usual in a situation, each on its own: once in so many cases and one.
_TROUBLES = {
    "storage can't be read": 15,
    "was blind before": 7,
    "never read before": 7,
    "no lease manager": 15,
    "leases in any state": 3,
    "slot 0 in any state": 11,
    "another value of slot 0 remembered": 11,
    "local maintenance flag": 5,
    "superseded": 11,
    "a low score here": 2,
    "results": 3,
    "failed starts": 5,
    "moves": 3,
    "a VM is remembered": 5,
    "no VM is remembered": 5,
}
_troubles = st.tuples(*[st.integers(0, usual) for usual in _TROUBLES.values()]).map(
    lambda drawn: {name for name, n in zip(_TROUBLES, drawn) if n == _TROUBLES[name]}
)
_healths = st.sampled_from(Health)
_cluster_hosts = st.one_of(
    st.lists(host_ids, min_size=2, max_size=4, unique=True),
    st.lists(host_ids, min_size=1, max_size=4, unique=True),
)
# The VM's states that a state of the host has to do with; any other comes too.
_VM_OF = {
    State.UNKNOWN: (VmState.ABSENT, VmState.UP),
    State.ENGINE_DOWN: (VmState.ABSENT,),
    State.ENGINE_STARTING: (VmState.UP, VmState.STARTING, VmState.ABSENT),
    State.ENGINE_UP: (VmState.UP, VmState.UP, VmState.PAUSED),
    State.ENGINE_MIGRATING_AWAY: (VmState.LEAVING, VmState.UP, VmState.ABSENT),
    State.ENGINE_STOPPING: (VmState.STOPPING, VmState.PAUSED, VmState.ABSENT),
    State.LOCAL_MAINTENANCE: (VmState.ABSENT,),
    State.SCORE_BLOCKED: (VmState.ABSENT,),
    State.GLOBAL_MAINTENANCE: (VmState.ABSENT, VmState.UP),
}
_vm_states = {
    state: st.sampled_from([*usual * (12 // len(usual)), *VmState])
    for state, usual in _VM_OF.items()
}
_HAS_VM = frozenset(state for state, usual in _VM_OF.items() if usual[0] is not VmState.ABSENT)


@st.composite
def situations(
    draw: Draw,
    policies_of: st.SearchStrategy[Policy] = any_policies,
    states_of: st.SearchStrategy[State] = states,
) -> Situation:
    """Give situations: of every state, in every VM's state, with whatever the storage says."""
    policy = draw(policies_of)
    hosts = draw(_cluster_hosts)
    troubles = draw(_troubles)
    past = _Past(draw, policy)
    block = NO_MAINTENANCE
    if "slot 0 in any state" in troubles:
        block = _global_block(draw)
    board = _whiteboard(draw, hosts, policy, block)
    own_id = hosts[0]
    own = board.slots.get(own_id)
    if isinstance(own, HostRecord) and "a low score here" in troubles:
        own = attrs.evolve(own, score=0)
        board = attrs.evolve(board, slots={**board.slots, own_id: own})
    state = draw(states_of)
    # The flag is set more often than not where the state comes from it.
    is_set = ("local maintenance flag" in troubles) is not (state is State.LOCAL_MAINTENANCE)
    memory = _memory(draw, past, hosts, policy, board, state, troubles)
    leases: Optional[LeaseView] = FREE_LEASE
    if "no lease manager" in troubles:
        leases = None
    elif "leases in any state" in troubles:
        leases = _leases(draw, past, hosts)
    snapshot = whole(
        Snapshot,
        now=NOW,
        host_id=own_id,
        vm=whole(LocalVm, state=draw(_vm_states[state]), health=draw(_healths)),
        own=own if isinstance(own, HostRecord) else None,
        whiteboard=None if "storage can't be read" in troubles else board,
        leases=leases,
        local_maintenance=is_set,
        results=tuple(draw(_results)) if "results" in troubles else (),
    )
    return Situation(memory=memory, snapshot=snapshot, policy=policy)


def _memory(
    draw: Draw,
    past: _Past,
    hosts: Sequence[int],
    policy: Policy,
    board: Whiteboard,
    state: State,
    troubles: set[str],
) -> Memory:
    seen = {
        host_id: draw_sighting(draw, past, host_id, board.slots.get(host_id), policy)
        for host_id in hosts[1:]
    }
    sightings = {host_id: found for host_id, found in seen.items() if found is not None}
    if "superseded" in troubles:
        sightings = {i: found._replace(is_newer=True) for i, found in sightings.items()}
    failed = _NO_FAILED_STARTS
    if ("failed starts" in troubles) is not (state is State.SCORE_BLOCKED):
        failed = whole(FailedStarts, count=draw(st.integers(0, 5)), last_at=past.moment())
    read_at: Optional[float] = past.moment() if draw(booleans) else NOW - GRID_S
    if "never read before" in troubles:
        read_at = None
    remembers_vm = "a VM is remembered" in troubles or (
        state in _HAS_VM and "no VM is remembered" not in troubles
    )
    return whole(
        Memory,
        state=state,
        since=past.moment(),
        began_at=past.moment(),
        sightings=sightings,
        read_at=read_at,
        is_blind="was blind before" in troubles,
        global_maintenance=draw(_global_flags)
        if "another value of slot 0 remembered" in troubles
        else False,
        global_problem=None,
        failed=failed,
        vm=_watch(draw, past) if remembers_vm else None,
        moves=_moves(draw, past, hosts) if "moves" in troubles else _NO_MOVES,
        better_since=past.moment_or_none(),
        named_since=past.moment_or_none(),
        claimed_at=past.moment_or_none(),
        refused_at=past.moment_or_none(),
    )
