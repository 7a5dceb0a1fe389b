"""Two hosts with vdsm and sanlock, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.hypervisors.vdsm.vdsm_hosts import VdsmHosts, VdsmLab, set_up

# What `make test` has the time for in these files, with real guests; `make rehearsals` has all.
IN_PART = ("test_vdsm_contract.py",)
SHORT = {
    "test_a_start_is_seen_at_once_and_the_page_is_good_after_the_boot",
    "test_a_start_without_the_lease_is_refused_and_has_not_failed",
    *("test_a_shut_down_vm_goes_and_its_lease_is_free", "test_the_death_of_the_vm_is_an_event"),
    *("test_a_new_agent_finds_the_vm_of_the_last_one", "test_a_paused_vm_is_seen_and_goes_on"),
    "test_a_migrated_vm_runs_on_the_other_host",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is left to the longer run."""
    for item in items:
        if item.path.parent != Path(__file__).parent or item.path.name not in IN_PART:
            continue
        if item.name not in SHORT:
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def lab() -> Iterator[VdsmLab]:
    with set_up() as lab:
        yield lab


@pytest.fixture
def hosts(lab: VdsmLab, tmp_path: Path) -> Iterator[VdsmHosts]:
    hosts = VdsmHosts(tmp_path, lab)
    yield hosts
    hosts.tear_down()
