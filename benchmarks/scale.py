"""How fast the exhaustive check and campaigns are, on all cores, as whole commands."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from simulations import compiled_environment
from table import Row

YEARS = 10_000
# Each host fails once a month and is back after half an hour; the engine's VM dies every week.
CAMPAIGN = """
campaign:
  name: years
  hosts: 3
  engine: {running_on: 1}
  runs: RUNS
  horizon: 365d
  faults:
    - {cause: host, mtbf: 30d, repair: 30m}
    - {cause: vm, mtbf: 7d}
"""


def rows() -> Iterator[Row]:
    """Check two hosts and three with two faults, and play some hundred years of three hosts."""
    compiled = compiled_environment()
    with tempfile.TemporaryDirectory(prefix="he-fsm-bench-") as name:
        folder = Path(name)
        found, seconds = _timed("check", "--output", str(folder))
        yield "check 2 hosts, 2 faults, all of it", seconds, 20.0, "s"
        yield "  states a second", found["states"] / found["seconds"], -50_000.0, "/s"
        found, seconds = _timed("check", "--hosts", "3", "--output", str(folder))
        yield "check 3 hosts, 2 faults, all of it", seconds, 300.0, "s"
        yield "  states a second", found["states"] / found["seconds"], -50_000.0, "/s"
        if compiled is not None:
            command = ("check", "--hosts", "3", "--output", str(folder))
            found, seconds = _timed(*command, environment=compiled)
            yield "  compiled", seconds, 300.0, "s"
            yield "  states a second", found["states"] / found["seconds"], -50_000.0, "/s"
        path = folder / "years.yaml"
        yield f"{YEARS:,} cluster-years, from 400", _campaign_s(path, 400), 180.0, "s"
        seconds = None if compiled is None else _campaign_s(path, 2000, compiled)
        yield "  compiled, from 2000", seconds, 180.0, "s"


def _campaign_s(path: Path, runs: int, environment: Optional[dict[str, str]] = None) -> float:
    """Give how long all years take, by so many of them (s)."""
    path.write_text(CAMPAIGN.replace("RUNS", str(runs)), encoding="utf-8")
    _, seconds = _timed("campaign", str(path), environment=environment)
    return seconds * YEARS / runs


def _timed(
    *arguments: str, environment: Optional[dict[str, str]] = None
) -> tuple[dict[str, Any], float]:
    """Run a command, give its JSON and how long it took (s)."""
    code = "from he_fsm.cli.main import main; main()"
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, arguments[0], "--json", *arguments[1:]],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=None if environment is None else environment["PYTHONPATH"],
    )
    return json.loads(done.stdout), time.perf_counter() - began
