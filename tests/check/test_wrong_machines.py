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
ALONE = {
    wrong.local_maintenance_is_ignored,
    wrong.a_restart_forgets_the_block,
    wrong.a_boot_forgets_failed_starts,
}
# With two hosts, at most one can acquire a lease that expires.
THREE = {wrong.ignores_another_hosts_announcement}
# These replace functions of the product, not rows of its table.
REPLACED = {
    wrong.two_hosts_get_one_lease,
    wrong.nobody_kills_a_vm_whose_lease_has_run_out,
    wrong.liveness_goes_by_the_clocks,
    wrong.takes_a_replayed_record_for_news,
    wrong.takes_all_others_for_dead_while_blind,
    wrong.counts_a_silent_agent_as_alive,
    wrong.counts_a_stopped_agent_as_alive,
    wrong.starts_though_its_slot_could_not_be_written,
    wrong.starts_without_its_host_id,
    wrong.ignores_another_hosts_announcement,
    wrong.tries_a_failed_migration_again_at_once,
    wrong.only_a_vm_that_is_up_can_have_lost_its_lease,
    wrong.does_not_notice_that_it_was_suspended,
    wrong.does_not_know_that_it_is_about_to_be_reset,
    wrong.offers_itself_while_it_goes_down,
    wrong.lets_its_host_go_down_with_the_vm,
    wrong.a_boot_forgets_failed_starts,
    wrong.local_maintenance_is_ignored,
    wrong.a_restart_forgets_the_block,
}
AGAIN = "maintenance migration"
OUTSIDE = "suspend outside"
MACHINES: list[tuple[Wrong, Property, int, str]] = [
    (wrong.two_hosts_get_one_lease, Property.TWO_ENGINES, 1, "vm cut"),
    (wrong.nobody_kills_a_vm_whose_lease_has_run_out, Property.TWO_ENGINES, 1, "cut"),
    (wrong.starts_without_asking_for_the_lease, Property.LEASE, 1, "crash agent"),
    (wrong.starts_beside_a_running_vm, Property.LEASE, 1, "outside"),
    (wrong.liveness_goes_by_the_clocks, Property.AGREEMENT, 1, "clock"),
    (wrong.takes_a_replayed_record_for_news, Property.LIVENESS, 3, "agent stale"),
    (wrong.takes_all_others_for_dead_while_blind, Property.LIVENESS, 1, "cut"),
    (wrong.counts_a_silent_agent_as_alive, Property.LIVENESS, 1, "agent"),
    (wrong.counts_a_silent_agent_as_alive, Property.MIGRATIONS, 2, "agent gateway"),
    (wrong.counts_a_stopped_agent_as_alive, Property.LIVENESS, 1, "stop"),
    (wrong.nobody_takes_over, Property.RECOVERY, 1, "crash"),
    (wrong.a_hung_engine_is_left_alone, Property.RECOVERY, 1, "hang"),
    (wrong.nothing_is_adopted, Property.RECOVERY, 2, "outside hang"),
    (wrong.an_arrival_is_waited_for_without_end, Property.RECOVERY, 1, "arrival"),
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
    (wrong.a_boot_forgets_failed_starts, Property.FAILED_STARTS, 3, "crash vm"),
    (wrong.starts_without_its_host_id, Property.LEASE, 2, "id vm"),
    (wrong.starts_though_its_slot_could_not_be_written, Property.NO_NEEDLESS_WORK, 2, "mute vm"),
    (wrong.ignores_another_hosts_announcement, Property.NO_NEEDLESS_WORK, 1, "crash"),
    (wrong.starts_what_is_up_elsewhere, Property.NO_NEEDLESS_WORK, 0, "clock"),
    (wrong.stops_an_engine_that_is_well, Property.NO_NEEDLESS_WORK, 1, "agent"),
    (wrong.tries_a_failed_migration_again_at_once, Property.NO_NEEDLESS_WORK, 2, AGAIN),
    (wrong.leaves_a_vm_without_its_lease_alone, Property.TWO_ENGINES, 1, "suspend"),
    (wrong.an_engine_that_is_up_goes_on_without_its_lease, Property.LEASE, 1, "suspend"),
    (wrong.only_a_vm_that_is_up_can_have_lost_its_lease, Property.LEASE, 2, "suspend"),
    (wrong.only_a_vm_that_is_up_can_have_lost_its_lease, Property.TWO_ENGINES, 2, OUTSIDE),
    (wrong.a_lease_that_was_given_back_was_never_lost, Property.LEASE, 2, "suspend vm"),
    (wrong.does_not_notice_that_it_was_suspended, Property.LIVENESS, 1, "suspend"),
    (wrong.does_not_know_that_it_is_about_to_be_reset, Property.NO_NEEDLESS_WORK, 1, "sanlock"),
    (wrong.does_not_know_that_it_is_about_to_be_reset, Property.MIGRATIONS, 1, "sanlock"),
    (wrong.offers_itself_while_it_goes_down, Property.MIGRATIONS, 1, "leave"),
    (wrong.lets_its_host_go_down_with_the_vm, Property.NO_NEEDLESS_WORK, 1, "leave"),
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
            id=f"{each[0].__name__}-{each[1].value}-{each[3]}",
            marks=[pytest.mark.interpreted] if each[0] in REPLACED else [],
        )
        for each in MACHINES
    ],
)
def test_a_wrong_machine_is_found_out(
    monkeypatch: pytest.MonkeyPatch, machine: Wrong, prop: Property, faults: int, kinds: str
) -> None:
    hosts = 1 if machine in ALONE else 3 if machine in THREE else 2
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


def test_there_are_thirty_nine_of_them() -> None:
    assert len({machine for machine, *_ in MACHINES}) == 39
    assert {prop for _, prop, *_ in MACHINES} == set(Property)
