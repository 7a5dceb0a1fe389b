"""The last part of the daemons' logs, wherever they go."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.errors import HeFsmError

# So much of the end of each log.
_TAIL_BYTES: Final = 4 * 2**20
_LINES: Final = 50_000
_JOURNAL_S: Final = 30.0
_LOCKS: Final = Path("/proc/locks")
_UNITS: Final = "he-fsm-*"


@attrs.frozen
class Log:
    """The last part of a log, and what messages call it."""

    name: str
    text: str


def log_file(lock: Path) -> Optional[Path]:
    """
    Return the file to which the daemon writes that holds a lock; None: it runs not, or to no file.

    Source: proc(5), /proc/locks: the process and the inode of each lock.
    """
    for pid in _holders(lock):
        try:
            target = Path(f"/proc/{pid}/fd/2").resolve(strict=True)
            if stat.S_ISREG(target.stat().st_mode):
                return target
        except OSError:
            continue
    return None


def _holders(lock: Path) -> Iterator[int]:
    try:
        inode = str(lock.stat().st_ino)
        lines = _LOCKS.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        fields = line.split()
        if len(fields) >= 6 and fields[5].rpartition(":")[2] == inode and fields[4].isdecimal():
            yield int(fields[4])


def tail(path: Path) -> str:
    """
    Return the last lines of a file.

    Raises:
        HeFsmError: it is no file, or can't be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                msg = f"{path}: not a regular file"
                raise HeFsmError(msg)
            begin = max(0, status.st_size - _TAIL_BYTES)
            file.seek(begin)
            data = file.read(_TAIL_BYTES)
    except OSError as error:
        msg = f"{path}: can't be read: {error.strerror}"
        raise HeFsmError(msg) from error
    return _whole_lines(data, is_cut=begin > 0)


def _whole_lines(data: bytes, *, is_cut: bool) -> str:
    """Return the end of a log; the first line of a part may be half a line, and half a secret."""
    text = data[-_TAIL_BYTES:].decode("utf-8", "replace")
    return text.partition("\n")[2] if is_cut else text


def journal() -> str:
    """
    Return the last lines of the daemons' units in systemd's journal.

    Raises:
        HeFsmError: there is no journal, or it has none of them.
    """
    command = ["journalctl", "--no-pager", "-q", "-o", "short-iso", "-n", str(_LINES), "-u", _UNITS]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_JOURNAL_S,
            check=False,
        )
    except FileNotFoundError as error:
        msg = "there is no systemd journal here; name the daemons' log files with --log FILE"
        raise HeFsmError(msg) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"journalctl can't be asked: {error}"
        raise HeFsmError(msg) from error
    text = _whole_lines(done.stdout, is_cut=len(done.stdout) > _TAIL_BYTES)
    if not re.search(r"\S", text):
        msg = f"systemd's journal has no lines of {_UNITS}; name log files with --log FILE"
        raise HeFsmError(msg)
    return text
