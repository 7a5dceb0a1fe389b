"""A folder whose files are slow: each read and each write takes a set time before it is done."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final, Optional

from he_fsm.lab.mount import Mount, can_mount

_SLOW_CALLS: Final = "pread64,pwrite64"
_NEEDED: Final = ("bindfs", "strace")


def why_not() -> Optional[str]:
    """Return why a slow folder can't be mounted by this user on this machine; None: it can."""
    if not can_mount():
        return "only root can mount a storage that is slow"
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    return f"a slow storage needs {' and '.join(missing)}" if missing else None


class SlowMount(Mount):
    """
    The folder *shared*, seen at *point*, where each read and each write takes *latency_s* longer.

    strace holds up the calls of the pass-through (bindfs) that serves the mount, each by itself: a
    call does not wait for another one, as on storage that is far away. Opening, locking and closing
    are as quick as ever.
    """

    def __init__(self, shared: Path, point: Path, latency_s: float) -> None:
        """Make the mount point; nothing is mounted yet."""
        super().__init__(shared, point)
        self._latency_s = latency_s

    def command(self) -> list[str]:
        """Return the pass-through's words behind those of strace, which ends with it."""
        served, *words = super().command()
        microseconds = round(self._latency_s * 1_000_000)
        return [
            # With -D this process becomes the pass-through, and strace a process beside it.
            *("strace", "-D", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf"),
            *("-e", f"trace={_SLOW_CALLS}"),
            *("-e", f"inject={_SLOW_CALLS}:delay_enter={microseconds}"),
            *(served, "--multithreaded", *words),
        ]
