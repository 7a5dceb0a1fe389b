"""The checker can fail: each of these machines is wrong, and the property that breaks is named."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from he_fsm.check.properties import Property
from tests.check import wrong
from tests.check.exploring import broken, explored, judged

Wrong = Callable[[pytest.MonkeyPatch], None]
# The wrong machine, the property, how many faults show it, and the kinds among which they are.
# Where one host is enough to show it, there is one.
ALONE = {wrong.local_maintenance_is_ignored, wrong.a_restart_forgets_the_block}
# These replace functions of the product, not rows of its table.
REPLACED = {
    wrong.two_hosts_get_one_lease,
    wrong.nobody_kills_a_vm_whose_lease_has_run_out,
    wrong.liveness_goes_by_the_clocks,
    wrong.local_maintenance_is_ignored,
    wrong.a_restart_forgets_the_block,
}
MACHINES: list[tuple[Wrong, Property, int, str]] = [
    (wrong.two_hosts_get_one_lease, Property.TWO_ENGINES, 1, "vm cut"),
    (wrong.nobody_kills_a_vm_whose_lease_has_run_out, Property.TWO_ENGINES, 1, "cut"),
    (wrong.starts_without_asking_for_the_lease, Property.LEASE, 1, "crash agent"),
    (wrong.starts_beside_a_running_vm, Property.LEASE, 1, "outside"),
    (wrong.liveness_goes_by_the_clocks, Property.AGREEMENT, 1, "clock"),
    (wrong.nobody_takes_over, Property.RECOVERY, 1, "crash"),
    (wrong.a_hung_engine_is_left_alone, Property.RECOVERY, 1, "hang"),
    (wrong.nothing_is_adopted, Property.RECOVERY, 2, "outside hang"),
    (wrong.moves_to_whoever_is_as_good, Property.MIGRATIONS, 0, "clock"),
    (wrong.moves_to_a_dead_host, Property.MIGRATIONS, 1, "crash"),
    (wrong.a_blocked_host_never_tries_again, Property.WAY_OUT, 0, "clock"),
    (wrong.a_guest_that_does_not_shut_down_is_waited_for, Property.WAY_OUT, 2, "hang shutdown"),
    (wrong.a_migration_that_does_not_end_is_waited_for, Property.WAY_OUT, 2, "gateway stuck"),
    (wrong.two_states_hand_a_host_to_each_other, Property.WAY_OUT, 0, "clock"),
    (wrong.local_maintenance_is_ignored, Property.MAINTENANCE, 2, "maintenance vm"),
    (wrong.global_maintenance_is_ignored, Property.MAINTENANCE, 2, "global vm"),
    (wrong.a_refused_start_is_a_failed_one, Property.FAILED_STARTS, 2, "vm global"),
    (wrong.a_restart_forgets_the_block, Property.FAILED_STARTS, 3, "agent vm"),
    (wrong.an_edge_leads_elsewhere, Property.EDGES, 2, "outside vm"),
]


@functools.cache
def broken_if_right(kinds: str, faults: int, hosts: int) -> set[Property]:
    return broken(explored(*kinds.split(), faults=faults, hosts=hosts))


@pytest.mark.once
@pytest.mark.parametrize(
    ("machine", "prop", "faults", "kinds"),
    [
        pytest.param(
            *each,
            id=each[0].__name__,
            marks=[pytest.mark.interpreted] if each[0] in REPLACED else [],
        )
        for each in MACHINES
    ],
)
def test_a_wrong_machine_is_found_out(
    monkeypatch: pytest.MonkeyPatch, machine: Wrong, prop: Property, faults: int, kinds: str
) -> None:
    hosts = 1 if machine in ALONE else 2
    assert broken_if_right(kinds, faults, hosts) <= {Property.EDGES}
    machine(monkeypatch)
    found = explored(*kinds.split(), faults=faults, hosts=hosts)
    assert prop in broken(found)
    verdict = judged(found)[prop]
    assert verdict.run is not None
    assert verdict.run.rounds


@pytest.mark.once
def test_an_edge_that_can_never_be_taken_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = "ScoreBlocked", "vm_found_here"
    assert edge in explored("outside", faults=2).edges
    wrong.an_edge_can_never_be_taken(monkeypatch)
    assert edge not in explored("outside", faults=2).edges


def test_there_are_at_least_twelve_of_them() -> None:
    assert len({machine for machine, *_ in MACHINES}) >= 12
    assert {prop for _, prop, *_ in MACHINES} == set(Property)
