"""One pass of the loop: what is published, how it is scored, when to look again."""

from __future__ import annotations

from typing import Any, Optional

import attrs
import pytest
from hypothesis import given

from he_fsm import (
    OVIRT,
    TALK,
    Health,
    HostRecord,
    LocalVm,
    Memory,
    Readings,
    SlotProblem,
    Snapshot,
    State,
    VmState,
    Whiteboard,
    step,
)
from he_fsm.metadata.codec import decode_slot
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.remembered import FailedStarts
from he_fsm.snapshot import LeaseView, Reading
from he_fsm.testing.scenes import NOW, Scene, around, record
from he_fsm.testing.strategies import Situation, situations
from he_fsm.tick import (
    Facts,
    Identity,
    believed_vm,
    decide,
    engine_status,
    make_block,
    make_record,
    next_look,
    rate_host,
    read_whiteboard,
)

IDENTITY = Identity(host_id=1, hostname="host1.example.com")
FACTS = Facts(
    now=NOW + 0.875,
    wall_offset_s=1_700_000_000.0,
    readings=Readings.of(),
    vm=LocalVm(VmState.ABSENT),
    leases=LeaseView(),
)


def facts(**changes: Any) -> Facts:
    return FACTS._replace(**changes)


def failed(count: int, ago_s: float) -> Memory:
    return Memory(failed=FailedStarts(count=count, last_at=FACTS.now - ago_s))


def test_a_healthy_host_has_the_highest_score() -> None:
    assert rate_host(Memory(), FACTS, IDENTITY, TALK).total == 2400


@around
@pytest.mark.parametrize(("count", "block_s", "after"), [(3, 600, 2250), (5, 2400, 2150)])
def test_a_block_makes_a_host_worth_0_and_its_endings_cost_points_after_it(
    late_s: float, is_due: bool, count: int, block_s: float, after: int
) -> None:
    blocked = rate_host(failed(count, block_s + late_s), FACTS, IDENTITY, TALK)
    assert blocked.total == (after if is_due else 0)
    assert is_due or blocked.zero_because == f"{count} failed starts or bad endings"
    assert rate_host(failed(2, 600 + late_s), FACTS, IDENTITY, TALK).total == 2300


def test_fewer_endings_than_the_limit_block_nothing_even_in_the_moment_of_the_last_one() -> None:
    """Nor where a clock's rounding puts that moment a little after now."""
    ended = rate_host(failed(2, -0.001), FACTS, IDENTITY, TALK)
    assert (ended.total, ended.zero_because) == (2300, "")


def test_the_first_death_of_a_good_run_costs_nothing_and_each_later_ending_does() -> None:
    for count, good_runs, total in ((1, 1, 2400), (2, 2, 2350), (2, 1, 2350), (2, 0, 2300)):
        endings = FailedStarts(count=count, last_at=FACTS.now, good_runs=good_runs)
        assert rate_host(Memory(failed=endings), FACTS, IDENTITY, TALK).total == total


@around
def test_a_host_that_is_about_to_be_reset_is_worth_0_until_that_time_is_over(
    late_s: float, is_due: bool
) -> None:
    leases = LeaseView(doomed_until=FACTS.now - late_s, doom="sanlock has ended")
    doomed = rate_host(Memory(), facts(leases=leases), IDENTITY, TALK)
    assert doomed.total == (2400 if is_due else 0)
    assert doomed.zero_because == ("" if is_due else "sanlock has ended")


REACHES_NOTHING = Readings.of(bridge=0.0, gateway=0.0)


@pytest.mark.parametrize(
    ("health", "readings", "believed"),
    [
        (Health.SILENT, REACHES_NOTHING, Health.UNKNOWN),
        (Health.SILENT, Readings.of(bridge=None, gateway=None), Health.UNKNOWN),
        (Health.SILENT, Readings.of(bridge=0.0), Health.BAD),
        (Health.SILENT, Readings.of(gateway=0.0), Health.BAD),
        (Health.SILENT, Readings.of(bridge=0.0, gateway=0.2), Health.BAD),
        (Health.SILENT, Readings.of(), Health.BAD),
        # A wrong answer has come over the network, and a good one as well.
        (Health.BAD, REACHES_NOTHING, Health.BAD),
        (Health.GOOD, REACHES_NOTHING, Health.GOOD),
        (Health.UNKNOWN, Readings.of(), Health.UNKNOWN),
    ],
    ids=str,
)
def test_silence_says_something_about_the_engine_only_while_the_network_is_well(
    health: Health, readings: Readings, believed: Health
) -> None:
    vm = believed_vm(facts(vm=LocalVm(VmState.UP, health), readings=readings))
    assert vm == LocalVm(VmState.UP, believed)


