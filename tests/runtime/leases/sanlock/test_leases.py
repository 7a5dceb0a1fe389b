"""What real sanlock does that a model forgets: daemons and storage that go and come back."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from he_fsm.errors import (
    JoinPendingError,
    LeaseMissingError,
    LockspaceError,
    OldVmError,
    OtherIdError,
    SanlockDownError,
    SanlockSilentError,
    StorageError,
    WatchdogMissingError,
)
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.sight import SanlockSight
from he_fsm.runtime.leases.vm_lock import VmLock
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.snapshot import OwnerState
from he_fsm.testing.leases import Vm, begin, joins, said
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.sanlock_lab import NEEDS_SANLOCK, SPEED, Host, SanlockLab, python

pytestmark = NEEDS_SANLOCK

BLOCK = b"\1" * SLOT_BYTES


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SanlockLab]:
    lab = SanlockLab(tmp_path)
    (tmp_path / "whiteboard").write_bytes(bytes(4 * SLOT_BYTES))
    yield lab
    lab.close()


@pytest.fixture
def vms() -> Iterator[list[Vm]]:
    started: list[Vm] = []
    yield started
    for vm in started:
        vm.kill()


def start(lab: SanlockLab, vms: list[Vm], host_id: int) -> Vm:
    vm = said(*begin(lab.holder(host_id)))
    vms.append(vm)
    return vm


def joined(lab: SanlockLab, host_id: int, name: str = "") -> Host:
    host = lab.add(host_id, name or f"host{host_id}")
    until(lambda: joins(host.client))
    return host


def is_refused(host: Host) -> bool:
    """Return whether the worker does not write this host's slot because its id is not held."""
    try:
        host.client.write_slot(host.client._settings.host_id, BLOCK)
    except LockspaceError as error:
        assert "is not written: this host does not hold host id" in str(error)  # noqa: PT017
        return True
    return False


def test_a_host_knows_the_times_that_its_daemon_goes_by(lab: SanlockLab) -> None:
    view = joined(lab, 1).client.status().view
    assert view.watchdog_s == pytest.approx(lab.watchdog_s)
    # Shown from sanlock 3.9 on.
    assert view.kill_grace_s in (None, pytest.approx(40 / SPEED))


# Coming back.


def test_a_path_may_have_colons_as_those_of_ovirts_domains_have(
    tmp_path: Path, vms: list[Vm]
) -> None:
    """sanlock 3.8.5 writes them with a backslash: /rhev/data-center/mnt/host:_path/..."""
    folder = tmp_path / "host:_path"
    folder.mkdir()
    lab = SanlockLab(tmp_path, folder / "leases")
    try:
        host = lab.add(1, "host1")
        until(lambda: joins(host.client))
        assert host.client.status().view.joined
        vm = start(lab, vms, 1)
        assert vm.report == {"lease": "taken"}
        rules = Rules(io_timeout_s=lab.io_timeout_s, watchdog_s=lab.watchdog_s)
        sight = SanlockSight(host.settings, 1, rules)
        assert (sight.seen().owner, sight.seen().holders) == (1, {vm.process.pid})
        host.client.join()
        vm.kill()
        until(lambda: sight.seen().owner is None)
        host.client.leave()
        assert not host.client.status().view.joined
    finally:
        lab.close()


def test_who_comes_back_under_the_same_name_has_its_id_at_once(lab: SanlockLab) -> None:
    first, second = joined(lab, 1), joined(lab, 2)
    until(lambda: 1 in lab.daemon_of(2).hosts())
    before = lab.daemon_of(2).hosts()[1].generation
    first.daemon.kill()
    began = time.monotonic()
    joined(lab, 1)
    assert time.monotonic() - began < 8 * lab.io_timeout_s + lab.watchdog_s
    until(lambda: lab.daemon_of(2).hosts()[1].generation == before + 1)
    assert second.client.status().view.dead_hosts == frozenset()


