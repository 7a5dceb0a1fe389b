"""What the monitors read, and what stands on the storage: records, whiteboards, clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from hypothesis import strategies as st

from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.metadata.record import EngineStatus, HostRecord, ProblemWord, SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.policy import TALK, Policy
from he_fsm.snapshot import Health, LocalVm, Reading, Readings, VmState
from he_fsm.testing.strategies.drawing import (
    GRID_S,
    Content,
    Draw,
    booleans,
    eighths,
    one_in_eight,
    whole,
)
from he_fsm.testing.strategies.policies import age_s, ages, any_policies, limits_s
from he_fsm.tick import engine_status

_fractions = st.sampled_from([0.0, 0.2, 0.5, 1.0]) | st.floats(0.0, 1.0)
_bridges = st.sampled_from([0.0, 1.0])
_loads = st.sampled_from([0.0, 0.4, 0.8, 0.9]) | st.floats(0.0, 3.0)
_sizes = st.sampled_from([0.0, 4095.0, 4096.0]) | st.floats(0.0, 1e6)


@st.composite
def readings(draw: Draw, policy: Policy) -> Readings:
    """Return what all monitors of a host read, each of its own age."""
    limits = limits_s(policy)

    def one(values: st.SearchStrategy[float]) -> Reading:
        value = draw(values) if draw(booleans) else None
        return whole(Reading, value=value, age_s=age_s(draw(ages), limits))

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
_timestamps = st.integers(0, 3)


def _score(draw: Draw, policy: Policy) -> int:
    """Draw a score: equal ones, 0, and now and then one that no host of this policy can have."""
    top = policy.score_max
    usual = [top, top, top, top // 2, max(0, top - policy.migration_threshold), 0, top + 1]
    number = draw(eighths)
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
        stopped=draw(one_in_eight),
        conf_on_shared_storage=True,
        local_conf_timestamp=0,
        parse_version=1,
        feature_version=1,
        watchdog_s=draw(st.sampled_from([None, policy.watchdog_s, policy.watchdog_s + GRID_S])),
        text="",
    )


problem_words = st.sampled_from(ProblemWord)
newer_timestamps = st.none() | st.integers(0, 3)


def _problem(draw: Draw, host_id: int) -> SlotProblem:
    return whole(
        SlotProblem,
        host_id=host_id,
        word=draw(problem_words),
        detail="damaged by this test",
        newer_timestamp=draw(newer_timestamps),
    )


def draw_slot(draw: Draw, host_id: int, policy: Policy) -> Content:
    """Draw what one slot holds: mostly a record, else damage or nothing."""
    kind = draw(eighths)
    if kind == 6:
        return None
    return _problem(draw, host_id) if kind == 7 else draw_record(draw, host_id, policy)


def draw_whiteboard(
    draw: Draw, hosts: Sequence[int], policy: Policy, global_block: GlobalBlock
) -> Whiteboard:
    """Draw the slots of *hosts*, in any order."""
    slots = {host_id: draw_slot(draw, host_id, policy) for host_id in draw(st.permutations(hosts))}
    used = {host_id: content for host_id, content in slots.items() if content is not None}
    return whole(Whiteboard, global_block=global_block, slots=used)


NO_MAINTENANCE = whole(GlobalBlock, maintenance=False, problem=None, rejected_lines=0, until=None)
global_flags = st.sampled_from([True, False, None])


def draw_global_block(draw: Draw) -> GlobalBlock:
    """Draw slot 0: either value, or one that can't be read."""
    flag = draw(global_flags)
    problem = _problem(draw, 0) if flag is None and draw(booleans) else None
    return whole(GlobalBlock, maintenance=flag, problem=problem, rejected_lines=0, until=None)


@attrs.frozen(kw_only=True)
class Cluster:
    """What stands on the storage, and who is known to live or not known to be dead."""

    policy: Policy
    records: Mapping[int, HostRecord]
    alive: frozenset[int]
    pending: frozenset[int]


@st.composite
def clusters(draw: Draw, least: int = 2, most: int = 8) -> Cluster:
    """Return clusters of *least* to *most* hosts; some alive, some pending, some dead."""
    policy = draw(any_policies)
    hosts = draw(st.lists(host_ids, min_size=least, max_size=most, unique=True))
    fates = {host_id: draw(eighths) for host_id in hosts}
    return Cluster(
        policy=policy,
        records={host_id: draw_record(draw, host_id, policy) for host_id in hosts},
        alive=frozenset(host_id for host_id in hosts if fates[host_id] < 6),
        pending=frozenset(host_id for host_id in hosts if fates[host_id] == 6),
    )


@st.composite
def whiteboards(draw: Draw, policy: Policy = TALK) -> Whiteboard:
    """Return whiteboards of one to four hosts: records, damaged slots, any slot 0."""
    hosts = draw(st.lists(host_ids, min_size=1, max_size=4, unique=True))
    return draw_whiteboard(draw, hosts, policy, draw_global_block(draw))


@st.composite
def records(draw: Draw, policy: Policy = TALK) -> HostRecord:
    """Return one host's record."""
    return draw_record(draw, draw(host_ids), policy)
