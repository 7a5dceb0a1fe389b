"""Programs that stand before the real sanlock, by a folder at the beginning of PATH."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import attrs

_PATH = "/usr/sbin:/usr/bin:/sbin"


def odd_sanlock(folder: Path, what: str) -> Path:
    """Return a program that does *what* while there is a file `odd` beside it, and is sanlock."""
    odd = folder / "bin" / "odd"
    return _program(folder, f'if [ -e "{odd}" ]; then {what}; fi')


@attrs.frozen
class Commands:
    """A program that is sanlock, and notes each start."""

    program: Path
    _notes: Path

    def count(self) -> int:
        """Return how often it was started."""
        return len(self._notes.read_text().splitlines())

    def rests_for(self, seconds: float) -> bool:
        """Return whether it was started, and not within so many seconds."""
        return self.count() > 0 and time.time() - self._notes.stat().st_mtime > seconds


def counting(folder: Path) -> Commands:
    """Make such a program."""
    notes = folder / "commands"
    notes.touch()
    return Commands(_program(folder, f'echo "$*" >> "{notes}"'), notes)


def _program(folder: Path, first: str) -> Path:
    path = folder / "bin" / "sanlock"
    path.parent.mkdir()
    real = shutil.which("sanlock", path=_PATH)
    path.write_text(f'#!/bin/sh\n{first}\nexec {real} "$@"\n')
    path.chmod(0o755)
    return path
