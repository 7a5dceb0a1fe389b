"""`he-fsm storage init`: what is missing is made, what is there stays."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from he_fsm.cli.main import cli
from he_fsm.errors import StorageError
from he_fsm.metadata import SLOT_BYTES, Whiteboard
from he_fsm.runtime.storage.set_up import set_up_whiteboard


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def init(shared: Path, *options: str, lines: str = "") -> Result:
    path = shared.parent / "he-fsm.yaml"
    path.write_text(
        "host: {id: 1}\nmonitors: {network: {test: none}}\n"
        f"group: {grp.getgrgid(os.getgid()).gr_name}\nstorage:\n  path: {shared}\n{lines}"
    )
    return CliRunner().invoke(cli, ["storage", "init", "--config", str(path), *options])


def test_whiteboard_and_leases_are_made(shared: Path):
    result = init(shared, "--hosts", "3")
    assert result.output.splitlines() == [
        f"leases in {shared}/leases: made",
        f"whiteboard in {shared}/whiteboard: made for host ids 1 to 3",
    ]
    assert (shared / "whiteboard").stat().st_size == 4 * SLOT_BYTES
    assert Whiteboard.parse((shared / "whiteboard").read_bytes()).global_block.maintenance is False
    for name in ("whiteboard", "leases/engine"):
        assert (shared / name).stat().st_mode & 0o777 == 0o660


def test_a_rehearsal_says_what_would_be_made_and_makes_nothing(shared: Path):
    result = init(shared, "--dry-run", "--hosts", "3")
    assert result.output.splitlines() == [
        f"would make leases in {shared}/leases",
        f"would make whiteboard in {shared}/whiteboard for host ids 1 to 3",
    ]
    assert list(shared.iterdir()) == []
    init(shared)
    assert init(shared, "--dry-run").output.count(": there already, would be left alone\n") == 2
    result = init(shared, "--dry-run", "--hosts", "99")
    assert "there already, for 64 hosts, not 99" in str(result.exception)
    (shared / "whiteboard").write_bytes(b"somebody's diary\n" * 1000)
    assert "is no whiteboard" in str(init(shared, "--dry-run").exception)
    assert "is the storage mounted?" in str(init(shared / "away", "--dry-run").exception)


def test_what_is_there_stays_as_it_is(shared: Path):
    assert init(shared, "--hosts", "3").exit_code == 0
    before = state_of(shared)
    for options in (["--hosts", "3"], ["--hosts", "2"], []):
        result = init(shared, *options)
        assert result.exit_code == 0
        assert result.output.count(": there already, left alone\n") == 2
    assert state_of(shared) == before


def test_a_whiteboard_that_is_there_for_fewer_hosts_than_asked_for_is_an_error(shared: Path):
    assert init(shared, "--hosts", "3").exit_code == 0
    before = state_of(shared)
    result = init(shared, "--hosts", "9")
    assert result.output == f"leases in {shared}/leases: there already, left alone\n"
    assert isinstance(result.exception, StorageError)
    path = shared / "whiteboard"
    assert str(result.exception) == (
        f"whiteboard in {path}: there already, for 3 hosts, not 9; it was left as it is;"
        f" to make it longer: truncate -s 40960 {path}"
    )
    assert state_of(shared) == before


def state_of(folder: Path) -> dict[Path, tuple[int, ...]]:
    """Return what a change of files would change; when they were last read is not of it."""
    found = {path: path.stat() for path in folder.rglob("*")}
    return {
        path: (now.st_ino, now.st_mode, now.st_uid, now.st_gid, now.st_size, now.st_mtime_ns)
        for path, now in found.items()
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="root gives files away")
def test_what_root_makes_is_for_the_daemons_group(shared: Path):
    group = next(each for each in grp.getgrall() if each.gr_gid not in (0, os.getgid()))
    path = shared.parent / "other.yaml"
    path.write_text(
        "host: {id: 1}\nmonitors: {network: {test: none}}\n"
        f"group: {group.gr_name}\nstorage: {{path: {shared}}}\n"
    )
    assert CliRunner().invoke(cli, ["storage", "init", "--config", str(path)]).exit_code == 0
    assert {path.stat().st_gid for path in shared.rglob("*")} == {group.gr_gid}


def test_a_file_of_something_else_is_not_written_over(shared: Path):
    (shared / "whiteboard").write_bytes(b"somebody's diary\n" * 1000)
    result = init(shared)
    assert isinstance(result.exception, StorageError)
    assert "whiteboard holds something that is no whiteboard" in str(result.exception)
    assert (shared / "whiteboard").read_bytes() == b"somebody's diary\n" * 1000


def test_a_folder_that_is_not_there_is_not_made(shared: Path):
    result = init(shared / "not-mounted")
    assert "not-mounted" in str(result.exception)
    assert not (shared / "not-mounted").exists()


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """An empty file in place of a device: there, and of a size."""
    path = tmp_path / "device"
    path.touch()
    os.truncate(path, 8 * SLOT_BYTES)
    return path


def test_an_empty_place_becomes_a_whiteboard_at_its_offset(device: Path):
    assert set_up_whiteboard(device, 2 * SLOT_BYTES, 3)
    data = device.read_bytes()
    assert data[: 2 * SLOT_BYTES] == bytes(2 * SLOT_BYTES)
    assert Whiteboard.parse(data[2 * SLOT_BYTES :]).global_block.maintenance is False
    assert not set_up_whiteboard(device, 2 * SLOT_BYTES, 3)


def test_a_file_is_made_longer(device: Path):
    assert set_up_whiteboard(device, 0, 20)
    assert device.stat().st_size == 21 * SLOT_BYTES


def test_a_whiteboard_of_ovirts_own_agents_is_one(device: Path):
    golden = Path(__file__).parents[1] / "metadata" / "golden" / "two-healthy.metadata"
    device.write_bytes(golden.read_bytes())
    assert not set_up_whiteboard(device, 0, 3)
    assert device.read_bytes() == golden.read_bytes()
