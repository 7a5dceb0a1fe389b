"""Running the command line: within this process, or as one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Callable, NamedTuple

import pytest

from he_fsm.cli.main import main

ROOT = Path(__file__).parents[2]
MAIN = "from he_fsm.cli.main import main; main()"


class Ran(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process."""

    def ran(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["he-fsm", *map(str, arguments)])
        status: object = 0
        try:
            main()
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        assert isinstance(status, int)
        return Ran(status, captured.out, captured.err)

    return ran


@pytest.fixture
def refused(run: Callable[..., Ran]) -> Callable[..., str]:
    """Run a command that must end with status 2 and one sentence; return the sentence."""

    def said(*arguments: object) -> str:
        ran = run(*arguments)
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.startswith("he-fsm: ")
        assert ran.err.count("\n") == 1
        return ran.err[len("he-fsm: ") : -1]

    return said


def environment(values: Mapping[str, str]) -> dict[str, str]:
    """Return what a process of its own gets: this package and nothing of the tests' settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, **values}


def command_line(*arguments: object) -> list[str]:
    """Return the command line of a process of its own."""
    return [sys.executable, "-c", MAIN, *map(str, arguments)]


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run a command as a process of its own, with *values* in its environment."""

    def ran(*arguments: object, **values: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command_line(*arguments),
            env=environment(values),
            capture_output=True,
            check=False,
            timeout=120,
        )

    return ran
