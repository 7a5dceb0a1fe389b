"""How long something takes."""

from __future__ import annotations

import subprocess
import sys
import timeit
from typing import Callable

COMMAND = (sys.executable, "-c", "from he_fsm.cli.main import main; main()")
HOSTED_ENGINE = (sys.executable, "-c", "from he_fsm.cli.hosted_engine import main; main()")


def best(run: Callable[[], object], repeat: int = 5) -> float:
    """Return the shortest of several runs, in seconds."""
    return min(timeit.repeat(run, number=1, repeat=repeat))


def command_s(*arguments: str, command: tuple[str, ...] = COMMAND, repeat: int = 5) -> float:
    """Time a whole command, the interpreter's start included: the shortest of several runs."""

    def run() -> None:
        subprocess.run([*command, *arguments], check=True, stdout=subprocess.DEVNULL)

    return best(run, repeat)
