"""
Runs a command that finds other folders at /run/wdmd and /etc/sanlock.

`behind_watchdog.py WDMD ETC COMMAND...`: `-` instead of a folder leaves a place as it is. ETC has a
folder `sanlock`. libwdmd's socket and sanlock.conf have one fixed path each, so each sanlock daemon
gets a view of /run and /etc of its own. This is run by its path, with no package around it, and
becomes the command.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Final, Optional

_RUN: Final = Path("/run")
_ETC: Final = Path("/etc")
_NONE: Final = "-"
_WDMD: Final = _RUN / "wdmd"
# Source: linux/sched.h, linux/mount.h.
_CLONE_NEWNS: Final = 0x20000
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_SLAVE: Final = 0x80000


def main() -> None:
    """Change the view, and become the command; ends with the error where that fails."""
    folder, etc, *command = sys.argv[1:]
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        _check(libc.unshare(_CLONE_NEWNS))
        # What others mount later is seen here as well, and nobody sees what is mounted here.
        _mount(libc, None, "/", None, _MS_REC | _MS_SLAVE)
        if folder != _NONE:
            if not _WDMD.is_dir():
                _cover_run(libc)
            _mount(libc, folder, str(_WDMD), None, _MS_BIND)
        if etc != _NONE:
            # Laid over the machine's own, and read-only.
            _mount(libc, "overlay", str(_ETC), "overlay", 0, f"lowerdir={etc}:{_ETC}")
        os.execvp(command[0], command)  # noqa: S606 - a list of words, and no shell
    except OSError as error:
        sys.exit(f"{command[0]} can't be put behind a watchdog: {error}")


def _cover_run(libc: ctypes.CDLL) -> None:
    """Make /run a folder that can be written to here, with all the folders that it has."""
    before = os.open(_RUN, os.O_PATH | os.O_DIRECTORY)
    folders = [each.name for each in _RUN.iterdir() if each.is_dir() and not each.is_symlink()]
    _mount(libc, "tmpfs", str(_RUN), "tmpfs", 0)
    for name in folders:
        (_RUN / name).mkdir()
        source = f"/proc/self/fd/{before}/{name}"
        _mount(libc, source, str(_RUN / name), None, _MS_BIND | _MS_REC)
    os.close(before)
    _WDMD.mkdir()


def _mount(  # noqa: PLR0913 - mount(2)
    libc: ctypes.CDLL,
    source: Optional[str],
    target: str,
    kind: Optional[str],
    flags: int,
    options: Optional[str] = None,
) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind, options)]
    _check(libc.mount(*words[:3], ctypes.c_ulong(flags), words[3]))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
