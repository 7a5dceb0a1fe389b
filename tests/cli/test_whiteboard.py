from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Callable

import pytest
from click.testing import CliRunner, Result

from he_fsm.cli.output.blocks import status_block
from he_fsm.cli.whiteboard import whiteboard
from he_fsm.errors import StorageError
from he_fsm.metadata import (
    SLOT_BYTES,
    WHITEBOARD_BYTES,
    EngineStatus,
    HostRecord,
    Whiteboard,
)
from he_fsm.words import printable
from tests.cli.conftest import Ran

TALK = """\
--== Host 1 status ==--

Hostname                           : ovirt.localdomain
Host ID                            : 1
Engine status                      : vm-up good-health-status
Score                              : 2400
Host timestamp                     : 1378510362
Extra metadata                     :
    timestamp=1378510362 (Fri Sep  6 19:32:42 2013)
    host-id=1
    score=2400
    engine-health=vm-up good-health-status
    gateway=True
"""

RECORD = HostRecord(
    host_id=1,
    timestamp=1378510362,
    score=2400,
    engine=EngineStatus("up", "good", "Up"),
    hostname="ovirt.localdomain",
    text=(
        "metadata_parse_version=1\nmetadata_feature_version=1\n"
        "timestamp=1378510362 (Fri Sep  6 19:32:42 2013)\nhost-id=1\nscore=2400\n"
        "engine-health=vm-up good-health-status\ngateway=True\n"
    ),
)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Slot 1 is the talk's host, slot 2 is noise, slot 3 a wrong checksum."""
    third = HostRecord(
        host_id=3, timestamp=1, score=1, engine=RECORD.engine, hostname="third.localdomain"
    )
    data = bytearray(Whiteboard.build([RECORD, third], maintenance=True))
    data[2 * SLOT_BYTES : 2 * SLOT_BYTES + 6] = b"\x1b[31mx"
    data[3 * SLOT_BYTES + 8 : 3 * SLOT_BYTES + 9] = b"9"
    path = tmp_path / "hosted-engine.metadata"
    path.write_bytes(data)
    return path


def show(*arguments: str | Path) -> Result:
    return CliRunner().invoke(whiteboard, ["show", *map(str, arguments)])


def test_the_block_is_the_talks() -> None:
    assert "\n".join(status_block(RECORD)) + "\n" == TALK


@pytest.mark.parametrize("alive", [True, False])
def test_liveness_is_shown_where_it_is_known(alive: bool) -> None:
    lines = status_block(RECORD, alive=alive)
    assert f"Status up-to-date                  : {alive}" in lines
    assert lines.index("Extra metadata                     :") == 8


def test_what_a_host_wrote_drives_no_terminal() -> None:
    assert printable("a\x1b[2J\n\udcff\u00fc") == "a\\x1b[2J\\n\\udcff\u00fc"


def test_every_used_slot_is_shown_and_damage_is_named(board: Path) -> None:
    result = show(board)
    assert result.exit_code == 0
    before, _, rest = result.stdout.partition("--== Host 1")
    assert before.splitlines() == [
        "--== Global status ==--",
        "",
        "Global maintenance                 : True",
        "",
    ]
    assert f"--== Host 1{rest}".startswith(TALK)
    assert "--== Host 2 status ==--\n\ngarbage: the record begins with" in rest
    assert "--== Host 3 status ==--\n\ncrc: checksum is " in rest
    assert "\x1b" not in result.stdout


def test_a_terminal_gets_colours(board: Path) -> None:
    result = CliRunner().invoke(whiteboard, ["show", str(board)], color=True)
    assert "\x1b[1m--== Host 1 status ==--\x1b[0m" in result.stdout


def test_json_has_the_same(board: Path) -> None:
    result = show(board, "--json")
    assert result.exit_code == 0
    value = json.loads(result.stdout)
    assert value["global"] == {"maintenance": True, "problem": None, "rejected_lines": 0}
    assert set(value["hosts"]) == {"1"}
    host = value["hosts"]["1"]
    assert host["engine"] == {"vm": "up", "health": "good", "detail": "Up", "reason": None}
    assert (host["host_id"], host["score"], host["hostname"]) == (1, 2400, "ovirt.localdomain")
    assert host["text_lines"][-1] == "gateway=True"
    assert {i: problem["word"] for i, problem in value["problems"].items()} == {
        "2": "garbage",
        "3": "crc",
    }


@pytest.mark.parametrize("offset", ["8192", "0x2000", "0X2000"])
def test_the_whiteboard_may_begin_anywhere(board: Path, offset: str) -> None:
    board.write_bytes(b"\xff" * 8192 + board.read_bytes())
    assert "Hostname                           : ovirt" in show(board, "--offset", offset).stdout


def test_an_offset_need_not_be_aligned(board: Path) -> None:
    board.write_bytes(b"x" * 13 + board.read_bytes())
    assert json.loads(show(board, "--offset", "13", "--json").stdout)["hosts"]["1"]


def test_nothing_behind_slot_2000_is_read(board: Path) -> None:
    with board.open("r+b") as file:
        file.seek(WHITEBOARD_BYTES)
        file.write(b"1|noise")
    assert set(json.loads(show(board, "--json").stdout)["problems"]) == {"2", "3"}


