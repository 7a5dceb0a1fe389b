"""What `make bench` measures can be had one by one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
EVERY = """
import importlib
from measurements import MEASUREMENTS
for each in MEASUREMENTS.values():
    assert callable(getattr(importlib.import_module(each.module), each.name.replace("-", "_")))
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=BENCHMARKS, check=False, capture_output=True, text=True
    )


@pytest.mark.once
def test_every_name_has_its_function() -> None:
    done = run("-c", EVERY)
    assert done.returncode == 0, done.stderr


def test_one_measurement_is_printed_as_lines_of_json() -> None:
    done = run("run.py", "--json", "--only", "step-3")
    assert done.returncode == 0, done.stderr
    step, *_ = found = [json.loads(line) for line in done.stdout.splitlines()]
    assert (step["what"], step["unit"], step["better"]) == ("step, 3 hosts", "us", "less")
    assert all(each["found"] > 0 for each in found)


def test_a_name_that_is_none_is_refused_with_those_that_are() -> None:
    done = run("run.py", "--only", "nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'nonsense'" in done.stderr
    assert "step-3" in done.stderr