@pytest.mark.parametrize("state", list(VmState))
def test_lesson_b20_memory_is_asked_of_hosts_without_the_vm_alone(state: VmState) -> None:
    found = facts(readings=Readings.of(mem_free=0.0), vm=LocalVm(state))
    total = rate_host(Memory(), found, IDENTITY, TALK).total
    without = {VmState.ABSENT: 2000, VmState.ARRIVING: 2000, VmState.UNKNOWN: 0}
    assert total == without.get(state, 2400)


def test_the_configuration_says_how_much_memory_the_vm_needs() -> None:
    found = facts(readings=Readings.of(mem_free=8000.0))
    big = attrs.evolve(IDENTITY, memory_needed_mib=16384.0)
    assert rate_host(Memory(), found, big, TALK).total == 2000
    for free, total in ((4096.0, 2400), (4095.9, 2000)):
        found = facts(readings=Readings.of(mem_free=free))
        assert rate_host(Memory(), found, IDENTITY, TALK).total == total


def test_the_local_maintenance_flag_makes_the_score_0_whatever_the_state() -> None:
    for state in State:
        found = rate_host(Memory(state=state), facts(local_maintenance=True), IDENTITY, TALK)
        assert (found.total, found.zero_because) == (0, "local maintenance")


def test_a_host_whose_hypervisor_is_silent_scores_0() -> None:
    found = rate_host(Memory(), facts(vm=LocalVm(VmState.UNKNOWN)), IDENTITY, TALK)
    assert (found.total, found.zero_because) == (0, "the hypervisor does not answer")


def test_the_record_says_what_the_host_knows_of_itself() -> None:
    found = make_record(facts(local_maintenance=True), IDENTITY, 1234, TALK)
    assert found == HostRecord(
        host_id=1,
        timestamp=10_000,
        score=1234,
        engine=engine_status(FACTS.vm),
        hostname="host1.example.com",
        local_maintenance=True,
        stopped=False,
        watchdog_s=TALK.watchdog_s,
    )


def test_a_later_release_writes_its_own_version() -> None:
    newer = attrs.evolve(IDENTITY, version=2)
    found = make_record(FACTS, newer, 0, TALK)
    assert (found.parse_version, found.feature_version) == (2, 2)


# What oVirt's agents read of us; the words are theirs.
@pytest.mark.parametrize(
    ("state", "is_good", "vm", "health", "detail", "rank"),
    [
        (VmState.ABSENT, False, "down", "bad", "unknown", 1),
        (VmState.STARTING, False, "up", "bad", "Powering up", 3),
        (VmState.UP, True, "up", "good", "Up", 4),
        (VmState.UP, False, "up", "bad", "Up", 3),
        (VmState.PAUSED, True, "up", "bad", "Paused", 2),
        (VmState.STOPPING, False, "up", "bad", "Powering down", 3),
        (VmState.LEAVING, True, "up", "good", "Migration Source", 4),
        (VmState.ARRIVING, False, "down", "bad", "Migration Destination", 1),
        (VmState.UNKNOWN, False, "unknown", "unknown", "unknown", 0),
    ],
)
def test_the_engines_status_is_in_ovirts_words(
    state: VmState, is_good: bool, vm: str, health: str, detail: str, rank: int
) -> None:
    found = engine_status(LocalVm(state, Health.GOOD if is_good else Health.BAD))
    assert (found.vm, found.health, found.detail, found.rank) == (vm, health, detail, rank)


def test_a_host_that_is_about_to_take_the_lease_says_so_and_its_vm_is_down_to_ovirts_agents() -> (
    None
):
    made = make_record(FACTS, IDENTITY, 2400, TALK, claims_lease=True)
    assert made.engine.claims_lease
    read = decode_slot(1, make_block(made, Memory(), FACTS, ""))
    assert read == made
    assert (made.engine.vm, made.engine.health) == ("down", "bad")
    assert made.engine.detail == "WaitForLaunch"


@pytest.mark.parametrize("state", [state for state in VmState if state is not VmState.ABSENT])
def test_a_vm_that_is_here_is_told_whatever_was_claimed(state: VmState) -> None:
    vm = LocalVm(state, Health.BAD)
    assert engine_status(vm, claims_lease=True) == engine_status(vm)
    assert not engine_status(vm).claims_lease


@pytest.mark.parametrize("state", list(VmState))
def test_health_that_is_not_known_is_not_called_good(state: VmState) -> None:
    unknown = engine_status(LocalVm(state, Health.UNKNOWN))
    assert unknown == engine_status(LocalVm(state, Health.BAD))
    assert unknown.health != "good"


