"""Two services of one host in one lockspace, each with a lease of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import attrs
import pytest

from he_fsm.errors import EngineHereError
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.testing.leases import begin, joins, said
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.sanlock_lab import DEADLINE_S, NEEDS_SANLOCK, SanlockLab

pytestmark = NEEDS_SANLOCK


class Services(NamedTuple):
    """What their brokers have of the storage, and who takes their leases, on host 1."""

    engine: StorageClient
    web: StorageClient
    engine_holder: SanlockHolder
    web_holder: SanlockHolder


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    lab = SanlockLab(tmp_path)
    first = lab.add(1, "host1")
    of_web = attrs.evolve(
        first.settings,
        resource="web",
        resource_offset=2 << 20,
        vm_lock=str(tmp_path / "host1" / "web.lock"),
        doom_note=str(tmp_path / "host1" / "web-doom.json"),
    )
    lab.set_up(of_web)
    web = StorageClient(lab.storage(of_web, 1), DEADLINE_S)
    try:
        until(lambda: joins(first.client) and joins(web))
        holder = SanlockHolder(settings=of_web, host_id=1)
        yield Services(first.client, web, lab.holder(1), holder)
    finally:
        web.close()
        lab.close()


def test_each_lease_is_taken_by_itself(services: Services) -> None:
    vm = said(*begin(services.web_holder))
    try:
        assert services.web.status().view.owner == 1
        assert services.engine.status().view.owner is None
    finally:
        vm.kill()


def test_a_service_that_stops_takes_no_id_from_one_that_runs(services: Services) -> None:
    vm = said(*begin(services.web_holder))
    try:
        with pytest.raises(EngineHereError):
            services.engine.leave()
        assert services.web.status().view.owner == 1
        assert services.web.status().view.joined
    finally:
        vm.kill()


def test_a_service_that_waits_joins_again_where_another_one_has_left(services: Services) -> None:
    services.engine.leave()
    until(lambda: not services.web.status().view.joined)
    # As its agent's next loop does.
    until(lambda: joins(services.web))
    vm = said(*begin(services.web_holder))
    vm.kill()
