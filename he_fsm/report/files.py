"""Writing a report: a file is replaced at once, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from he_fsm.errors import HeFsmError


def check_place(path: Path) -> None:
    """
    Make sure that there is a folder in which a file can be written.

    Raises:
        HeFsmError: there is none, or nothing may be written there.
    """
    folder = path.resolve().parent
    try:
        folder.stat()
    except OSError as error:
        msg = f"can't write {path}: {error.strerror}"
        raise HeFsmError(msg) from error
    if not os.access(folder, os.W_OK):
        msg = f"can't write {path}: {os.strerror(errno.EACCES)}"
        raise HeFsmError(msg)


def write_whole(path: Path, content: bytes) -> None:
    """
    Write a file, which is replaced at once or not at all.

    Raises:
        HeFsmError: it can't be written; the old one, if there is one, is as it was.
    """
    if path.exists() and not path.is_file():
        msg = f"can't write {path}: it is no regular file"
        raise HeFsmError(msg)
    # Behind a link is what people mean; and only within one folder a file is replaced at once.
    target = path.resolve()
    new = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
    try:
        try:
            with new.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
    except OSError as error:
        msg = f"can't write {path}: {error.strerror}"
        raise HeFsmError(msg) from error
