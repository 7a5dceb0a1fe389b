"""How fast the exhaustive check and campaigns are, on all cores, as whole commands."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from table import MORE, Row, is_compiled
from timing import COMMAND

YEARS = 10_000
# The kinds of faults that the checks began with: their figures go on meaning the same.
ELEVEN = (
    *("crash", "agent", "cut", "gateway", "maintenance", "clock", "vm", "global", "stale"),
    *("start", "migration"),
)
EIGHTEEN = (*ELEVEN, "hypervisor", "hang", "pause", "outside", "upgrade", "shutdown", "stuck")
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
# The same where a host fails twice a year, and is back after four hours.
RARE = """
campaign:
  name: rare
  hosts: 3
  engine: {running_on: 1}
  runs: RUNS
  horizon: 365d
  faults:
    - {cause: host, mtbf: 180d, repair: 4h}
"""


def check_2() -> Iterator[Row]:
    """Check two hosts with two faults."""
    yield from _checked("check 2 hosts, 2 faults, eighteen kinds", 20.0, *_kinds(EIGHTEEN))


def check_2_all() -> Iterator[Row]:
    """Check two hosts with two faults of all kinds that there are."""
    yield from _checked("check 2 hosts, 2 faults, all kinds", 20.0)


def check_3() -> Iterator[Row]:
    """Check three hosts with two faults."""
    options = ("--hosts", "3", *_kinds(ELEVEN))
    yield from _checked("check 3 hosts, 2 faults, eleven kinds", 300.0, *options)


def _kinds(names: tuple[str, ...]) -> list[str]:
    return [word for name in names for word in ("--kind", name)]


def campaign() -> Iterator[Row]:
    """Play some hundred years of three hosts, by which all of them are reckoned."""
    runs = 2000 if is_compiled() else 400
    with tempfile.TemporaryDirectory(prefix="he-fsm-bench-") as name:
        path = Path(name) / "years.yaml"
        path.write_text(CAMPAIGN.replace("RUNS", str(runs)), encoding="utf-8")
        _, seconds = _timed("campaign", str(path))
    yield Row(f"{YEARS:,} cluster-years, from {runs}", seconds * YEARS / runs, 180.0, "s")


def precision() -> Iterator[Row]:
    """Find the unavailability of three hosts to 5 %: as above, and where failures are rare."""
    for what, text in (("often", CAMPAIGN), ("rarely", RARE)):
        with tempfile.TemporaryDirectory(prefix="he-fsm-bench-") as name:
            path = Path(name) / "precision.yaml"
            path.write_text(text.replace("runs: RUNS", "precision: 5%"), encoding="utf-8")
            _, seconds = _timed("campaign", str(path), "--jobs", "1")
        yield Row(f"unavailability to 5 %, hosts fail {what}", seconds, 2.0, "s")


def _checked(what: str, limit_s: float, *options: str) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="he-fsm-bench-") as name:
        found, seconds = _timed("check", *options, "--output", name)
    yield Row(what, seconds, limit_s, "s")
    yield Row("  states a second", found["states"] / found["seconds"], 50_000.0, "/s", MORE)


def _timed(command: str, *arguments: str) -> tuple[dict[str, Any], float]:
    """Run a command; return its JSON, and how long it took (s)."""
    began = time.perf_counter()
    done = subprocess.run(
        [*COMMAND, command, "--json", *arguments], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout), time.perf_counter() - began
