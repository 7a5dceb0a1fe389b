"""How fast the exhaustive check and campaigns are, on all cores, as whole commands."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from table import Row

RUNS = 400
YEARS = 10_000
# Each host fails once a month and is back after half an hour; the engine's VM dies every week.
CAMPAIGN = f"""
campaign:
  name: years
  hosts: 3
  engine: {{running_on: 1}}
  runs: {RUNS}
  horizon: 365d
  faults:
    - {{cause: host, mtbf: 30d, repair: 30m}}
    - {{cause: vm, mtbf: 7d}}
"""


def rows() -> Iterator[Row]:
    """Check two hosts and three with two faults, and play some hundred years of three hosts."""
    with tempfile.TemporaryDirectory(prefix="he-fsm-bench-") as name:
        folder = Path(name)
        found, seconds = _timed("check", "--output", str(folder))
        yield "check 2 hosts, 2 faults, all of it", seconds, 20.0, "s"
        yield "  states a second", found["states"] / found["seconds"], -50_000.0, "/s"
        found, seconds = _timed("check", "--hosts", "3", "--output", str(folder))
        yield "check 3 hosts, 2 faults, all of it", seconds, 300.0, "s"
        yield "  states a second", found["states"] / found["seconds"], -50_000.0, "/s"
        path = folder / "years.yaml"
        path.write_text(CAMPAIGN, encoding="utf-8")
        _, seconds = _timed("campaign", str(path))
        yield f"{YEARS:,} cluster-years, from {RUNS}", seconds * YEARS / RUNS, 180.0, "s"


def _timed(*arguments: str) -> tuple[dict[str, Any], float]:
    """Run a command, give its JSON and how long it took (s)."""
    code = "from he_fsm.cli.main import main; main()"
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, arguments[0], "--json", *arguments[1:]],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout), time.perf_counter() - began