def test_a_host_whose_old_vm_runs_does_not_join_again_before_that_is_gone(
    lab: SanlockLab, vms: list[Vm]
) -> None:
    first, second = joined(lab, 1), joined(lab, 2)
    vm = start(lab, vms, 1)
    generation = lab.daemon_of(2).host_id_lease(1).generation
    first.daemon.kill()
    again = lab.add(1, "host1")
    with pytest.raises(OldVmError, match="an engine VM that was started before still runs here"):
        again.client.join()
    assert not again.client.status().view.joined
    # It still has the lease, as far as anybody can know, until that has run out.
    assert second.client.status().view.owner == 1
    assert lab.daemon_of(2).host_id_lease(1).generation == generation
    vm.kill()
    until(lambda: joins(again.client))
    assert lab.daemon_of(2).host_id_lease(1).generation == generation + 1
    until(lambda: start(lab, vms, 2).report["lease"] == "taken")


def test_without_that_guard_two_vms_would_run(lab: SanlockLab, vms: list[Vm]) -> None:
    first, _ = joined(lab, 1), joined(lab, 2)
    vm = start(lab, vms, 1)
    first.daemon.kill()
    lab.start(first.daemon.run_dir, "host1")
    # Somebody who looks for the VM in another place.
    careless = attrs.evolve(first.settings, vm_lock=f"{first.settings.vm_lock}-moved")
    client = StorageClient(lab.storage(careless, 1), 20.0)
    try:
        until(lambda: joins(client))
        until(lambda: start(lab, vms, 2).report["lease"] == "taken")
    finally:
        client.close()
    # This is what sanlock does, and why the lock is where every start finds it.
    assert vm.process.poll() is None


def test_a_worker_that_is_replaced_finds_its_id_held_even_beside_a_vm(
    lab: SanlockLab, vms: list[Vm]
) -> None:
    host = joined(lab, 1)
    start(lab, vms, 1)
    host.client.close()
    other = lab.add(1, "host1")
    assert other.client.status().view.joined
    other.client.join()
    other.client.write_slot(1, BLOCK)


def test_a_worker_that_is_killed_has_lost_nothing(lab: SanlockLab, vms: list[Vm]) -> None:
    host = joined(lab, 1)
    start(lab, vms, 1)
    assert host.client._worker is not None
    host.client._worker.kill()
    with pytest.raises(StorageError, match="the storage worker has ended"):
        until(lambda: host.client.status() is None)

    def is_joined() -> bool:
        try:
            return host.client.status().view.joined
        except StorageError:
            return False

    until(is_joined)
    host.client.write_slot(1, BLOCK)


# The daemon.


def test_where_the_daemon_is_killed_nothing_is_written_and_that_is_said(
    lab: SanlockLab, vms: list[Vm]
) -> None:
    host = joined(lab, 1)
    host.client.write_slot(1, BLOCK)
    vm = start(lab, vms, 1)
    host.daemon.kill()
    assert is_refused(host)
    for use in (host.client.status, host.client.join, host.client.leave):
        with pytest.raises(SanlockDownError, match="daemon does not run; start the service"):
            use()
    # The whiteboard is there all the same, and so is the VM: nothing has ended it.
    assert host.client.read()[SLOT_BYTES : 2 * SLOT_BYTES] == BLOCK
    assert vm.process.poll() is None
    # A daemon that is started again knows of nothing.
    lab.start(host.daemon.run_dir, "host1")
    assert is_refused(host)
    assert not host.client.status().view.joined


def test_a_daemon_that_is_stopped_for_a_moment_loses_nothing(lab: SanlockLab) -> None:
    host = joined(lab, 1)
    host.daemon.stop()
    began = time.monotonic()
    with pytest.raises(SanlockSilentError, match="does not answer"):
        host.client.status()
    assert time.monotonic() - began < 10
    host.daemon.go_on()


