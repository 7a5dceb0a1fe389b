"""Passwords stand in files of their own, which others can't read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from he_fsm.errors import ConfigError

_FORBIDDEN: Final = stat.S_IROTH | stat.S_IWOTH
# Far above any password; a path that leads somewhere else must not fill the memory.
_BYTES_MAX: Final = 4096


def read_password(path: Path) -> str:
    """
    Read the password that stands on the only line of a file.

    Raises:
        ConfigError: the file can't be read, holds nothing or more than one line, or others may
            read or write it.
    """
    try:
        # A pipe would otherwise wait for somebody who writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            _check_mode(path, mode)
            data = file.read(_BYTES_MAX + 1)
        text = data.decode("utf-8")
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "not UTF-8"
        msg = f"{path}: the password can't be read: {reason}"
        raise ConfigError(msg) from e
    password = text.removesuffix("\n")
    if not password or "\n" in password or len(data) > _BYTES_MAX:
        msg = f"{path}: expected one line with the password and nothing else"
        raise ConfigError(msg)
    return password


def _check_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        msg = f"{path}: the password can't be read: not a regular file"
        raise ConfigError(msg)
    if mode & _FORBIDDEN:
        msg = (
            f"{path}: others can read or write this password (mode {stat.S_IMODE(mode):04o}),"
            " expected 0640 or stricter"
        )
        raise ConfigError(msg)
