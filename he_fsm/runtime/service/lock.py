"""Files that are locked: for as long as a process lives, or for a moment."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from he_fsm.errors import HeFsmError


@attrs.frozen
class Claim:
    """A lock file that this process holds; the kernel lets it go with the process."""

    descriptor: int

    @classmethod
    def take(cls, path: Path, what: str) -> Claim:
        """
        Be the only process that does *what* with the file *path*.

        Raises:
            HeFsmError: another one is, or the file can't be made.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            msg = f"can't make {path}: {error.strerror}"
            raise HeFsmError(msg) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            msg = f"another {what} runs here: it holds {path}"
            raise HeFsmError(msg) from error
        return cls(descriptor)

    def release(self) -> None:
        """Release the lock; the file stays, so that nobody locks one that is gone."""
        os.close(self.descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file *path*, which is made; for moments only."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
