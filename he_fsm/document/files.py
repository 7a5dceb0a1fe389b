"""Reading of a text file."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from he_fsm.errors import DocumentError


def read_text(path: Union[str, Path]) -> str:
    """
    Read a file in UTF-8, with or without a byte order mark.

    Raises:
        DocumentError: the file can't be read, or is not UTF-8. The error names the file as *path*
            does, with line and column.
    """
    file_name = str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        msg = f"{file_name}: can't be read: {e.strerror or e}"
        raise DocumentError(msg) from e
    except ValueError as e:
        msg = f"{file_name!r}: no path of a file: {e}"
        raise DocumentError(msg) from e
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        before = data[: e.start]
        column = e.start - (before.rfind(b"\n") + 1) + 1
        msg = f"{file_name}:{before.count(10) + 1}:{column}: not UTF-8 (byte 0x{data[e.start]:02x})"
        raise DocumentError(msg) from e
