"""Sanlock's leases as the dashboard reads them from the storage, and as the daemon tells them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from he_fsm.dashboard.sources.lease_area import LeaseArea
from he_fsm.lab.sanlock.release import program
from he_fsm.policy import TALK
from he_fsm.snapshot import OwnerState
from he_fsm.testing.leases import begin, joins
from he_fsm.testing.leases import said as begun
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.sanlock_lab import NEEDS_SANLOCK, SanlockLab

pytestmark = NEEDS_SANLOCK
# The lab's times; its daemons are fast.
POLICY = attrs.evolve(
    TALK,
    io_timeout_s=SanlockLab.io_timeout_s,
    watchdog_s=SanlockLab.watchdog_s,
    kill_grace_s=SanlockLab.watchdog_s / 2,
    loop_s=1.0,
)


@pytest.fixture(params=[{}, {"sector_bytes": 4096, "align_bytes": 8 << 20}])
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SanlockLab]:
    lab = SanlockLab(tmp_path, **request.param)
    yield lab
    lab.close()


def area_of(lab: SanlockLab) -> LeaseArea:
    offset = lab.area.get("align_bytes", 1 << 20)
    return LeaseArea(lab.disk, POLICY, resource_offset=offset)


def leader_by_sanlock(lab: SanlockLab) -> dict[str, str]:
    """Return the engine's leader record as sanlock's own command prints it."""
    offset = lab.area.get("align_bytes", 1 << 20)
    size = ("-Z", str(lab.area["sector_bytes"]), "-A", "8M") if lab.area else ()
    done = subprocess.run(
        [str(program()), "direct", "read_leader", *size, "-r", f"he:engine:{lab.disk}:{offset}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(re.findall(r"^(\w+) (.*)$", done.stdout, re.MULTILINE))


def test_the_storage_says_what_sanlock_says(lab: SanlockLab) -> None:
    host = lab.add(2, "host2")
    until(lambda: joins(host.client))
    area = area_of(lab)
    assert area.status().view.owner is None
    leader = area._leader(area._resource_offset)
    said = leader_by_sanlock(lab)
    assert (leader.lockspace, leader.resource) == (said["space_name"], said["resource_name"])
    assert (leader.owner, leader.timestamp) == (int(said["owner_id"]), int(said["timestamp"]))
    vm = begun(*begin(lab.holder(2)))
    try:
        until(lambda: area.status().view.owner == 2)
        # A renewal is seen by its time, which grows.
        until(lambda: area.status().renewed_at is not None)
        found = area.status()
        assert found.view.owner_state is OwnerState.LIVE
        assert found.owner_generation == int(leader_by_sanlock(lab)["owner_generation"])
    finally:
        vm.kill()
    until(lambda: area.status().view.owner is None, within_s=30.0)
