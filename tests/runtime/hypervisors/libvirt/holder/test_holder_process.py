"""
The holder and its warden on real sanlock, for a process that is no VM: what ends what, and when.

What they end is the process that they were begun for, and the lease is free when that has ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from he_fsm.errors import HypervisorError, LockspaceError
from he_fsm.lab.mount import Mount, can_mount
from he_fsm.runtime.hypervisors.libvirt.holder.begun import Holder, UnwantedError, Wanted
from he_fsm.runtime.hypervisors.libvirt.holder.settings import HolderSettings
from he_fsm.runtime.hypervisors.vm_file import STATE, Phase, VmFile, VmRecord, started_ticks
from he_fsm.runtime.leases.sanlock.kind import KIND as SANLOCK
from he_fsm.testing.leases import joins
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.sanlock_lab import NEEDS_SANLOCK, SanlockLab

pytestmark = NEEDS_SANLOCK

NEW = Wanted(is_moved=False, within_s=20.0)
MOVED = Wanted(is_moved=True, within_s=2.0)


def wanted_still() -> bool:
    return False


class Bodies:
    """Processes that stand for domains, and their holders."""

    def __init__(self, folder: Path, lab: SanlockLab) -> None:
        self.folder = folder
        self.lab = lab
        self.bodies: list[subprocess.Popen[bytes]] = []
        self.holders: list[Holder] = []

    def body(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["/bin/sleep", "600"])
        self.bodies.append(process)
        return process

    def holder(self, body: subprocess.Popen[bytes], host_id: int = 1) -> Holder:
        """Begin a holder that sanlock knows."""
        settings = HolderSettings(
            own=SANLOCK.own,
            lease=self.lab.at(host_id).settings.to_text(),
            host_id=host_id,
            state=self.folder / STATE,
            pid=body.pid,
            ticks=started_ticks(body.pid),
        )
        holder = Holder(settings, self.folder)
        self.holders.append(holder)
        holder.await_ready(wanted_still)
        return holder

    def kept(self, body: subprocess.Popen[bytes], host_id: int = 1) -> Holder:
        """Return a holder that has the lease, and goes on by itself."""
        holder = self.holder(body, host_id)
        os.close(holder.take(NEW, wanted_still).descriptor)
        holder.keep()
        holder.close()
        return holder

    def record(self, body: subprocess.Popen[bytes], phase: Phase) -> None:
        """Write what an agent writes of a domain that moves to host 2."""
        record = VmRecord(
            pid=body.pid,
            started_ticks=started_ticks(body.pid),
            phase=phase,
            port=0,
            since=0.0,
            leaving_to=2,
        )
        VmFile(self.folder / STATE).write(record)

    def owner(self) -> int | None:
        return self.lab.at(2).client.status().view.owner

    def is_let_go(self) -> bool:
        return self.owner() is None

    def close(self) -> None:
        for holder in self.holders:
            holder.close()
        for body in self.bodies:
            body.kill()
            body.wait()
        for holder in self.holders:
            until(lambda holder=holder: not lives(holder.pid))


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def warden_of(holder: Holder) -> int:
    (warden,) = psutil.Process(holder.pid).children()
    return int(warden.pid)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SanlockLab]:
    lab = SanlockLab(tmp_path_factory.mktemp("lab"))
    try:
        for host_id in (1, 2):
            host = lab.add(host_id, f"host{host_id}")
            until(lambda host=host: joins(host.client))
        yield lab
    finally:
        lab.close()


@pytest.fixture
def bodies(lab: SanlockLab, tmp_path: Path) -> Iterator[Bodies]:
    bodies = Bodies(tmp_path, lab)
    yield bodies
    bodies.close()
    until(bodies.is_let_go)


def test_the_lease_is_kept_until_the_process_ends(bodies: Bodies) -> None:
    body = bodies.body()
    holder = bodies.kept(body)
    assert bodies.owner() == 1
    body.kill()
    until(bodies.is_let_go)
    assert not lives(body.pid)
    until(lambda: not lives(holder.pid))


@pytest.mark.parametrize("which", ["holder", "warden"])
def test_when_one_half_is_killed_the_other_ends_the_process(bodies: Bodies, which: str) -> None:
    body = bodies.body()
    holder = bodies.kept(body)
    os.kill(holder.pid if which == "holder" else warden_of(holder), signal.SIGKILL)
    until(bodies.is_let_go)
    # Whatever is seen here was there before the lease was let go.
    assert not lives(body.pid)


def test_told_to_end_it_ends_the_process_first(bodies: Bodies) -> None:
    body = bodies.body()
    os.kill(bodies.kept(body).pid, signal.SIGTERM)
    until(bodies.is_let_go)
    assert not lives(body.pid)


def test_a_process_that_is_stopped_is_ended_too(bodies: Bodies) -> None:
    body = bodies.body()
    body.send_signal(signal.SIGSTOP)
    os.kill(bodies.kept(body).pid, signal.SIGTERM)
    until(bodies.is_let_go)
    assert not lives(body.pid)


def test_when_sanlock_kills_the_holder_the_process_ends(bodies: Bodies, lab: SanlockLab) -> None:
    body = bodies.body()
    bodies.kept(body)
    lab.leave_by_force(1)
    # sanlock waits for the holder's connection, which the warden has as well.
    assert not lives(body.pid)
    until(lambda: joins(lab.at(1).client))


def test_when_sanlock_ends_the_process_ends(bodies: Bodies, lab: SanlockLab) -> None:
    body = bodies.body()
    bodies.kept(body)
    daemon = lab.at(1).daemon
    daemon.kill()
    until(lambda: not lives(body.pid))
    lab.start(daemon.run_dir, daemon.name)
    until(lambda: joins(lab.at(1).client))


def test_the_agents_end_changes_nothing_before_the_lease_is_asked_for(bodies: Bodies) -> None:
    body = bodies.body()
    holder = bodies.holder(body)
    warden = warden_of(holder)
    holder.close()
    until(lambda: not lives(holder.pid) and not lives(warden))
    assert lives(body.pid)


def test_an_agent_that_ends_before_it_lets_the_process_execute_ends_it(bodies: Bodies) -> None:
    body = bodies.body()
    holder = bodies.holder(body)
    os.close(holder.take(NEW, wanted_still).descriptor)
    holder.close()
    until(lambda: not lives(body.pid))
    until(bodies.is_let_go)


def test_a_copy_of_the_descriptor_keeps_the_lease_though_both_halves_are_killed(
    bodies: Bodies,
) -> None:
    """So it is with QEMU, which has one: nobody else gets the lease while QEMU is there."""
    body = bodies.body()
    holder = bodies.holder(body)
    taken = holder.take(NEW, wanted_still)
    holder.keep()
    for pid in (warden_of(holder), holder.pid):
        os.kill(pid, signal.SIGSTOP)
    for pid in (warden_of(holder), holder.pid):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not lives(holder.pid))
    with pytest.raises(LockspaceError):
        bodies.holder(bodies.body(), host_id=2).take(NEW, wanted_still)
    assert bodies.owner() == 1
    os.close(taken.descriptor)
    until(bodies.is_let_go)
    assert lives(body.pid)


def test_what_is_held_elsewhere_is_refused_and_the_process_ended(bodies: Bodies) -> None:
    bodies.kept(bodies.body())
    body = bodies.body()
    holder = bodies.holder(body, host_id=2)
    with pytest.raises(LockspaceError, match="living host"):
        holder.take(NEW, wanted_still)
    until(lambda: not lives(body.pid))
    assert bodies.owner() == 1


@pytest.mark.long
def test_a_second_one_on_the_same_host_is_refused(bodies: Bodies) -> None:
    bodies.kept(bodies.body())
    with pytest.raises(LockspaceError, match="already"):
        bodies.holder(bodies.body())


def test_nobody_waits_for_an_answer_that_is_unwanted(bodies: Bodies, lab: SanlockLab) -> None:
    body = bodies.body()
    holder = bodies.holder(body)
    daemon = [each for each in lab.daemons if each.name == lab.at(1).daemon.name][-1]
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        with closing(holder), pytest.raises(UnwantedError):
            holder.take(NEW, lambda: True)
        until(lambda: not lives(body.pid))
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def test_a_process_that_has_ended_gets_no_holder(bodies: Bodies) -> None:
    body = bodies.body()
    settings = HolderSettings(
        own=SANLOCK.own,
        lease=bodies.lab.at(1).settings.to_text(),
        host_id=1,
        state=bodies.folder / STATE,
        pid=body.pid,
        # Another process of its number.
        ticks=1,
    )
    holder = Holder(settings, bodies.folder)
    bodies.holders.append(holder)
    with pytest.raises(HypervisorError):
        holder.await_ready(wanted_still)
    assert lives(body.pid)


# What has moved.


def test_a_process_that_has_moved_leaves_the_lease_for_its_target(bodies: Bodies) -> None:
    source, target = bodies.body(), bodies.body()
    bodies.kept(source)
    bodies.record(source, Phase.RUNNING)
    there = bodies.holder(target, host_id=2)
    source.kill()
    # It waits for the word of its agent, and keeps the lease meanwhile.
    assert bodies.owner() == 1
    bodies.record(source, Phase.MIGRATED)
    os.close(there.take(MOVED, wanted_still).descriptor)
    assert bodies.owner() == 2
    assert lives(target.pid)


def test_a_lease_that_was_not_left_for_it_is_refused(bodies: Bodies) -> None:
    """The source may have executed since: the memory here may be older than the disk."""
    source, target = bodies.body(), bodies.body()
    bodies.kept(source)
    there = bodies.holder(target, host_id=2)
    source.kill()
    with pytest.raises(LockspaceError, match="has not left the lease"):
        there.take(MOVED, wanted_still)
    until(lambda: not lives(target.pid))


def test_a_note_is_good_for_the_next_owner_alone(bodies: Bodies) -> None:
    source = bodies.body()
    bodies.kept(source)
    bodies.record(source, Phase.MIGRATED)
    source.kill()
    until(bodies.is_let_go)
    # Somebody else has it in between.
    between = bodies.body()
    holder = bodies.kept(between)
    between.kill()
    until(lambda: not lives(holder.pid))
    late = bodies.holder(bodies.body(), host_id=2)
    with pytest.raises(LockspaceError, match="has not left the lease"):
        late.take(MOVED, wanted_still)


def test_a_source_that_goes_on_keeps_its_lease(bodies: Bodies) -> None:
    bodies.kept(bodies.body())
    target = bodies.body()
    with pytest.raises(LockspaceError, match="living host"):
        bodies.holder(target, host_id=2).take(MOVED, wanted_still)
    until(lambda: not lives(target.pid))
    assert bodies.owner() == 1


# The storage hangs.


@pytest.mark.skipif(not can_mount(), reason="only root can make a storage that hangs")
@pytest.mark.parametrize(
    "hangs",
    [False, pytest.param(True, marks=pytest.mark.long)],
    ids=["holder-well", "holder-stopped"],
)
def test_when_the_storage_hangs_the_process_ends_in_time(tmp_path: Path, hangs: bool) -> None:
    """By SIGTERM to the holder; where that is stopped, by SIGKILL, which the warden sees."""
    (tmp_path / "shared").mkdir()
    mount = Mount(tmp_path / "shared", tmp_path / "point")
    mount.mount()
    lab = SanlockLab(tmp_path, tmp_path / "point" / "leases")
    (tmp_path / "run").mkdir()
    bodies = Bodies(tmp_path / "run", lab)
    try:
        until(lambda: joins(lab.add(1, "host1").client))
        body = bodies.body()
        holder = bodies.kept(body)
        if hangs:
            os.kill(holder.pid, signal.SIGSTOP)
        mount.hang()
        # Before another host may take the lease.
        until(lambda: not lives(body.pid), lab.io_timeout_s * 8 + lab.watchdog_s)
        mount.restore()
    finally:
        mount.restore()
        bodies.close()
        lab.close()
        mount.unmount()
