"""Mounts of a lab that are seen in every mount namespace of it, whenever they are made."""

from __future__ import annotations

import subprocess
from pathlib import Path

from he_fsm.errors import HeFsmError
from he_fsm.lab.mount import is_mounted


class SharedMounts:
    """
    What is mounted and unmounted below *folder*, for daemons that have a view of their own too.

    A daemon in a network namespace has its own /sys, one behind a watchdog its own /run: without
    this, a host's storage that is mounted again would stay broken for them.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder; nothing is mounted yet."""
        self._folder = folder

    def begin(self) -> None:
        """Share from now on; raises `HeFsmError` where that fails."""
        folder = str(self._folder)
        _run("mount", "--bind", folder, folder)
        # First away from what the machine's own mounts are shared with.
        _run("mount", "--make-private", folder)
        _run("mount", "--make-shared", folder)

    def end(self) -> None:
        """Leave nothing mounted."""
        while is_mounted(self._folder):
            _run("umount", "-l", str(self._folder))


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, check=False, text=True)  # noqa: S603 - no shell
    if done.returncode:
        msg = f"{' '.join(words)}: {done.stderr.strip()}"
        raise HeFsmError(msg)
