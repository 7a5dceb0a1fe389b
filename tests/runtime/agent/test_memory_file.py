"""What survives a restart of the agent: the file, whatever befalls it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.errors import HeFsmError
from he_fsm.memory import Memory
from he_fsm.remembered import FailedStarts, Moves, RaisedAlarm, VmWatch
from he_fsm.runtime.agent import memory_file
from he_fsm.runtime.agent.memory_file import MemoryFile

KNOWN = Memory(
    looked_at=999.0,
    boot_ahead=17.5,
    global_maintenance=False,
    failed=FailedStarts(count=2, last_at=900.0, good_runs=1, time_outs=1),
    well_since=950.5,
    vm=VmWatch(
        since=950.0,
        started_here=True,
        was_good=True,
        bad_since=990.5,
        bad_before_s=12.0,
        paused_before_s=3.0,
        power_off_at=980.0,
        is_ordered_down=True,
        is_gone=True,
        has_slept=True,
    ),
    moves=Moves(
        target=3, failures=1, failed_at=800.0, refused_by=2, moves=2, moved_at=700.0, seen_on=1
    ),
    alarms=(
        RaisedAlarm(name="drain", since=600.0, told=2, next_at=4000.0, is_open=True),
        RaisedAlarm(name="blind", since=500.0, told=1, next_at=1100.0, ended_at=550.0),
    ),
)
# What the wall clock shows at 1000.0 of the monotonic one.
WALL = 1_780_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.json"


def boot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pretend that the machine has booted since."""
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("another\n", encoding="ascii")
    monkeypatch.setattr(memory_file, "_BOOT_ID", boot_id)


def test_a_restarted_agent_knows_what_has_to_survive(path: Path) -> None:
    MemoryFile(path).save(KNOWN, 1000.0, WALL)
    assert MemoryFile(path).load(1010.0, WALL) == KNOWN.after_restart(1010.0)


@pytest.mark.parametrize("off_s", [0.0, 300.0, 1e9])
def test_the_time_without_power_counts_by_the_wall_clock(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, off_s: float
) -> None:
    MemoryFile(path).save(KNOWN, 1000.0, WALL)
    boot(monkeypatch, tmp_path)
    found = MemoryFile(path).load(50.0, WALL + off_s)
    assert found == KNOWN.after_boot(50.0, 1000.0, off_s)
    assert found.failed.last_at == -50.0 - off_s
    assert found.vm is None


