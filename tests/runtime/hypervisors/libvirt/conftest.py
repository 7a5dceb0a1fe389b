"""Two hosts with libvirt and sanlock, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.hypervisors.libvirt.libvirt_hosts import LibvirtHosts, LibvirtLab, set_up

# What `make test` has the time for in these files, with real guests; `make rehearsals` has all.
IN_PART = ("test_contract.py", "test_deaths.py", "test_pauses.py", "test_shared_definition.py")
SHORT = {
    "test_a_start_without_the_lease_is_refused_and_has_not_failed",
    *("test_a_shut_down_vm_goes_and_its_lease_is_free", "test_the_death_of_the_vm_is_an_event"),
    *("test_a_new_agent_finds_the_vm_of_the_last_one", "test_a_powered_off_vm_is_gone"),
    *("test_a_migrated_vm_runs_on_the_other_host", "test_while_a_vm_arrives_no_other_starts"),
    "test_a_guest_that_reports_its_death_is_believed_at_once[panic-the guest has panicked]",
    "test_a_pause_gives_the_lease_away",
    "test_the_paused_copy_ends_when_another_host_has_the_lease",
    "test_a_host_that_knows_no_domain_starts_it_by_the_shared_definition",
    "test_nothing_starts_by_a_definition_that_differs_from_its_checksum",
}


# The same where a holder keeps the lease: `holder/`, with what it ends on sanlock alone.
HOLDERS_IN_PART = {
    "test_holder_contract.py": {
        "test_a_start_without_the_lease_is_refused_and_has_not_failed",
        "test_a_migrated_vm_runs_on_the_other_host",
    },
    "test_holder_ends.py": {
        "test_the_domain_ends_though_libvirt_is_down[holder+warden]",
        "test_with_nobody_left_the_lease_stays_with_the_domain",
    },
    "test_by_hand.py": {
        "test_a_domain_started_by_hand_is_ended[executing]",
        "test_a_pause_keeps_the_lease",
        "test_a_move_that_nobody_vouches_for_is_ended",
    },
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is left to the longer run."""
    here = Path(__file__).parent
    for item in items:
        folder, name = item.path.parent, item.path.name
        is_left = folder == here and name in IN_PART and item.name not in SHORT
        if folder == here / "holder" and name in HOLDERS_IN_PART:
            is_left = item.name not in HOLDERS_IN_PART[name]
        if is_left:
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="module")
def lab() -> Iterator[LibvirtLab]:
    with set_up(LibvirtLab) as lab:
        yield lab


@pytest.fixture
def hosts(lab: LibvirtLab, tmp_path: Path) -> Iterator[LibvirtHosts]:
    hosts = LibvirtHosts(tmp_path, lab)
    yield hosts
    hosts.tear_down()
