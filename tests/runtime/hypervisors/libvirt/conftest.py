"""Two hosts with libvirt and sanlock, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.hypervisors.libvirt.libvirt_hosts import LibvirtHosts, LibvirtLab
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder

CONTRACT = Path(__file__).with_name("test_contract.py")
# What `make test` has the time for of the contract, with real guests; `make rehearsals` has all.
SHORT = {
    *("test_a_start_without_the_lease_is_refused_and_has_not_failed", "test_no_method_waits"),
    *("test_a_shut_down_vm_goes_and_its_lease_is_free", "test_a_powered_off_vm_is_gone"),
    *("test_a_paused_vm_is_seen_and_goes_on", "test_the_death_of_the_vm_is_an_event"),
    *("test_a_new_agent_finds_the_vm_of_the_last_one", "test_closing_leaves_the_vm_running"),
    *("test_a_migrated_vm_runs_on_the_other_host", "test_a_cancelled_migration_leaves_the_vm_here"),
    *("test_while_a_vm_arrives_no_other_starts", "test_an_arrival_can_be_given_up"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what of the contract is left to the longer run."""
    for item in items:
        if item.path == CONTRACT and item.name not in SHORT:
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="module")
def lab() -> Iterator[LibvirtLab]:
    with short_folder() as folder:
        lab = LibvirtLab(folder)
        try:
            lab.set_up()
            yield lab
        finally:
            lab.close()


@pytest.fixture
def hosts(lab: LibvirtLab, tmp_path: Path) -> Iterator[LibvirtHosts]:
    hosts = LibvirtHosts(tmp_path, lab)
    yield hosts
    hosts.tear_down()