def test_the_block_holds_the_record_and_a_text_for_people() -> None:
    found = facts(
        readings=attrs.evolve(
            Readings.of(gateway=0.8, bridge=0.0, mem_free=None), cpu_load=Reading(None, 5.0)
        )
    )
    made = make_record(found, IDENTITY, 1400, TALK)
    block = make_block(made, Memory(state=State.ENGINE_DOWN), found, "-1000 gateway (down)")
    assert len(block) == SLOT_BYTES
    decoded = decode_slot(1, block)
    assert decoded == made
    assert isinstance(decoded, HostRecord)
    assert decoded.text.splitlines() == [
        "metadata_parse_version=1",
        "metadata_feature_version=1",
        "timestamp=10000 (Wed Nov 15 01:00:00 2023)",
        "host-id=1",
        "score=1400",
        "vm_conf_refresh_time=0 (Tue Nov 14 22:13:20 2023)",
        "conf_on_shared_storage=True",
        "maintenance=False",
        "state=EngineDown",
        "stopped=False",
        "bridge=False",
        "cpu-load=unknown",
        "engine-health=vm-down",
        "gateway=0.8",
        "mem-free=unknown",
        "mem-load=0.1",
        "score-why=-1000 gateway (down)",
        "watchdog-fire-timeout=60 crc32:34763067",
    ]


def test_the_last_record_of_a_clean_stop_says_that_the_agent_has_stopped() -> None:
    made = make_record(FACTS, IDENTITY, 0, TALK, is_stopped=True)
    block = make_block(made, Memory(state=State.ENGINE_DOWN), FACTS, "the agent has stopped")
    read = decode_slot(1, block)
    assert isinstance(read, HostRecord)
    assert "state=AgentStopped" in read.text.splitlines()


@pytest.mark.parametrize(
    ("gateway", "word"), [(None, "unknown"), (1.0, "True"), (0.0, "False"), (0.4, "0.4")]
)
def test_a_fraction_is_shown_as_yes_no_or_a_number(gateway: Optional[float], word: str) -> None:
    found = facts(readings=Readings.of(gateway=gateway))
    block = make_block(make_record(found, IDENTITY, 1, TALK), Memory(), found, "")
    assert f"\ngateway={word}\n".encode() in block


def test_scores_that_the_policy_does_not_know_are_no_records() -> None:
    board = Whiteboard.build([record(2, 3400)])
    assert isinstance(read_whiteboard(board, IDENTITY, TALK).slots[2], SlotProblem)
    assert isinstance(read_whiteboard(board, IDENTITY, OVIRT).slots[2], HostRecord)


def test_a_record_of_a_newer_release_is_read_by_that_release_alone() -> None:
    board = Whiteboard.build([record(2)], version=2)
    newer = attrs.evolve(IDENTITY, version=2)
    assert isinstance(read_whiteboard(board, IDENTITY, TALK).slots[2], SlotProblem)
    assert isinstance(read_whiteboard(board, newer, TALK).slots[2], HostRecord)


@given(situation=situations())
def test_the_loop_decides_nothing_of_its_own(situation: Situation) -> None:
    seen = situation.snapshot
    found = facts(
        now=seen.now,
        vm=seen.vm,
        leases=seen.leases,
        local_maintenance=seen.local_maintenance,
        results=seen.results,
    )
    identity = attrs.evolve(IDENTITY, host_id=seen.host_id)
    decision = decide(
        situation.memory, found, seen.own, seen.whiteboard, identity, situation.policy
    )
    snapshot = Snapshot(
        now=seen.now,
        host_id=seen.host_id,
        vm=seen.vm,
        own=seen.own,
        whiteboard=seen.whiteboard,
        leases=seen.leases,
        local_maintenance=seen.local_maintenance,
        results=seen.results,
        wall_offset_s=found.wall_offset_s,
    )
    assert decision == step(situation.memory, snapshot, situation.policy)


def test_the_next_look_is_at_the_next_loop_or_when_the_answer_may_change() -> None:
    stays = Scene(state=State.ENGINE_DOWN, engine_on=2).step()
    assert stays.wake_at == NOW + TALK.dead_after_s
    assert next_look(stays, NOW + 10) == NOW + 10
    assert next_look(stays, NOW + 100) == stays.wake_at
    taken = Scene(state=State.ENGINE_DOWN, local_maintenance=True).step()
    assert next_look(taken, NOW + 10) == NOW


def test_a_host_that_could_not_read_scores_0_while_it_can_write() -> None:
    blind = Memory()._replace(is_blind=True)
    joined = FACTS._replace(leases=LeaseView(joined=True))
    assert rate_host(blind, joined, IDENTITY, TALK).total == 0
    assert rate_host(Memory(), joined, IDENTITY, TALK).total == TALK.score_max
