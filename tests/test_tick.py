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
from he_fsm.memory import FailedStarts
from he_fsm.metadata.codec import decode_slot
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.snapshot import LeaseView, Reading
from he_fsm.tick import (
    Facts,
    Identity,
    decide,
    engine_status,
    make_block,
    make_record,
    next_look,
    rate_host,
    read_whiteboard,
)
from tests.scenes import NOW, Scene, around, record
from tests.strategies import Situation, situations

IDENTITY = Identity(host_id=1, hostname="host1.example.com")
FACTS = Facts(
    now=NOW + 0.875,
    wall_offset_s=1_700_000_000.0,
    readings=Readings.of(),
    vm=LocalVm(VmState.ABSENT),
    leases=LeaseView(),
)


def facts(**changes: Any) -> Facts:
    return attrs.evolve(FACTS, **changes)


def failed(count: int, ago_s: float) -> Memory:
    return Memory(failed=FailedStarts(count=count, last_at=FACTS.now - ago_s))


def test_a_healthy_host_has_the_highest_score() -> None:
    assert rate_host(Memory(), FACTS, IDENTITY, TALK).total == 2400


@around
def test_failed_starts_cost_until_they_are_forgotten(late_s: float, is_due: bool) -> None:
    memory = failed(2, 600 + late_s)
    assert rate_host(memory, FACTS, IDENTITY, TALK).total == (2400 if is_due else 2300)
    blocked = failed(3, 600 + late_s)
    assert rate_host(blocked, FACTS, IDENTITY, TALK).total == (2400 if is_due else 0)


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
    found = make_record(facts(local_maintenance=True), IDENTITY, 1234)
    assert found == HostRecord(
        host_id=1,
        timestamp=10_000,
        score=1234,
        engine=engine_status(FACTS.vm),
        hostname="host1.example.com",
        local_maintenance=True,
        stopped=False,
    )


def test_a_later_release_writes_its_own_version() -> None:
    newer = attrs.evolve(IDENTITY, version=2)
    found = make_record(FACTS, newer, 0)
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
    made = make_record(FACTS, IDENTITY, 2400, claims_lease=True)
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
    made = make_record(found, IDENTITY, 1400)
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
        "bridge=False",
        "cpu-load=unknown",
        "engine-health=vm-down",
        "gateway=0.8",
        "maintenance=False",
        "mem-free=unknown",
        "mem-load=0.1",
        "score-why=-1000 gateway (down)",
        "state=EngineDown",
        "stopped=False",
    ]


@pytest.mark.parametrize(
    ("gateway", "word"), [(None, "unknown"), (1.0, "True"), (0.0, "False"), (0.4, "0.4")]
)
def test_a_fraction_is_shown_as_yes_no_or_a_number(gateway: Optional[float], word: str) -> None:
    found = facts(readings=Readings.of(gateway=gateway))
    block = make_block(make_record(found, IDENTITY, 1), Memory(), found, "")
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
    )
    assert decision == step(situation.memory, snapshot, situation.policy)


def test_the_next_look_is_at_the_next_loop_or_when_the_answer_may_change() -> None:
    stays = Scene(state=State.ENGINE_DOWN, engine_on=2).step()
    assert stays.wake_at == NOW + TALK.dead_after_s
    assert next_look(stays, NOW + 10) == NOW + 10
    assert next_look(stays, NOW + 100) == stays.wake_at
    taken = Scene(state=State.ENGINE_DOWN, local_maintenance=True).step()
    assert next_look(taken, NOW + 10) == NOW