def test_a_host_whose_daemon_was_stopped_too_long_has_lost_its_id_and_its_vm(
    lab: SanlockLab, vms: list[Vm]
) -> None:
    first, second = joined(lab, 1), joined(lab, 2)
    vm = start(lab, vms, 1)
    first.daemon.stop()
    # Nothing is written while nobody knows whose id it is.
    assert is_refused(first)
    until(lambda: second.client.status().view.owner_state is OwnerState.FAILING)
    assert start(lab, vms, 2).report == {"lease": "taken"}
    # Without a watchdog this is the moment of two VMs.
    assert vm.process.poll() is None
    first.daemon.go_on()
    assert vm.process.wait(20) == -signal.SIGKILL
    assert is_refused(first)
    until(lambda: joins_at_last(first))
    assert not is_refused(first)


def joins_at_last(host: Host) -> bool:
    """Join, also where the daemon is still busy with what it has lost."""
    try:
        return joins(host.client)
    except (OldVmError, SanlockSilentError):
        return False


def test_a_daemon_with_a_watchdog_that_is_not_there_does_not_join(
    lab: SanlockLab,
) -> None:
    if Path("/run/wdmd/wdmd.sock").exists():
        pytest.skip("a watchdog is there")
    host = lab.add(1, "host1")
    host.daemon.kill()
    lab.start(host.daemon.run_dir, "host1", has_watchdog=True)
    with pytest.raises(WatchdogMissingError, match="start the service wdmd"):
        until(lambda: joins(host.client))


def test_without_a_watchdog_people_are_warned_once(
    lab: SanlockLab, capfd: pytest.CaptureFixture[str]
) -> None:
    host = joined(lab, 1)
    host.client.join()
    assert capfd.readouterr().err.count("no watchdog stands behind sanlock") == 1


# The storage.


def test_a_host_that_loses_its_storage_stops_writing_and_its_vm_is_ended(
    lab: SanlockLab, vms: list[Vm]
) -> None:
    host = joined(lab, 1)
    vm = start(lab, vms, 1)
    # Reads come back empty from here on, as from a device that has gone.
    os.truncate(lab.disk, 0)
    assert vm.process.wait(20) == -signal.SIGTERM
    assert is_refused(host)
    assert VmLock(Path(host.settings.vm_lock)).is_free()
    with pytest.raises(LeaseMissingError, match="too small"):
        host.client.status()


def test_an_id_that_is_written_over_is_lost_at_once(lab: SanlockLab, vms: list[Vm]) -> None:
    host = joined(lab, 1)
    vm = start(lab, vms, 1)
    with lab.disk.open("r+b") as disk:
        disk.write(bytes(512))
    assert vm.process.wait(20) == -signal.SIGTERM
    until(lambda: is_refused(host))
    with pytest.raises(LeaseMissingError, match="never set up"):
        joins_at_last(host)


@pytest.mark.parametrize(
    ("name", "is_there"), [("none", False), ("folder/none", False), ("empty", True)]
)
def test_leases_that_are_not_there_are_a_sentence(
    lab: SanlockLab, name: str, is_there: bool
) -> None:
    host = lab.add(1, "host1")
    path = lab.folder / name
    if is_there:
        path.write_bytes(bytes(4 << 20))
    elsewhere = attrs.evolve(host.settings, path=str(path), resource_path=str(path))
    client = StorageClient(lab.storage(elsewhere, 1), 20.0)
    try:
        for use in (client.join, client.status):
            with pytest.raises(LeaseMissingError, match=f"in {path}: there is no"):
                use()
    finally:
        client.close()


# Refusals.


