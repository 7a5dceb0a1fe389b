"""Setting up the places of sanlock's leases: files and block devices, sectors and areas."""

from __future__ import annotations

import grp
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

from he_fsm.cli.main import cli
from he_fsm.runtime.config import load_config
from he_fsm.runtime.leases.sanlock.daemon.command import SanlockDaemon
from he_fsm.runtime.leases.sanlock.section import settings_of
from he_fsm.runtime.leases.sanlock.settings import MIB, SanlockSettings
from he_fsm.runtime.leases.sanlock.storage import SanlockStored, plan
from he_fsm.testing.leases import begin, joins, said
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.sanlock_lab import IO_TIMEOUT, NEEDS_SANLOCK, SanlockLab, python

pytestmark = NEEDS_SANLOCK

SET_UP = f"""
from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.sanlock.storage import initialise
try:
    initialise(settings, {IO_TIMEOUT / 10})
except LockspaceError as error:
    print(type(error).__name__, error)
"""


RESET = f"""
from he_fsm.errors import LockspaceError
from he_fsm.metadata import Whiteboard
from he_fsm.runtime.leases.resetting import Patience, reset
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.storage import SanlockStored
rules = Rules(io_timeout_s={SanlockLab.io_timeout_s}, watchdog_s={SanlockLab.watchdog_s})
stored = SanlockStored(settings, {IO_TIMEOUT / 10})
try:
    for line in reset(stored, Whiteboard.parse(b""), Patience(rules), is_forced=True):
        print(line)
except LockspaceError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SanlockLab]:
    lab = SanlockLab(tmp_path)
    yield lab
    lab.close()


def set_up(settings: SanlockSettings) -> str:
    done = python(SET_UP, settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_is_there_stays_as_it_is(lab: SanlockLab) -> None:
    host = lab.add(1, "host1")
    until(lambda: joins(host.client))
    vm = said(*begin(lab.holder(1)))
    try:
        before = lab.daemon_of(1).engine_lease()
        assert set_up(host.settings) == ""
        assert lab.daemon_of(1).engine_lease() == before
        assert before.owner == 1
        assert host.client.status().view.joined
    finally:
        vm.kill()


def test_with_new_host_ids_no_ghost_of_before_has_the_lease(lab: SanlockLab) -> None:
    host = lab.add(1, "host1")
    until(lambda: joins(host.client))
    vm = said(*begin(lab.holder(1)))
    host.daemon.kill()
    # Without its daemon it runs on, and its lease shows it as the owner.
    lab.start(host.daemon.run_dir, "host1")
    with lab.disk.open("r+b") as file:
        file.write(bytes(MIB))
    try:
        assert set_up(host.settings).startswith("OldVmError the host ids in ")
        assert lab.daemon_of(1).engine_lease().timestamp > 0
    finally:
        vm.kill()
    assert set_up(host.settings) == ""
    assert lab.daemon_of(1).engine_lease().timestamp == 0
    until(lambda: joins(host.client))
    other = lab.add(2, "host2")
    until(lambda: joins(other.client))
    assert other.client.status().view.owner is None


@pytest.mark.parametrize("gone", ["the file", "the lease"])
def test_leases_that_are_gone_are_not_written_anew_beside_a_vm(lab: SanlockLab, gone: str) -> None:
    host = lab.add(1, "host1")
    until(lambda: joins(host.client))
    vm = said(*begin(lab.holder(1)))
    if gone == "the file":
        # The daemon goes on in the file that it has opened; a new one would be free for others.
        lab.disk.rename(lab.folder / "away")
    else:
        with lab.disk.open("r+b") as file:
            file.seek(MIB)
            file.write(bytes(MIB))
    try:
        assert set_up(host.settings).startswith("OldVmError the ")
        assert lab.disk.read_bytes()[MIB : 2 * MIB].strip(b"\0") == b""
    finally:
        vm.kill()


def test_a_file_is_for_its_owner_and_the_daemons_group(lab: SanlockLab) -> None:
    lab.add(1, "host1")
    status = lab.disk.stat()
    assert status.st_mode & 0o777 == 0o660
    assert status.st_size == 2 * MIB
    if os.geteuid() == 0:
        assert status.st_gid == (lab.folder / "host1" / "sanlock.sock").stat().st_gid


def test_what_would_be_written_over_is_said_beforehand(lab: SanlockLab) -> None:
    host = lab.add(1, "host1")
    assert plan(host.settings) == (False, ())
    other = lab.folder / "other"
    settings = attrs.evolve(host.settings, path=str(other), resource_path=str(other))
    assert plan(settings) == (True, ())
    assert not other.exists()
    other.write_bytes(bytes(2 * MIB))
    assert plan(settings) == (True, ())
    other.write_bytes(b"somebody's diary".ljust(2 * MIB, b"."))
    assert plan(settings) == (
        True,
        (f"{MIB} bytes of {other} from byte 0 on", f"{MIB} bytes of {other} from byte {MIB} on"),
    )
    with lab.disk.open("r+b") as file:
        file.write(bytes(MIB))
    assert SanlockStored(settings, 1.0).place == str(other)
    apart = attrs.evolve(settings, path=str(lab.disk))
    assert SanlockStored(apart, 1.0).place == f"{lab.disk} and {other}"
    lost = f"the engine's lease, {MIB} bytes of {lab.disk} from byte {MIB} on"
    assert plan(host.settings) == (True, (lost,))


def test_the_command_asks_before_it_writes_over_something(lab: SanlockLab, tmp_path: Path) -> None:
    host = lab.add(1, "host1")
    other = tmp_path / "other"
    other.write_bytes(b"somebody's diary".ljust(2 * MIB, b"."))
    path = tmp_path / "he-fsm.yaml"
    path.write_text(
        f"host: {{id: 1}}\nstorage: {{path: {tmp_path}}}\nleases: sanlock\n"
        f"sanlock: {{run_dir: {host.daemon.run_dir}, path: {other}}}\n"
        "hypervisor: {kind: command, run: [/bin/true], health: [/bin/true]}\n"
        "monitors: {network: {test: none}}\n"
        f"group: {grp.getgrgid(os.getgid()).gr_name}\n"
    )

    def init(*options: str) -> Result:
        return CliRunner().invoke(cli, ["storage", "init", "--config", str(path), *options])

    refused = init()
    assert str(refused.exception).startswith("would write leases over what stands there now: ")
    assert "would write over " in init("--dry-run").output
    assert other.read_bytes().startswith(b"somebody's diary")
    assert init("--yes").exit_code == 0
    assert not other.read_bytes().startswith(b"somebody's diary")


def test_two_files_serve_as_well_as_one(lab: SanlockLab) -> None:
    host = lab.add(1, "host1")
    settings = attrs.evolve(
        host.settings,
        path=str(lab.folder / "ids"),
        offset=MIB,
        resource_path=str(lab.folder / "engine: the lease"),
        resource_offset=0,
    )
    assert set_up(settings) == ""
    assert (lab.folder / "ids").stat().st_size == 2 * MIB
    assert (lab.folder / "engine: the lease").stat().st_size == MIB
    assert set_up(settings) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lockspace": "another"}, "LeaseForeignError read host id 1"),
        ({"resource": "another"}, "LeaseForeignError read the engine's lease"),
        ({"path": "/none/such"}, "LockspaceError /none/such: No such file or directory"),
        ({"sector_bytes": 4096}, "LeaseForeignError read host id 1"),
        ({"align_bytes": 3 * MIB}, "LockspaceError sanlock has no areas of 3145728 bytes"),
        ({"sector_bytes": 512, "align_bytes": 2 * MIB}, "LockspaceError sanlock has no areas"),
        ({"offset": 512}, "LockspaceError leases begin at a multiple of 1048576 bytes"),
        ({"run_dir": "/none/such"}, "SanlockDownError talk to sanlock in /none/such"),
    ],
)
def test_what_can_not_be_set_up_is_refused(
    lab: SanlockLab, changes: dict[str, Any], said: str
) -> None:
    settings = attrs.evolve(lab.add(1, "host1").settings, **changes)
    assert set_up(settings).startswith(said)


@contextmanager
def loop_device(path: Path, sector_bytes: int) -> Iterator[Path]:
    """Return a block device on a file; skips where there can be none."""
    losetup = shutil.which("losetup", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if losetup is None or os.geteuid() != 0:
        pytest.skip("a loop device needs root and losetup")
    words = [losetup, "--show", "-f", f"--sector-size={sector_bytes}", "--direct-io=on", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    try:
        yield Path(done.stdout.strip())
    finally:
        subprocess.run([losetup, "-d", done.stdout.strip()], check=True)


@pytest.mark.parametrize(
    ("sector_bytes", "align_bytes"), [(512, MIB), (4096, MIB), (4096, 2 * MIB), (4096, 8 * MIB)]
)
def test_a_block_device_holds_the_leases(
    tmp_path: Path, sector_bytes: int, align_bytes: int
) -> None:
    file = tmp_path / "disk"
    file.touch()
    os.truncate(file, 16 * MIB)
    with loop_device(file, sector_bytes) as device:
        lab = SanlockLab(tmp_path, device, sector_bytes=sector_bytes, align_bytes=align_bytes)
        started = []
        try:
            for host_id in (1, 2):
                host = lab.add(host_id, f"host{host_id}")
                until(lambda host=host: joins(host.client))
            started = [said(*begin(lab.holder(host_id))) for host_id in (1, 2)]
            assert [vm.report["lease"] for vm in started] == ["taken", "held"]
            assert started[1].report["owner"] == 1
            assert lab.at(2).client.status().view.owner == 1
        finally:
            for vm in started:
                vm.kill()
            lab.close()


def test_the_command_sets_up_what_a_cluster_needs(lab: SanlockLab, tmp_path: Path) -> None:
    daemon = lab.start(tmp_path / "run", "host1")
    shared = tmp_path / "shared"
    shared.mkdir()
    config = tmp_path / "he-fsm.yaml"
    config.write_text(
        "host: {id: 1}\ngroup: null\nleases: sanlock\nmonitors: {network: {test: none}}\n"
        f"hypervisor: {{kind: qemu, vm: {{disks: [{{path: {shared}/engine.raw}}]}}}}\n"
        f"storage: {{path: {shared}}}\nsanlock: {{run_dir: {daemon.run_dir}}}\n"
        "engine: {health: {url: 'http://127.0.0.1:8080/'}}\n"
    )
    said = ["made", "made for host ids 1 to 64"], ["there already, left alone"] * 2
    for words in said:
        done = subprocess.run(
            [
                *(sys.executable, "-c", "from he_fsm.cli.main import main; main()"),
                *("storage", "init", "--config", str(config)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert [line.rpartition(": ")[2] for line in done.stdout.splitlines()] == words
    settings = settings_of(load_config(config))
    assert SanlockDaemon(settings).engine_lease().timestamp == 0


# Leases that are written anew by force.


def reset(settings: SanlockSettings) -> list[str]:
    done = python(RESET, settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_leases_are_not_written_anew_beside_a_host_that_renews(lab: SanlockLab) -> None:
    host, other = lab.add(1, "host1"), lab.add(2, "host2")
    until(lambda: joins(host.client))
    vm = said(*begin(lab.holder(1)))
    try:
        lines = reset(other.settings)
        assert "engine's lease names host 1" in lines[0]
        assert "host 1 lives: it renews its host id" in lines[1]
        assert lab.daemon_of(2).engine_lease().owner == 1
        assert host.client.status().view.joined
    finally:
        vm.kill()


def test_leases_of_a_host_that_died_are_written_anew_when_its_vm_must_have_ended(
    lab: SanlockLab,
) -> None:
    host, other = lab.add(1, "host1"), lab.add(2, "host2")
    until(lambda: joins(host.client))
    vm = said(*begin(lab.holder(1)))
    host.daemon.kill()
    vm.kill()
    began = time.monotonic()
    assert reset(other.settings)[-1].startswith("the leases of all host ids were written anew")
    assert time.monotonic() - began >= 8 * lab.io_timeout_s + lab.watchdog_s
    assert lab.daemon_of(2).engine_lease().timestamp == 0
    assert lab.daemon_of(2).host_id_lease(1).timestamp == 0
    until(lambda: joins(other.client))


def test_leases_are_written_anew_at_once_where_nobody_has_any(lab: SanlockLab) -> None:
    host = lab.add(1, "host1")
    with lab.disk.open("r+b") as file:
        # Noise in place of all leases of host ids.
        file.write(b"noise" * 1000)
    assert len(reset(host.settings)) == 1
    until(lambda: joins(host.client))
