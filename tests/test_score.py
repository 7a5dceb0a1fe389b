"""Scores: against oVirt's own numbers, part by part, and as a function of each monitor."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Optional

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm import OVIRT, TALK, HostRecord, Policy, Readings, Score, score
from he_fsm.memory import Memory
from he_fsm.metadata.codec import decode_slot
from he_fsm.metadata.ovirt_fields import fields_of
from he_fsm.snapshot import LocalVm, Reading, VmState
from he_fsm.testing.strategies import any_policies, readings
from he_fsm.tick import Facts, Identity, make_block, make_record, rate_host

GOLDEN = json.loads((Path(__file__).parent / "golden" / "score-vectors.json").read_text())
VECTORS: list[dict[str, Any]] = GOLDEN["vectors"]

# oVirt asks no memory of a host in these states.
VM_IS_HERE = {"EngineUp", "EngineUpBadHealth", "GlobalMaintenance"}
# States of oVirt's in which a host has nothing to say; ours says that it can't act, or stops.
SILENT = {"ReinitializeFSM", "AgentStopped"}
# oVirt's penalty for a VM that died; see lesson B1.
UNEXPECTED = "EngineUnexpectedlyDown"


def golden_score(vector: dict[str, Any]) -> Score:
    # oVirt counts a memory that can't be read as none; with us that is a reading long overdue.
    free = vector["mem_free"]
    mem_free = Reading(None, age_s=1e6) if free is None else Reading(free)
    found = attrs.evolve(
        Readings.of(
            gateway=vector["network"],
            bridge=float(vector["bridge"]),
            cpu_load=vector["load_factor"],
            config_is_current=vector["conf_uptodate"],
        ),
        mem_free=mem_free,
    )
    return score(
        found,
        OVIRT,
        memory_needed_mib=vector["min_memory"],
        vm_is_here=vector["state"] in VM_IS_HERE,
        failed_starts=vector["retry_count"],
        local_maintenance=vector["state"] == "LocalMaintenance",
        can_act=vector["state"] not in SILENT,
    )


def vectors(*, unexpected: bool) -> pytest.MarkDecorator:
    chosen = [vector for vector in VECTORS if (vector["state"] == UNEXPECTED) is unexpected]
    return pytest.mark.parametrize("vector", chosen, ids=range(len(chosen)))


def points(found: Score) -> dict[str, int]:
    return {part.name: part.points for part in found.parts}


@vectors(unexpected=False)
def test_policy_ovirt_scores_as_ovirt_does(vector: dict[str, Any]) -> None:
    assert golden_score(vector).total == vector["score"]


@vectors(unexpected=True)
def test_lesson_b1_a_vm_that_died_costs_its_host_nothing(vector: dict[str, Any]) -> None:
    assert vector["score"] == 0
    assert golden_score(vector).total == golden_score({**vector, "state": "EngineDown"}).total > 0


def test_the_golden_configuration_is_policy_ovirts() -> None:
    config = GOLDEN["config"]
    assert OVIRT.score_max == config["base-score"]
    assert OVIRT.gateway_weight == config["network-score-penalty"]
    assert OVIRT.bridge_weight == config["mgmt-bridge-score-penalty"]
    assert OVIRT.memory_weight == config["free-memory-score-penalty"]
    assert OVIRT.cpu_load_weight == config["cpu-load-score-penalty"]
    assert OVIRT.config_weight == config["not-uptodate-config-penalty"]
    assert OVIRT.failed_start_penalty == config["engine-retry-score-penalty"]
    assert OVIRT.cpu_load_low == config["cpu-load-penalty-min"]
    assert OVIRT.cpu_load_high == config["cpu-load-penalty-max"]


# The talk's table, one fact at a time.
@pytest.mark.parametrize(
    ("change", "total"),
    [
        ({}, 2400),
        ({"gateway": 0.0}, 1400),
        ({"gateway": 0.5}, 1900),
        ({"gateway": 0.8}, 2201),
        ({"gateway": 0.999}, 2399),
        ({"gateway": 0.9995}, 2400),
        ({"bridge": 0.0}, 1600),
        ({"mem_free": 4096.0}, 2400),
        ({"mem_free": 4095.9}, 2000),
        ({"mem_free": 0.0}, 2000),
        ({"cpu_load": 0.79}, 2400),
        ({"cpu_load": 0.8}, 2300),
        ({"cpu_load": 5.0}, 2300),
        ({"mem_load": 0.79}, 2400),
        ({"mem_load": 0.8}, 2300),
        ({"config_is_current": False}, 2400),
        ({"gateway": 0.0, "bridge": 0.0, "mem_free": 0.0, "cpu_load": 1.0, "mem_load": 1.0}, 1),
    ],
    ids=str,
)
def test_each_monitor_is_worth_what_the_talk_says(change: dict[str, Any], total: int) -> None:
    found = score(Readings.of(**change), TALK)
    assert found.total == total
    assert found.zero_because == ""


@pytest.mark.parametrize(
    ("facts", "total", "why"),
    [
        ({"failed_starts": 1}, 2350, "-50 failed starts (1 of them)"),
        ({"failed_starts": 2}, 2300, "-100 failed starts (2 of them)"),
        ({"failed_starts": 3}, 0, "3 failed starts"),
        ({"failed_starts": 4}, 0, "4 failed starts"),
        ({"local_maintenance": True}, 0, "local maintenance"),
        ({"can_act": False}, 0, "the hypervisor does not answer"),
        ({"local_maintenance": True, "can_act": False}, 0, "local maintenance"),
        ({"can_act": False, "failed_starts": 3}, 0, "the hypervisor does not answer"),
        ({}, 2400, "all is well"),
    ],
    ids=str,
)
def test_what_costs_the_host_points_is_said(facts: dict[str, Any], total: int, why: str) -> None:
    found = score(Readings.of(), TALK, **facts)
    assert (found.total, found.why) == (total, why)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"gateway": 0.0}, "-1000 gateway (down)"),
        ({"gateway": 0.4}, "-600 gateway (40% answered)"),
        ({"bridge": 0.0, "cpu_load": 0.95}, "-800 bridge (down), -100 cpu load (95% of capacity)"),
        ({"mem_free": 1000.0}, "-400 free memory (1000 MiB free, 4096 MiB needed)"),
        ({"mem_load": 0.8}, "-100 memory load (80% of capacity)"),
    ],
    ids=str,
)
def test_lesson_b39_each_loss_is_listed_with_its_fact(change: dict[str, Any], why: str) -> None:
    assert score(Readings.of(**change), TALK).why == why


def test_a_share_that_is_whole_is_up_and_one_that_is_nothing_is_down() -> None:
    def why(gateway: float) -> str:
        return score(Readings.of(gateway=gateway), TALK).parts[0].why

    assert [why(1.0), why(0.999), why(0.001), why(0.0)] == [
        *("up", "100% answered", "0% answered", "down")
    ]


def test_lesson_0_the_talks_limit_is_the_third_failed_start_not_the_fourth() -> None:
    totals = [score(Readings.of(), TALK, failed_starts=count).total for count in range(5)]
    assert totals == [2400, 2350, 2300, 0, 0]


def test_memory_is_compared_with_what_the_vm_needs() -> None:
    found = Readings.of(mem_free=8000.0)
    assert score(found, TALK, memory_needed_mib=8000.0).total == 2400
    assert score(found, TALK, memory_needed_mib=8000.5).total == 2000


MONITORS = ["gateway", "bridge", "mem_free", "cpu_load", "mem_load"]
PART_OF = {
    "gateway": "gateway",
    "bridge": "bridge",
    "mem_free": "free memory",
    "cpu_load": "cpu load",
    "mem_load": "memory load",
}
WEIGHT_OF = {"gateway": 1000, "bridge": 800, "mem_free": 400, "cpu_load": 100, "mem_load": 100}
BAD = {"gateway": 0.0, "bridge": 0.0, "mem_free": 0.0, "cpu_load": 9.0, "mem_load": 9.0}


def with_reading(monitor: str, reading: Reading) -> Readings:
    change: dict[str, Any] = {monitor: reading}
    return attrs.evolve(Readings.of(), **change)


@pytest.mark.parametrize("monitor", MONITORS)
def test_lesson_b23_a_monitor_without_a_value_yet_is_unknown_not_bad(monitor: str) -> None:
    found = score(with_reading(monitor, Reading(None, age_s=59.9)), TALK)
    assert found.total == 2400
    assert [part.why for part in found.parts if part.name == PART_OF[monitor]] == ["not yet known"]


@pytest.mark.parametrize("monitor", MONITORS)
@pytest.mark.parametrize("value", [None, "last known"])
@pytest.mark.parametrize(("age_s", "is_lost"), [(59.875, False), (60.0, False), (60.125, True)])
def test_a_reading_counts_until_its_limit_of_age(
    monitor: str, value: Optional[str], age_s: float, is_lost: bool
) -> None:
    last = None if value is None else getattr(Readings.of(), monitor).value
    found = score(with_reading(monitor, Reading(last, age_s)), TALK)
    assert found.total == (2400 - WEIGHT_OF[monitor] if is_lost else 2400)
    why = next(part.why for part in found.parts if part.name == PART_OF[monitor])
    assert (why == "no reading for 60 s") is is_lost


@pytest.mark.parametrize("monitor", MONITORS)
def test_a_bad_value_is_kept_as_long_as_a_good_one(monitor: str) -> None:
    found = score(with_reading(monitor, Reading(BAD[monitor], age_s=60.0)), TALK)
    assert found.total == 2400 - WEIGHT_OF[monitor]


@pytest.mark.parametrize("monitor", MONITORS)
def test_lesson_b7_every_monitor_is_looked_at_and_no_other_part_changes(monitor: str) -> None:
    good = score(Readings.of(), TALK)
    bad = score(with_reading(monitor, Reading(BAD[monitor])), TALK)
    name = PART_OF[monitor]
    assert points(bad)[name] == 0
    assert good.total - bad.total == WEIGHT_OF[monitor]
    rest = {other: value for other, value in points(good).items() if other != name}
    assert {other: value for other, value in points(bad).items() if other != name} == rest


@pytest.mark.parametrize("free", [0.0, 4095.0, None])
def test_lesson_b20_the_memory_that_the_vm_uses_is_not_held_against_its_host(
    free: Optional[float],
) -> None:
    found = with_reading("mem_free", Reading(free, age_s=1e6))
    assert score(found, TALK, vm_is_here=True).total == 2400
    assert score(found, TALK, vm_is_here=False).total == 2000


def test_lesson_b22_lost_pings_cost_in_proportion() -> None:
    totals = [score(Readings.of(gateway=n / 5), TALK).total for n in range(6)]
    assert totals == [1400, 1600, 1800, 2000, 2201, 2400]


def test_the_load_costs_in_proportion_between_its_limits() -> None:
    loads = [0.0, 0.4, 0.5, 0.65, 0.9, 2.0]
    totals = [score(Readings.of(cpu_load=load), OVIRT).total for load in loads]
    assert totals == [3400, 3400, 3201, 2900, 2400, 2400]


facts = st.fixed_dictionaries(
    {
        "memory_needed_mib": st.sampled_from([1024.0, 4096.0, 16384.0]),
        "vm_is_here": st.booleans(),
        "failed_starts": st.integers(0, 6),
        "local_maintenance": st.booleans(),
        "can_act": st.booleans(),
    }
)
rated = any_policies.flatmap(lambda policy: st.tuples(st.just(policy), readings(policy)))


def test_the_floor_is_not_above_the_highest_score() -> None:
    weights = ("gateway", "bridge", "memory", "cpu_load", "mem_load", "config")
    weightless = attrs.evolve(TALK, **{f"{name}_weight": 0 for name in weights})
    assert weightless.score_max == 0
    assert score(Readings.of(), weightless).total == 0


@given(rated=rated, facts=facts)
def test_a_score_is_between_0_and_the_policys_highest(
    rated: tuple[Policy, Readings], facts: dict[str, Any]
) -> None:
    policy, found = rated
    result = score(found, policy, **facts)
    assert 0 <= result.total <= policy.score_max
    assert isinstance(result.total, int)


@given(rated=rated, facts=facts)
def test_lesson_b39_the_parts_add_up_and_each_says_why(
    rated: tuple[Policy, Readings], facts: dict[str, Any]
) -> None:
    policy, found = rated
    result = score(found, policy, **facts)
    lost = sum(part.weight - part.points for part in result.parts)
    if result.zero_because:
        assert result.total == 0
        assert result.why == result.zero_because
    else:
        # A policy whose weights are all 0 has no points from which the floor could be taken.
        floor = min(policy.score_floor, policy.score_max)
        assert result.total == max(floor, policy.score_max - lost)
    for part in result.parts:
        assert part.why
        assert part.points <= part.weight
        if part.name != "failed starts":
            assert part.points >= 0
        if part.points != part.weight and not result.zero_because:
            assert f"{part.name} ({part.why})" in result.why


@given(rated=rated, facts=facts)
def test_the_score_is_0_for_a_reason_or_the_sum_is(
    rated: tuple[Policy, Readings], facts: dict[str, Any]
) -> None:
    policy, found = rated
    is_out = (
        facts["local_maintenance"]
        or not facts["can_act"]
        or facts["failed_starts"] >= policy.failed_starts_max
    )
    assert bool(score(found, policy, **facts).zero_because) is is_out


@given(rated=rated, facts=facts, monitor=st.sampled_from(MONITORS), other=st.floats(0.0, 1e5))
def test_a_better_value_of_any_monitor_never_costs_points(
    rated: tuple[Policy, Readings], facts: dict[str, Any], monitor: str, other: float
) -> None:
    policy, found = rated
    reading: Reading = getattr(found, monitor)
    if reading.value is None:
        return
    if monitor in {"gateway", "bridge"}:
        other %= 1.0
    totals = []
    for value in sorted([reading.value, other]):
        change: dict[str, Any] = {monitor: attrs.evolve(reading, value=value)}
        totals.append(score(attrs.evolve(found, **change), policy, **facts).total)
    lower, higher = totals
    if monitor in {"cpu_load", "mem_load"}:
        assert lower >= higher
    else:
        assert lower <= higher


@given(rated=rated, facts=facts)
def test_a_failed_start_never_helps(rated: tuple[Policy, Readings], facts: dict[str, Any]) -> None:
    policy, found = rated
    more = {**facts, "failed_starts": facts["failed_starts"] + 1}
    assert score(found, policy, **more).total <= score(found, policy, **facts).total


def test_a_stopped_agents_record_says_0_whatever_its_score() -> None:
    facts_now = Facts(
        now=100.0,
        wall_offset_s=0.0,
        readings=Readings.of(),
        vm=LocalVm(VmState.ABSENT),
        leases=None,
    )
    identity = Identity(host_id=1, hostname="host1.example.com")
    last: HostRecord = make_record(facts_now, identity, 2400, TALK, is_stopped=True)
    assert (last.score, last.stopped) == (0, True)


@pytest.mark.parametrize("name", ["gateway", "bridge", "mem_free", "cpu_load", "mem_load"])
@pytest.mark.parametrize("policy", [TALK, OVIRT])
def test_a_reading_that_is_not_a_number_costs_its_points_and_nothing_more(
    name: str, policy: Policy
) -> None:
    found = score(Readings.of(**{name: math.nan}), policy)
    (part,) = (part for part in found.parts if part.why == "the reading is not a number")
    assert part.points == 0
    assert found.total == max(policy.score_floor, policy.score_max - part.weight)
    for value in (math.inf, -math.inf):
        score(Readings.of(**{name: value}), policy)


PREFERENCES = st.integers(-100, 100)


@given(case=rated, failed=st.integers(0, 5), preference=PREFERENCES)
def test_a_preference_moves_a_score_within_1_and_the_highest_and_allows_and_forbids_nothing(
    case: tuple[Policy, Readings], failed: int, preference: int
) -> None:
    policy, found = case
    without = score(found, policy, failed_starts=failed).total
    total = score(found, policy, failed_starts=failed, preference=preference).total
    assert (total == 0) is (without == 0)
    assert 0 <= total <= policy.score_max
    assert abs(total - without) <= abs(preference)
    assert type(total) is int


@given(case=rated, one=PREFERENCES, other=PREFERENCES)
def test_who_is_liked_more_never_scores_less(
    case: tuple[Policy, Readings], one: int, other: int
) -> None:
    policy, found = case
    scores = [score(found, policy, preference=each).total for each in sorted((one, other))]
    assert scores == sorted(scores)


@given(case=rated)
def test_no_preference_and_0_are_the_same(case: tuple[Policy, Readings]) -> None:
    policy, found = case
    assert score(found, policy, preference=0) == score(found, policy)


@given(case=rated, preference=PREFERENCES)
def test_a_record_with_a_preference_is_one_that_all_readers_believe(
    case: tuple[Policy, Readings], preference: int
) -> None:
    """oVirt's agents read the same first 512 bytes as ever, with another number in field 4."""
    policy, found = case
    identity = Identity(host_id=1, hostname="host1.example.com", preference=preference)
    facts = Facts(
        now=50.0, wall_offset_s=0.0, readings=found, vm=LocalVm(VmState.ABSENT), leases=None
    )
    mine = rate_host(Memory.beginning(0.0), facts, identity, policy)
    record = make_record(facts, identity, mine.total, policy)
    block = make_block(record, Memory.beginning(0.0), facts, mine.why)
    assert decode_slot(1, block, score_max=policy.score_max) == record
    assert fields_of(1, block)["score"] == mine.total


@pytest.mark.parametrize(
    ("preference", "total", "why"),
    [
        (-50, 2350, "-50 preference (host.preference)"),
        (50, 2400, "50 preference (host.preference)"),
        ("never", 0, "host.preference is never"),
    ],
)
def test_a_score_says_what_the_preference_did(preference: Any, total: int, why: str) -> None:
    found = score(Readings.of(), TALK, preference=preference)
    assert (found.total, found.why) == (total, why)


def test_of_a_host_that_can_start_nothing_the_reason_is_said_not_the_preference() -> None:
    found = score(Readings.of(), TALK, local_maintenance=True, preference="never")
    assert (found.total, found.why) == (0, "local maintenance")
