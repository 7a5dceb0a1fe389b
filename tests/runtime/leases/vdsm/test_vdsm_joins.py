"""vdsm joins and leaves the lockspace; nobody does behind its back."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from he_fsm.errors import EngineHereError, LockspaceError, OldVmError
from he_fsm.lab.ovirt.definition import VM_ID, vm_conf
from he_fsm.runtime.hypervisors.vdsm.definition import parse
from he_fsm.runtime.hypervisors.vdsm.kind import connects
from he_fsm.runtime.hypervisors.vdsm.section import VdsmConfig
from he_fsm.runtime.leases.sanlock.sight import SanlockSight
from he_fsm.runtime.leases.vdsm.joins import ServeSettings, VdsmPlace
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.testing.leases import joins
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder
from tests.runtime.hypervisors.vdsm.vdsm_hosts import NEEDS_VDSM, VdsmLab
from tests.runtime.leases.sanlock.sanlock_lab import DEADLINE_S

pytestmark = [*NEEDS_VDSM, pytest.mark.long]


class Leases:
    """A host's leases as the broker has them, where a lab's vdsm has sanlock join."""

    def __init__(self, lab: VdsmLab, host_id: int, pid_file: Path) -> None:
        daemon = lab.daemons[host_id]
        sanlock = attrs.evolve(lab.sanlock.at(host_id).settings, vm_pid_file=str(pid_file))
        place = VdsmPlace(host="127.0.0.1", port=daemon.port, deadline_s=5.0)
        told = ServeSettings(sanlock=sanlock, vdsm=place)
        settings = attrs.evolve(
            lab.sanlock.storage(sanlock, host_id),
            maker="he_fsm.runtime.leases.vdsm.serve:make",
            lease=told.to_text(),
        )
        self.client = StorageClient(settings, DEADLINE_S)
        self.config = VdsmConfig(host="127.0.0.1", port=daemon.port, tls=False)
        self.sight = SanlockSight(sanlock, host_id, lab.rules)

    def call(self, method: str, **params: Any) -> Any:
        client = connects(self.config)(None)
        try:
            return client.call(method, params)
        finally:
            client.close()


@pytest.fixture
def lab() -> Iterator[VdsmLab]:
    with short_folder() as folder:
        lab = VdsmLab(folder)
        try:
            lab.set_up(are_joined=False)
            yield lab
        finally:
            lab.close()


@pytest.fixture
def host(lab: VdsmLab) -> Iterator[Leases]:
    leases = Leases(lab, 1, lab.daemons[1].pid_dir / "engine.pid")
    yield leases
    leases.client.close()


def test_vdsm_joins_and_leaves(host: Leases) -> None:
    assert host.call("Host.getStorageRepoStats") == {}
    assert not host.client.status().view.joined
    until(lambda: joins(host.client))
    assert host.client.status().view.joined
    # vdsm knows of it: it was asked, and nobody went past it.
    assert host.call("Host.getStorageRepoStats")["he"]["acquired"] is True
    host.client.join()
    host.client.leave()
    until(lambda: not host.client.status().view.joined)
    assert host.call("Host.getStorageRepoStats") == {}


def test_what_vdsm_has_joined_by_itself_is_joined(lab: VdsmLab, host: Leases) -> None:
    host.call("Host.startMonitoringDomain", sdUUID="he", hostID=1)
    until(lambda: host.client.status().view.joined)
    # vdsm, which has been started anew since, is not asked: sanlock says that it is.
    lab.daemons[1].kill()
    host.client.join()


def test_without_vdsm_nothing_is_joined(lab: VdsmLab, host: Leases) -> None:
    lab.daemons[1].kill()
    with pytest.raises(LockspaceError, match="vdsm does not join he as host 1"):
        until(lambda: joins(host.client))
    assert not host.sight.seen().is_joined


def test_the_lockspace_is_not_left_while_the_engine_runs(lab: VdsmLab, host: Leases) -> None:
    until(lambda: joins(host.client))
    start(lab, host)
    with pytest.raises(LockspaceError, match="the engine runs here") as refused:
        host.client.leave()
    assert isinstance(refused.value, EngineHereError) or refused.value.errno == errno.EBUSY
    assert host.call("Host.getStorageRepoStats")["he"]["acquired"] is True
    assert host.client.status().view.owner == 1


def test_vdsm_is_not_asked_to_join_while_a_vm_of_an_earlier_time_runs(
    lab: VdsmLab, host: Leases, caplog: pytest.LogCaptureFixture
) -> None:
    """A new generation of the host id frees the lease of the VM that runs."""
    caplog.set_level(logging.INFO)
    until(lambda: joins(host.client))
    start(lab, host)
    # sanlock forgets the host id, as one that was killed and started again does.
    lab.sanlock.at(1).daemon.kill()
    lab.sanlock.start(Path(lab.sanlock.at(1).settings.run_dir), "host1")
    with pytest.raises(OldVmError, match="an engine VM that was started before"):
        host.client.join()


def start(lab: VdsmLab, host: Leases) -> None:
    xml = parse(vm_conf(lab.place(), "engine", 64)).xml
    host.call("VM.create", vmID=VM_ID, vmParams={"xml": xml})
    until(lambda: host.call("VM.getStats", vmID=VM_ID)[0]["status"] == "Up")
