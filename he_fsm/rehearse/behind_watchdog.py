"""
Runs a command that finds another folder at /run/wdmd: `behind_watchdog.py FOLDER COMMAND...`.

libwdmd's socket has one fixed path, so each sanlock daemon gets a view of /run of its own. This is
run by its path, with no package around it, and becomes the command.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Final, Optional

_RUN: Final = Path("/run")
_WDMD: Final = _RUN / "wdmd"
# Source: linux/sched.h, linux/mount.h.
_CLONE_NEWNS: Final = 0x20000
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_SLAVE: Final = 0x80000


def main() -> None:
    """Change the view of /run, and become the command; ends with the error where that fails."""
    folder, *command = sys.argv[1:]
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        _check(libc.unshare(_CLONE_NEWNS))
        # What others mount later is seen here as well, and nobody sees what is mounted here.
        _mount(libc, None, "/", None, _MS_REC | _MS_SLAVE)
        if not _WDMD.is_dir():
            _cover_run(libc)
        _mount(libc, folder, str(_WDMD), None, _MS_BIND)
        os.execvp(command[0], command)  # noqa: S606 - a list of words, and no shell
    except OSError as error:
        sys.exit(f"{command[0]} can't be put behind a watchdog: {error}")


def _cover_run(libc: ctypes.CDLL) -> None:
    """Let /run be a folder that can be written to here, with all the folders that it has."""
    before = os.open(_RUN, os.O_PATH | os.O_DIRECTORY)
    folders = [each.name for each in _RUN.iterdir() if each.is_dir() and not each.is_symlink()]
    _mount(libc, "tmpfs", str(_RUN), "tmpfs", 0)
    for name in folders:
        (_RUN / name).mkdir()
        source = f"/proc/self/fd/{before}/{name}"
        _mount(libc, source, str(_RUN / name), None, _MS_BIND | _MS_REC)
    os.close(before)
    _WDMD.mkdir()


def _mount(
    libc: ctypes.CDLL, source: Optional[str], target: str, kind: Optional[str], flags: int
) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind)]
    _check(libc.mount(*words, ctypes.c_ulong(flags), None))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
