"""
Runs a command that finds other files at places of one fixed path each.

`own_view.py [--stay] COMMAND... -- FROM=TO FROM=TO...` mounts each FROM over TO, in a view of its
own, and becomes the command there. libvirt's system daemon has fixed paths for its configuration,
its sockets and its state, and one path leads to the storage on all hosts: each process of a lab's
host has such a view. With --stay this process stays, as the init system of what the command leaves
running: libvirt takes a VM to have ended when its status was collected, which the init system of a
container may do once in a second only. It ends with the last of them. This is run by its path, with
no package around it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Optional

_STAY: Final = "--stay"
_BETWEEN: Final = "--"
# Source: linux/sched.h, linux/mount.h.
_CLONE_NEWNS: Final = 0x20000
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_SLAVE: Final = 0x80000
# Source: linux/prctl.h.
_PR_SET_CHILD_SUBREAPER: Final = 36


def words(command: list[str], places: Mapping[Path, Path], *, stays: bool = False) -> list[str]:
    """Return the command that runs *command* where each of *places* is mounted over its value."""
    return [
        *(sys.executable, "-I", "-S", __file__),
        *([_STAY] if stays else []),
        *command,
        _BETWEEN,
        *(f"{source}={target}" for source, target in places.items()),
    ]


def main() -> None:
    """Change the view, and run the command; ends with the error where that fails."""
    cut = len(sys.argv) - 1 - sys.argv[::-1].index(_BETWEEN)
    command, places = sys.argv[1:cut], sys.argv[cut + 1 :]
    stays = command[0] == _STAY
    if stays:
        del command[0]
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        _check(libc.unshare(_CLONE_NEWNS))
        # What others mount later is seen here as well, and nobody sees what is mounted here.
        _mount(libc, None, "/", _MS_REC | _MS_SLAVE)
        for place in places:
            source, _, target = place.partition("=")
            if not Path(target).exists():
                Path(target).mkdir(parents=True)
            _mount(libc, source, target, _MS_BIND | _MS_REC)
        if stays:
            _check(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
        if not stays or os.fork() == 0:
            if stays:
                os.setsid()
            os.execvp(command[0], command)  # noqa: S606 - a list of words, and no shell
    except OSError as error:
        sys.exit(f"{command[0]} can't be given a view of its own: {error}")
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _mount(libc: ctypes.CDLL, source: Optional[str], target: str, flags: int) -> None:
    name = None if source is None else source.encode()
    _check(libc.mount(name, target.encode(), None, ctypes.c_ulong(flags), None))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
