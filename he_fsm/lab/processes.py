"""The processes of this machine that have to do with a folder."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Optional

import psutil

# Whoever looks at a lab starts processes that end by themselves; by then they have (seconds).
_ENDS_BY_ITSELF_S: Final = 1.0


def start_in(
    folder: Path, words: Sequence[str], log: str, env: Optional[Mapping[str, str]] = None
) -> subprocess.Popen[bytes]:
    """Start a process that works in *folder* and says what it says into *log* there."""
    with (folder / log).open("ab") as file:
        return subprocess.Popen(  # noqa: S603 - our own daemons, and the system's
            words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=folder,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )


def processes_about(folder: Path) -> Iterator[psutil.Process]:
    """Yield the living processes, but this one, that work in *folder* or have it as an argument."""
    for process in psutil.process_iter():
        try:
            is_about = (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and (
                    folder in (Path(process.cwd()), *Path(process.cwd()).parents)
                    or any(f"{folder}/" in argument for argument in process.cmdline())
                )
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if is_about:
            yield process


def not_ended(processes: list[psutil.Process]) -> Iterator[str]:
    """Yield a sentence for each of these that does not end by itself within a moment."""
    _, living = psutil.wait_procs(processes, timeout=_ENDS_BY_ITSELF_S)
    for process in living:
        with contextlib.suppress(psutil.NoSuchProcess):
            yield f"left over: {' '.join(process.cmdline())}"
