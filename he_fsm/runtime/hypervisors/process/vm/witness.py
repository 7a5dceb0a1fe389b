"""
The proof that never two engine VMs execute: a lock, and a log of who had it when.

A VM's process holds an exclusive lock on the witness file for as long as it executes. One that
can't have it writes `DOUBLE` and goes on all the same: the witness prevents nothing, it tells
whether the lease did. The log stands beside the file, with the suffix `.log`; each line is

    <monotonic time> <host id> <pid> <word>

where the word is start, resume (a migration arrived, or was given up), leave (paused for its
switch-over), stop (powered off by its guest), die, or DOUBLE. A killed process writes nothing.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import attrs

DOUBLE = "DOUBLE"


@attrs.frozen
class WitnessLine:
    """One line of the log; `at` is on the machine's monotonic clock (seconds)."""

    at: float
    host_id: int
    pid: int
    word: str


class Witness:
    """One process's side of it."""

    def __init__(self, path: Path, host_id: int) -> None:
        """Open the files for a VM's process on the host *host_id*."""
        self._host_id = host_id
        self._is_executing = False
        self._lock = path.open("ab")
        # One write a line, so that lines of several processes never mix.
        self._log = log_of(path).open("ab", buffering=0)

    def executes(self, word: str) -> None:
        """Say that this process executes from now on."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._write(DOUBLE)
        self._is_executing = True
        self._write(word)

    def rests(self, word: str) -> None:
        """Say that this process executes no longer; nothing is said of one that did not."""
        if self._is_executing:
            self._is_executing = False
            self._write(word)
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files, and so release the lock."""
        self._lock.close()
        self._log.close()

    def _write(self, word: str) -> None:
        line = f"{time.monotonic():.6f} {self._host_id} {os.getpid()} {word}\n"
        self._log.write(line.encode())


def log_of(path: Path) -> Path:
    """Return the log of the witness file *path*."""
    return path.with_name(f"{path.name}.log")


def read_log(path: Path) -> tuple[WitnessLine, ...]:
    """Return the log of the witness file *path*; none is written where no VM ever ran."""
    try:
        text = log_of(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    lines = (line.split() for line in text.splitlines())
    return tuple(
        WitnessLine(float(at), int(host_id), int(pid), word) for at, host_id, pid, word in lines
    )