def test_an_empty_file_is_an_empty_whiteboard(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    result = show(path)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[2] == "empty: nothing was ever written there"


@pytest.mark.parametrize("options", [(), ("--check",), ("--json",), ("--offset", "512")])
def test_standard_input_that_is_empty_is_no_whiteboard(options: tuple[str, ...]) -> None:
    # The command before the pipe has failed: an answer "no damage" would be wrong.
    piped = CliRunner().invoke(whiteboard, ["show", "-", *options], input=b"")
    assert isinstance(piped.exception, StorageError)
    assert "standard input is no whiteboard: it is empty; what was to write it failed" in str(
        piped.exception
    )


def test_a_damaged_block_0_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(b"maintenanbe=1")
    result = show(path)
    assert result.exit_code == 0
    assert "garbage: it has no line maintenance=0" in result.stdout
    value = json.loads(show(path, "--json").stdout)["global"]
    assert (value["maintenance"], value["problem"]["word"]) == (None, "garbage")


def test_what_can_not_be_read_is_one_sentence(
    board: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    for arguments, says in [
        ((tmp_path / "absent",), "No such file"),
        ((tmp_path,), "Is a directory"),
        ((board, "--offset", board.stat().st_size), "past the end"),
        ((board, "--offset", 2**62), str(board)),
    ]:
        assert says in refused("whiteboard", "show", *arguments)


@pytest.mark.parametrize("offset", ["-1", "1k", "", "0x", "0b1", "1_0", str(2**63)])
def test_an_offset_that_is_none_is_refused(
    board: Path, offset: str, run: Callable[..., Ran]
) -> None:
    ran = run("whiteboard", "show", board, f"--offset={offset}")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("he-fsm: invalid value for '--offset': ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            gzip.compress(b"maintenance=0" + bytes(20_000), mtime=0),
            "it is gzip-compressed; unpack",
        ),
        (b'{"host_id": 1, "hosts": {}}\n', "it is JSON, perhaps what `he-fsm status --json`"),
        (b"\x7fELF\x02\x01\x01" + bytes(5000), "it is a program"),
    ],
)
def test_a_file_of_another_kind_is_named(
    tmp_path: Path, content: bytes, says: str, refused: Callable[..., str]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert f"{path} is no whiteboard: {says}" in refused("whiteboard", "show", path)


def test_a_fifo_is_not_waited_for(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    assert f"{path} is no whiteboard: it is a FIFO" in refused("whiteboard", "show", path)


def test_a_slot_0_of_another_kind_hides_no_host(board: Path) -> None:
    board.write_bytes(b"\x1f\x8b" + board.read_bytes()[2:])
    result = show(board)
    assert result.exit_code == 0
    assert "--== Host 1 status ==--" in result.stdout


def test_standard_input_is_read(board: Path) -> None:
    data = board.read_bytes()
    arguments = ["show", "-"]
    piped = CliRunner().invoke(whiteboard, arguments, input=data)
    assert piped.stdout == show(board).stdout
    piped = CliRunner().invoke(whiteboard, [*arguments, "--offset", "512"], input=bytes(512) + data)
    assert piped.stdout == show(board).stdout
    piped = CliRunner().invoke(whiteboard, arguments, input=gzip.compress(data, mtime=0))
    assert "standard input is no whiteboard: it is gzip-compressed" in str(piped.exception)


def test_a_check_ends_with_1_where_a_slot_can_not_be_believed(board: Path, tmp_path: Path) -> None:
    assert show(board).exit_code == 0
    for options in ([], ["--json"]):
        result = show(board, "--check", *options)
        assert (result.exit_code, result.stdout) == (1, show(board, *options).stdout)
    good = tmp_path / "good"
    good.write_bytes(Whiteboard.build([RECORD]))
    assert show(good, "--check").exit_code == 0
    # An empty slot 0 is a flag that was never set.
    good.write_bytes(Whiteboard.build([RECORD], maintenance=None))
    assert show(good, "--check").exit_code == 0
    good.write_bytes(b"nonsense" + Whiteboard.build([RECORD])[8:])
    assert show(good, "--check").exit_code == 1


def test_a_board_full_of_damage_is_a_few_lines(tmp_path: Path) -> None:
    data = bytearray(Whiteboard.build([RECORD])) + bytes(1999 * SLOT_BYTES)
    for slot in range(2, 2001):
        data[slot * SLOT_BYTES : slot * SLOT_BYTES + 5] = b"noise"
    path = tmp_path / "board"
    path.write_bytes(data)
    lines = show(path).stdout.splitlines()
    assert len(lines) < 30
    assert any(line.startswith("slots 2-2000  ") and ": garbage (" in line for line in lines)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (EngineStatus("up", "good", "Up"), "vm-up good-health-status"),
        (EngineStatus("up", "bad", "Up", "x"), "vm-up bad-health-status"),
        (EngineStatus("up", "bad", "Paused", "x"), "vm-up bad-health-status (paused)"),
        (EngineStatus("up", "bad", "Powering up", "x"), "vm-up bad-health-status (starting)"),
        (
            EngineStatus("up", "bad", "Powering down", "x"),
            "vm-up bad-health-status (powering down)",
        ),
        (
            EngineStatus("up", "bad", "WaitForLaunch", "x"),
            "vm-up bad-health-status (waiting for launch)",
        ),
        (EngineStatus("down", "bad", "WaitForLaunch", "x"), "vm-down (waiting for launch)"),
        (
            EngineStatus("up", "good", "Migration Source"),
            "vm-up good-health-status (migrating away)",
        ),
        (EngineStatus("down", "bad", "Migration Destination", "x"), "vm-down (migrating here)"),
        (EngineStatus("down", "bad", "unknown", "x"), "vm-down"),
    ],
)
def test_what_the_engine_does_is_in_the_words(status: EngineStatus, text: str) -> None:
    assert f"Engine status                      : {text}" in status_block(
        HostRecord(host_id=1, timestamp=1, score=1, engine=status, hostname="h")
    )