def test_a_wall_clock_that_went_back_makes_no_block_longer(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    MemoryFile(path).save(KNOWN, 1000.0, WALL)
    boot(monkeypatch, tmp_path)
    assert MemoryFile(path).load(50.0, 0.0) == KNOWN.after_boot(50.0, 1000.0)


def test_what_an_older_release_wrote_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    saved = {
        "boot_id": memory_file.boot_id(),
        "saved_at": 1000.0,
        "failed": {"count": 2, "last_at": 900.0},
        "vm": {"since": 950.0, "started_here": True, "was_good": True, "bad_since": 990.5},
        "moves": {"target": 3, "failures": 1, "failed_at": 800.0, "moves": 2, "moved_at": 700.0},
    }
    path.write_text(json.dumps(saved), encoding="ascii")
    found = MemoryFile(path).load(1010.0, WALL)
    assert found.failed == FailedStarts(count=2, last_at=900.0)
    assert found.vm == VmWatch(since=950.0, started_here=True, was_good=True, bad_since=990.5)
    assert found.global_maintenance is None
    # What nobody has looked at is not counted.
    assert found.looked_at == 1000.0
    boot(monkeypatch, tmp_path)
    assert MemoryFile(path).load(50.0, WALL).failed.last_at == -50.0


def test_what_a_newer_release_has_added_is_left_out(path: Path) -> None:
    MemoryFile(path).save(KNOWN, 1000.0, WALL)
    saved = json.loads(path.read_text(encoding="ascii"))
    for part in (saved, saved["failed"], saved["vm"], saved["moves"], *saved["alarms"]):
        part["added_later"] = 7
    path.write_text(json.dumps(saved), encoding="ascii")
    assert MemoryFile(path).load(1010.0, WALL) == KNOWN.after_restart(1010.0)


FUTURE = 1e18


@pytest.mark.parametrize("is_this_boot", [True, False])
def test_times_that_lie_in_the_future_are_taken_for_the_present(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    is_this_boot: bool,
) -> None:
    vm, moves = KNOWN.vm, KNOWN.moves
    assert vm is not None
    late = KNOWN._replace(
        looked_at=FUTURE,
        well_since=FUTURE,
        failed=attrs.evolve(KNOWN.failed, last_at=FUTURE),
        vm=attrs.evolve(vm, since=FUTURE, bad_since=FUTURE, power_off_at=FUTURE),
        moves=attrs.evolve(moves, failed_at=FUTURE, moved_at=FUTURE),
        alarms=(RaisedAlarm(name="drain", since=FUTURE, told=1, next_at=FUTURE),),
    )
    MemoryFile(path).save(late, 1000.0, WALL)
    if not is_this_boot:
        boot(monkeypatch, tmp_path)
    now = 1010.0 if is_this_boot else 50.0
    found = MemoryFile(path).load(now, WALL)
    times = [found.failed.last_at, found.well_since, found.moves.failed_at, found.moves.moved_at]
    times += [time for alarm in found.alarms for time in (alarm.since, alarm.next_at)]
    if is_this_boot:
        assert found.vm is not None
        times += [found.looked_at, found.vm.since, found.vm.bad_since, found.vm.power_off_at]
    assert {time is not None and time <= now for time in times} == {True}
    assert len(caplog.messages) == 1
    assert "times that lie in the future are taken for the present" in caplog.messages[0]


def test_a_file_that_was_written_in_the_future_is_of_now(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    MemoryFile(path).save(KNOWN, FUTURE, WALL)
    found = MemoryFile(path).load(800.0, WALL)
    assert found.failed.last_at == 800.0
    assert len(caplog.messages) == 1


def test_where_boots_have_no_name_all_are_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory_file, "_BOOT_ID", tmp_path / "missing")
    MemoryFile(path).save(KNOWN, 1000.0, WALL)
    assert MemoryFile(path).load(1010.0, WALL).vm == KNOWN.vm


def test_no_file_is_no_news(path: Path) -> None:
    assert MemoryFile(path).load(7.0, WALL) == Memory.beginning(7.0)


def test_it_is_written_when_it_has_changed_and_only_then(path: Path) -> None:
    file = MemoryFile(path)
    file.save(KNOWN, 1000.0, WALL)
    path.unlink()
    file.save(KNOWN._replace(since=5.0), 1001.0, WALL)
    assert not path.exists()
    file.save(KNOWN._replace(failed=FailedStarts()), 1002.0, WALL)
    assert json.loads(path.read_bytes())["failed"]["count"] == 0


def test_when_the_host_looked_last_is_written_only_while_it_counts(path: Path) -> None:
    file = MemoryFile(path)
    file.save(KNOWN._replace(looked_at=1000.0), 1000.0, WALL)
    file.save(KNOWN._replace(looked_at=1010.0), 1010.0, WALL)
    assert json.loads(path.read_bytes())["looked_at"] == 1010.0
    well = KNOWN._replace(vm=VmWatch(since=950.0, was_good=True))
    file.save(well._replace(looked_at=1020.0), 1020.0, WALL)
    file.save(well._replace(looked_at=1030.0), 1030.0, WALL)
    assert json.loads(path.read_bytes())["looked_at"] == 1020.0


def test_the_last_time_known_is_never_old(path: Path) -> None:
    file = MemoryFile(path)
    well = KNOWN._replace(vm=None)
    file.save(well, 1000.0, WALL)
    file.save(well, 1599.0, WALL + 599)
    assert json.loads(path.read_bytes())["saved_at"] == 1000.0
    file.save(well, 1600.0, WALL + 600)
    assert json.loads(path.read_bytes())["saved_at"] == 1600.0
    file.save(well, 1601.0, WALL + 601, is_last=True)
    saved = json.loads(path.read_bytes())
    assert (saved["saved_at"], saved["wall_at"]) == (1601.0, WALL + 601)


def test_others_do_not_read_it(path: Path) -> None:
    MemoryFile(path).save(KNOWN, 1000.0, WALL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"null",
        b"[1, 2]",
        b"{}",
        b'{"boot_id": "x", "saved_at": NaN, "failed": {}, "vm": null, "moves": {}}',
        b'{"boot_id": "x", "saved_at": 1e999, "failed": {}, "vm": null, "moves": {}}',
        b'{"boot_id": "x", "saved_at": 1, "failed": {"count": "two"}, "vm": null, "moves": {}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_said_in_one_sentence(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(HeFsmError, match=r"memory\.json is damaged") as caught:
        MemoryFile(path).load(1.0, WALL)
    assert "\n" not in str(caught.value)


@given(content=st.binary(max_size=200))
def test_no_bytes_crash_it(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.json"
    path.write_bytes(content)
    with pytest.raises(HeFsmError):
        MemoryFile(path).load(1.0, WALL)


def test_a_folder_in_its_place_is_said(path: Path) -> None:
    path.mkdir()
    with pytest.raises(HeFsmError, match="can't read"):
        MemoryFile(path).load(1.0, WALL)
    with pytest.raises(HeFsmError, match="can't write"):
        MemoryFile(path).save(KNOWN, 1.0, WALL)
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(HeFsmError, match=r"can't write .*: No such file or directory"):
        MemoryFile(tmp_path / "missing" / "memory.json").save(KNOWN, 1.0, WALL)
