"""The commands about the whiteboard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from he_fsm.cli.options import json_option
from he_fsm.errors import StorageError

if TYPE_CHECKING:
    from he_fsm.metadata import GlobalBlock, HostRecord, SlotProblem, Whiteboard

_BYTES = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]+")
# No file or device is longer; beyond it a seek can't be asked for.
_OFFSET_MAX = 2**63 - 1


class _UnusableError(click.ClickException):
    """What was named can't be read; nothing was shown."""

    exit_code = 2


def _offset(_: click.Context, __: click.Parameter, value: str) -> int:
    """Turn a number of bytes, decimal or hexadecimal, into a number."""
    if _BYTES.fullmatch(value) is None:
        msg = f"{value!r} is not a number of bytes such as 4096 or 0x1000"
        raise click.BadParameter(msg)
    number = int(value, 16 if value[:2].lower() == "0x" else 10)
    if number > _OFFSET_MAX:
        msg = f"{value} is beyond the end of any device"
        raise click.BadParameter(msg)
    return number


@click.group()
def whiteboard() -> None:
    """Look at the shared whiteboard."""


@whiteboard.command()
@click.argument("path", metavar="FILE|DEVICE", type=click.Path(path_type=Path))
@click.option(
    "--offset",
    callback=_offset,
    default="0",
    metavar="BYTES",
    help="Where the whiteboard begins, in bytes (decimal, or hexadecimal with 0x).",
)
@json_option
def show(path: Path, offset: int, as_json: bool) -> None:
    """
    Show what the whiteboard in FILE or DEVICE says: slot 0, then each used slot.

    A slot that can't be believed is named with the reason and hides no other. That is no
    error of this command: the exit status is 0 when the whiteboard could be read, 2 when not.
    """
    from he_fsm.metadata import Whiteboard  # noqa: PLC0415 - `he-fsm --help` must be quick

    board = Whiteboard.parse(_read(path, offset))
    if as_json:
        import json  # noqa: PLC0415 - as above

        click.echo(json.dumps(_as_object(board), indent=2))
    else:
        _print(board)


def _read(path: Path, offset: int) -> bytes:
    try:
        data = whiteboard_bytes(path, offset)
    except StorageError as error:
        raise _UnusableError(str(error)) from None
    if offset and not data:
        msg = f"offset {offset} is at or past the end of {path}"
        raise _UnusableError(msg)
    return data


def whiteboard_bytes(path: Path, offset: int = 0) -> bytes:
    """
    Read a whiteboard, or a copy of one, from a file or device.

    Raises:
        StorageError: it can't be read.
    """
    from he_fsm.metadata import WHITEBOARD_BYTES  # noqa: PLC0415 - as above

    try:
        with path.open("rb") as file:
            if offset:
                file.seek(offset)
            return file.read(WHITEBOARD_BYTES)
    except OSError as error:
        # A file object's own errors have no `strerror`.
        reason = error.strerror or str(error)
        msg = f"can't read the whiteboard from {path}: {reason}"
        raise StorageError(msg) from None


def _print(board: Whiteboard) -> None:
    from he_fsm.cli.blocks import printable, status_block  # noqa: PLC0415 - as above
    from he_fsm.metadata import HostRecord  # noqa: PLC0415 - as above

    click.secho("--== Global status ==--", bold=True)
    click.echo()
    click.secho(_global_line(board.global_block), fg="red" if _is_damaged(board) else None)
    for host_id, slot in board.slots.items():
        click.echo()
        if isinstance(slot, HostRecord):
            title, *lines = status_block(slot)
        else:
            title = f"--== Host {host_id} status ==--"
            lines = ["", printable(f"{slot.word.value}: {slot.detail}")]
        click.secho(title, bold=True)
        for line in lines:
            click.secho(line, fg=None if isinstance(slot, HostRecord) else "red")


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
    import attrs  # noqa: PLC0415 - as above

    fields = attrs.asdict(record)
    text = fields.pop("text")
    return {**fields, "text_lines": [line for line in text.split("\n") if line]}


def _problem_object(problem: SlotProblem) -> dict[str, Any]:
    return {
        "word": problem.word.value,
        "detail": problem.detail,
        "newer_timestamp": problem.newer_timestamp,
    }
