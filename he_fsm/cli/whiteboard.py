"""`he-fsm whiteboard`: the content of a whiteboard, slot by slot."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from he_fsm.cli.options.common import json_option
from he_fsm.cli.running import Commands
from he_fsm.errors import StorageError
from he_fsm.files.kinds import kind_of, kind_of_path
from he_fsm.words import printable

if TYPE_CHECKING:
    from he_fsm.metadata import GlobalBlock, HostRecord, SlotProblem, Whiteboard

_BYTES = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]+")
# The largest offset that a seek accepts; no file or device is longer.
_OFFSET_MAX = 2**63 - 1
_STANDARD_INPUT = Path("-")
# Up to so many damaged slots each has a block of its own.
_BLOCKS_MAX = 8


def _offset(_: click.Context, __: click.Parameter, value: str) -> int:
    """Convert a number of bytes, decimal or hexadecimal."""
    if _BYTES.fullmatch(value) is None:
        msg = f"{value!r} is not a number of bytes such as 4096 or 0x1000"
        raise click.BadParameter(msg)
    number = int(value, 16 if value[:2].lower() == "0x" else 10)
    if number > _OFFSET_MAX:
        msg = f"{value} is beyond the end of any device"
        raise click.BadParameter(msg)
    return number


@click.group(cls=Commands)
def whiteboard() -> None:
    """Look at the shared whiteboard."""


@whiteboard.command()
@click.argument("path", metavar="FILE|DEVICE|-", type=click.Path(path_type=Path))
@click.option(
    "--offset",
    callback=_offset,
    default="0",
    metavar="BYTES",
    help="Where the whiteboard begins, in bytes (decimal, or hexadecimal with 0x).",
)
@json_option
@click.option(
    "--check", is_flag=True, help="End with exit status 1 where a slot can't be believed."
)
def show(path: Path, offset: int, as_json: bool, check: bool) -> None:
    """
    Show what the whiteboard in FILE or DEVICE says: slot 0, then each used slot.

    With `-`, standard input is read. A slot that can't be believed is named with the reason and
    hides no other.

    Exit status: 0 the whiteboard could be read; 1 with --check: a slot can't be believed; 2 the
    file can't be read, or is no whiteboard.
    """
    from he_fsm.metadata import Whiteboard  # noqa: PLC0415 - `he-fsm --help` must be quick

    board = Whiteboard.parse(_read(path, offset))
    if as_json:
        import json  # noqa: PLC0415 - as above

        click.echo(json.dumps(_as_object(board), indent=2))
    else:
        _print(board)
    if check and (board.problems or _is_damaged(board)):
        sys.exit(1)


def _read(path: Path, offset: int) -> bytes:
    data = whiteboard_bytes(path, offset)
    if offset and not data:
        msg = f"offset {offset} is at or past the end of {path}"
        raise StorageError(msg)
    return data


def whiteboard_bytes(path: Path, offset: int = 0) -> bytes:
    """
    Read a whiteboard, or a copy of one, from a file or device, or from standard input (`-`).

    Raises:
        StorageError: The file or device can't be read, or is something else.
    """
    data = _bytes_of(path, offset)
    kind = kind_of(data)
    if kind is not None and not _holds_a_record(data):
        msg = f"{_name(path)} is no whiteboard: it is {kind}"
        raise StorageError(msg)
    return data


def _name(path: Path) -> str:
    return "standard input" if path == _STANDARD_INPUT else str(path)


def _holds_a_record(data: bytes) -> bool:
    """Return whether some slot can be believed: slot 0 may be overwritten by anything."""
    from he_fsm.metadata import Whiteboard  # noqa: PLC0415 - as above

    return bool(Whiteboard.parse(data).records)


def _bytes_of(path: Path, offset: int) -> bytes:
    from he_fsm.metadata import WHITEBOARD_BYTES  # noqa: PLC0415 - as above

    try:
        if path == _STANDARD_INPUT:
            # It can't seek where it is a pipe.
            data = sys.stdin.buffer.read(offset + WHITEBOARD_BYTES)
            if not data:
                # A short file is a whiteboard that nobody has used; a pipe whose writer failed is
                # none.
                msg = "standard input is no whiteboard: it is empty; what was to write it failed"
                raise StorageError(msg)
            return data[offset:]
        kind = kind_of_path(path.stat().st_mode)
        # A pipe of the shell, <(...), has somebody at its other end.
        if kind is not None and not str(path.resolve()).startswith("/proc/"):
            msg = f"{path} is no whiteboard: it is {kind}"
            raise StorageError(msg)
        with path.open("rb") as file:
            if kind is not None:
                return file.read(offset + WHITEBOARD_BYTES)[offset:]
            if offset:
                file.seek(offset)
            return file.read(WHITEBOARD_BYTES)
    except OSError as error:
        # Errors that the file object raises itself have no `strerror`.
        reason = error.strerror or str(error)
        msg = f"can't read the whiteboard from {_name(path)}: {reason}"
        raise StorageError(msg) from None


def _print(board: Whiteboard) -> None:
    from he_fsm.cli.output.blocks import (  # noqa: PLC0415 - as above
        damaged_lines,
        status_block,
    )
    from he_fsm.metadata import HostRecord  # noqa: PLC0415 - as above

    click.secho("--== Global status ==--", bold=True)
    click.echo()
    click.secho(_global_line(board.global_block), fg="red" if _is_damaged(board) else None)
    in_short = len(board.problems) > _BLOCKS_MAX
    for host_id, slot in board.slots.items():
        if in_short and not isinstance(slot, HostRecord):
            continue
        click.echo()
        if isinstance(slot, HostRecord):
            title, *lines = status_block(slot)
        else:
            title = f"--== Host {host_id} status ==--"
            lines = ["", printable(f"{slot.word.value}: {slot.detail}")]
        click.secho(title, bold=True)
        for line in lines:
            click.secho(line, fg=None if isinstance(slot, HostRecord) else "red")
    if in_short:
        damaged = {
            host_id: {"problem": slot.word.value, "detail": slot.detail}
            for host_id, slot in board.problems.items()
        }
        for line in damaged_lines(damaged):
            click.secho(line, fg="red")


def _is_damaged(board: Whiteboard) -> bool:
    problem = board.global_block.problem
    return problem is not None and problem.word.value != "empty"


def _global_line(block: GlobalBlock) -> str:
    if block.problem is not None:
        return f"{block.problem.word.value}: {block.problem.detail}"
    return f"{'Global maintenance':<35}: {block.maintenance}"


def _as_object(board: Whiteboard) -> dict[str, Any]:
    block = board.global_block
    return {
        "global": {
            "maintenance": block.maintenance,
            "problem": None if block.problem is None else _problem_object(block.problem),
            "rejected_lines": block.rejected_lines,
        },
        "hosts": {str(i): _host_object(record) for i, record in board.records.items()},
        "problems": {str(i): _problem_object(problem) for i, problem in board.problems.items()},
    }


def _host_object(record: HostRecord) -> dict[str, Any]:
    fields = {**record._asdict(), "engine": record.engine._asdict()}
    text = fields.pop("text")
    return {**fields, "text_lines": [line for line in text.split("\n") if line]}


def _problem_object(problem: SlotProblem) -> dict[str, Any]:
    return {
        "word": problem.word.value,
        "detail": problem.detail,
        "newer_timestamp": problem.newer_timestamp,
    }