def test_a_daemon_has_a_lockspace_once(lab: SanlockLab) -> None:
    host = joined(lab, 1)
    other = StorageClient(lab.storage(host.settings, 2), 20.0)
    try:
        with pytest.raises(OtherIdError, match=r"as host 1, not in .* as host 2"):
            other.join()
        with pytest.raises(LockspaceError, match="slot 2 is not written"):
            other.write_slot(2, BLOCK)
    finally:
        other.close()
    renamed = attrs.evolve(host.settings, lockspace="hf")
    other = StorageClient(lab.storage(renamed, 1), 20.0)
    try:
        with pytest.raises(LockspaceError, match="another lockspace, resource or layout"):
            other.join()
    finally:
        other.close()


def test_an_id_that_there_is_no_room_for_is_refused(lab: SanlockLab) -> None:
    host = lab.add(1, "host1")
    other = StorageClient(lab.storage(host.settings, 2001), 20.0)
    try:
        with pytest.raises(LockspaceError):
            other.join()
    finally:
        other.close()


def test_joining_that_takes_its_time_says_so_and_goes_on(lab: SanlockLab) -> None:
    host = lab.add(1, "host1")
    impatient = attrs.evolve(host.settings, wait_s=0.25)
    client = StorageClient(lab.storage(impatient, 1), 20.0)
    try:
        with pytest.raises(JoinPendingError, match=r"host id 1 is being taken, which takes 0\.4 s"):
            client.join()
        assert not client.status().view.joined
        # Another one finds it under way.
        until(lambda: joins(host.client))
        until(lambda: joins(client))
        assert client.status().view.joined
    finally:
        client.close()


def test_a_joining_that_is_given_up_takes_nothing(lab: SanlockLab) -> None:
    host = lab.add(1, "host1")
    impatient = attrs.evolve(host.settings, wait_s=0.25)
    client = StorageClient(lab.storage(impatient, 1), 20.0)
    try:
        with pytest.raises(JoinPendingError):
            client.join()
        client.leave()
        until(lambda: not lab.daemon_of(1).status().spaces)
        assert not client.status().view.joined
        until(lambda: joins(client))
        assert client.status().view.joined
    finally:
        client.close()


def test_an_io_timeout_that_sanlock_can_not_count_is_refused(lab: SanlockLab) -> None:
    host = lab.add(1, "host1")
    storage = attrs.evolve(lab.storage(host.settings, 1), io_timeout_s=0.25)
    client = StorageClient(storage, 20.0)
    try:
        with pytest.raises(LockspaceError, match=r"a whole number of seconds, .* not 2\.5"):
            client.join()
    finally:
        client.close()


def test_a_process_has_one_daemon(lab: SanlockLab) -> None:
    host = lab.add(1, "host1")
    done = python(
        "from he_fsm.errors import LockspaceError\n"
        "from he_fsm.runtime.leases.sanlock.daemon.module import load\n"
        "import json\n"
        "assert load(settings.run_dir) is load(settings.run_dir)\n"
        "try:\n    load('/run/another')\n"
        "except LockspaceError as error:\n    print(json.dumps(str(error)))\n",
        host.settings,
    )
    assert done.returncode == 0, done.stderr
    wanted = f"this process talks to the sanlock daemon of {host.settings.run_dir}, and to no other"
    assert json.loads(done.stdout) == wanted


def test_storage_that_is_closed_is_no_lease_manager(lab: SanlockLab) -> None:
    host = joined(lab, 1)
    host.client.close()
    with pytest.raises(StorageError):
        host.client.status()
    # The daemon keeps the id.
    assert [space.host_id for space in lab.daemon_of(1).status().spaces] == [1]


# The numbers.


def test_what_is_known_of_the_owner(lab: SanlockLab, vms: list[Vm]) -> None:
    first, second = joined(lab, 1), joined(lab, 2)
    start(lab, vms, 1)
    until(lambda: second.client.status().renewed_at is not None)
    for host in (first, second):
        status = host.client.status()
        assert status.owner_generation == 1
        assert status.renewed_at is not None
        # A renewal every 2T, seen up to 2T later, in whole seconds of the daemon.
        age_s = time.monotonic() - status.renewed_at
        assert -0.1 <= age_s < 8 * lab.io_timeout_s
