"""
What is kept from one run to the next: `$XDG_CACHE_HOME/he-fsm`, outside of any source tree.

Several runs may use it at once, so a file appears there as a whole or not at all.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from he_fsm.errors import HeFsmError

_VARIABLE: Final = "XDG_CACHE_HOME"


class GuestError(HeFsmError):
    """The guest can't be built here; the message says what is missing."""


def cache_place() -> Path:
    """
    Return where the folder is, or would be; nothing is made.

    Raises:
        GuestError: this user has no home.
    """
    named = os.environ.get(_VARIABLE, "")
    # Source: the XDG Base Directory Specification; a relative path is to be ignored.
    if os.path.isabs(named):  # noqa: PTH117 - a text, which may be empty
        return Path(named, "he-fsm")
    try:
        return Path.home() / ".cache" / "he-fsm"
    # Which of them it is depends on the Python.
    except (KeyError, RuntimeError) as error:
        msg = f"this user has no home for a cache: let {_VARIABLE} name a folder"
        raise GuestError(msg) from error


def cache_folder() -> Path:
    """
    Return the folder; it is made where it is missing.

    Raises:
        GuestError: it can't be made, or this user may not write there.
    """
    folder = cache_place()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = error.strerror
        msg = f"nothing can be kept in {folder}: {why}; let {_VARIABLE} name another folder"
        raise GuestError(msg) from error
    return folder


def forget_old(pattern: str, kept: int) -> None:
    """Remove all but the newest of the files of the cache that fit *pattern*."""
    ages = []
    for path in cache_folder().glob(pattern):
        # Another run may be removing it.
        with suppress(FileNotFoundError):
            ages.append((path.stat().st_mtime, path))
    for _, path in sorted(ages, reverse=True)[kept:]:
        path.unlink(missing_ok=True)
