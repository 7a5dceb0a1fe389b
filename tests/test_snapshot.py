"""A snapshot checks itself, so that no guard meets a nonsense value."""

from __future__ import annotations

import pytest

from he_fsm import LeaseView, LocalVm, OwnerState, Readings, Snapshot, VmState


def snapshot(now: float = 1.0, host_id: int = 1) -> Snapshot:
    return Snapshot(now=now, host_id=host_id, vm=LocalVm(VmState.ABSENT))


@pytest.mark.parametrize("host_id", [1, 2000])
def test_sanlocks_host_ids_are_taken(host_id: int) -> None:
    assert snapshot(host_id=host_id).host_id == host_id


@pytest.mark.parametrize("host_id", [-1, 0, 2001])
def test_other_host_ids_are_refused(host_id: int) -> None:
    with pytest.raises(ValueError, match=f"host_id must be 1 to 2000, got {host_id}"):
        snapshot(host_id=host_id)


@pytest.mark.parametrize("now", [float("nan"), float("inf"), float("-inf")])
def test_a_moment_that_is_none_is_refused(now: float) -> None:
    with pytest.raises(ValueError, match="now must be a finite number"):
        snapshot(now=now)


def test_readings_of_a_healthy_host_need_nothing_said() -> None:
    found = Readings.of(gateway=0.5, cpu_load=None)
    assert (found.gateway.value, found.cpu_load.value, found.bridge.value) == (0.5, None, 1.0)
    assert {found.gateway.age_s, found.mem_free.age_s} == {0.0}
    usual = Readings.of()
    assert (usual.gateway.value, usual.bridge.value, usual.mem_free.value) == (1.0, 1.0, 12367.0)
    assert (usual.cpu_load.value, usual.mem_load.value) == (0.05, 0.10)
    assert usual.config_is_current


def test_a_lease_view_of_which_nothing_is_said_is_that_of_a_host_in_a_calm_cluster() -> None:
    assert LeaseView() == LeaseView(
        owner=None,
        owner_state=OwnerState.FREE,
        free_at=None,
        dead_hosts=frozenset(),
        joined=True,
        held_by_other=False,
    )


def test_a_snapshot_of_which_nothing_is_said_has_seen_nothing() -> None:
    found = snapshot()
    assert (found.own, found.whiteboard, found.leases, found.results) == (None, None, None, ())
    assert not found.local_maintenance
