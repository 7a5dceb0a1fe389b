"""
All processes that a process has begun, whoever begot them, and their end.

A process of which the kernel makes the parent of orphans (`adopt_orphans`) loses none of its
descendants: what detaches itself, in a session of its own and without a parent, is still below it.
So whoever ends all that is below such a process, again and again until nothing is left, has ended
the whole program.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from he_fsm.runtime.hypervisors.vm_file import parent_of
from he_fsm.runtime.hypervisors.vm_process import kill_process

# In the environment of all that runs under a lease: which file is locked while anything is left.
MARK: Final = "HE_FSM_SERVICE"
# Source: linux/prctl.h.
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def adopt_orphans() -> None:
    """Become the parent of all orphans among this process's descendants; raises `OSError`."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; at once where it has died already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# Before any fork: what is done between a fork and an exec should load nothing.
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def descendants(root: int) -> list[tuple[int, int]]:
    """Return the processes below *root*, each with its start in clock ticks since boot."""
    children: dict[int, list[tuple[int, int]]] = {}
    for pid in _pids():
        found = parent_of(pid)
        if found is not None:
            children.setdefault(found[0], []).append((pid, found[1]))
    below: list[tuple[int, int]] = []
    waiting = [root]
    while waiting:
        for pid, ticks in children.get(waiting.pop(), ()):
            below.append((pid, ticks))
            waiting.append(pid)
    return below


def kill_below(root: int, *, spared: int = 0) -> bool:
    """Kill all processes below *root* but one; return whether none was there."""
    found = [each for each in descendants(root) if each[0] != spared]
    # Stopped first: a process that is stopped begets no other one while the rest is killed.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid, ticks in found:
            # Another user's: it can't be killed, and whoever waits for its end goes on waiting.
            with suppress(PermissionError):
                kill_process(pid, ticks, number)
    return not found


def kill_holders(path: Path) -> None:
    """Kill every process that has a file open; a file that is not there is nobody's."""
    try:
        wanted = path.stat()
    except FileNotFoundError:
        return
    for pid in _pids():
        found = parent_of(pid)
        if found is None or pid == os.getpid():
            continue
        with suppress(OSError):
            if any(os.path.samestat(wanted, each) for each in _opened_by(pid)):
                kill_process(pid, found[1], signal.SIGKILL)


def kill_marked(mark: str) -> bool:
    """
    Kill every process whose `MARK` is *mark*; return whether one was there.

    Those of other users are not seen, nor those that were begun with another environment.
    """
    wanted = f"{MARK}={mark}".encode()
    is_found = False
    for pid in _pids():
        found = parent_of(pid)
        with suppress(OSError):
            words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if found is not None and pid != os.getpid() and wanted in words:
                kill_process(pid, found[1], signal.SIGKILL)
                is_found = True
    return is_found


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())


def _opened_by(pid: int) -> Iterator[os.stat_result]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield link.stat()
