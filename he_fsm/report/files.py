"""Writing of reports: a file is replaced atomically."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from he_fsm.errors import HeFsmError
from he_fsm.files import whole


def check_place(path: Path) -> None:
    """
    Check that a file's folder exists and is writable.

    Raises:
        HeFsmError: it does not exist, or is not writable.
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
    Write a file atomically: it has either its old content or the new one.

    Raises:
        HeFsmError: the file can't be written; an old file is unchanged.
    """
    if path.exists() and not path.is_file():
        msg = f"can't write {path}: it is no regular file"
        raise HeFsmError(msg)
    try:
        # Behind a link is what people mean.
        whole.write_whole(path.resolve(), content)
    except OSError as error:
        msg = f"can't write {path}: {error.strerror}"
        raise HeFsmError(msg) from error
