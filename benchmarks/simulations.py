"""How fast scenarios are played: plain, and compiled where `make compiled` has been called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

from table import Row

from he_fsm import parse_scenarios, simulate

# Where `make compiled` puts it.
COMPILED = Path(__file__).resolve().parents[1] / "build" / "compiled"

QUIET = "scenarios: [{name: quiet, hosts: 3, engine: {running_on: 1}, until: 1d}]"
HOURLY = """
scenarios:
  - name: a fault every hour
    hosts: 3
    engine: {running_on: 1}
    timeline:
      - {at: 30m, every: 4h, engine: kill}
      - {at: 90m, every: 4h, host: 1, set: {gateway: 0}}
      - {at: 95m, every: 4h, host: 1, set: {gateway: 1}}
      - {at: 150m, every: 4h, host: 2, power: reset}
      - {at: 210m, every: 4h, host: 3, agent: kill}
      - {at: 212m, every: 4h, host: 3, agent: start}
    until: 4d
"""
CRASH = """
scenarios:
  - name: crash
    hosts: 250
    engine: {running_on: 1}
    timeline: [{at: 60s, host: 1, power: off}]
    until: 1h
"""
# Each host fails once a month and is back after half an hour; the engine's VM dies every week.
YEAR = """
scenarios:
  - name: a year
    hosts: 3
    engine: {running_on: 1}
    timeline:
      - {at: 3d, every: 7d, engine: kill}
      - {at: 10d, every: 30d, host: 1, power: off}
      - {at: 241h, every: 30d, host: 1, power: on}
      - {at: 20d, every: 30d, host: 2, power: off}
      - {at: 481h, every: 30d, host: 2, power: on}
      - {at: 30d, every: 30d, host: 3, power: off}
      - {at: 721h, every: 30d, host: 3, power: on}
    until: 365d
"""
CENTURY = "scenarios: [{name: quiet, hosts: 3, engine: {running_on: 1}, until: 36500d}]"
BUSY_DAY = """
scenarios:
  - name: a fault every hour
    hosts: 250
    engine: {running_on: 1}
    timeline:
      - {at: 30m, every: 4h, engine: kill}
      - {at: 90m, every: 4h, host: 1, power: off}
      - {at: 150m, every: 4h, host: 1, power: on}
      - {at: 210m, every: 4h, host: 3, agent: kill}
      - {at: 220m, every: 4h, host: 3, agent: start}
    until: 1d
"""


def best(run: Callable[[], object], repeat: int = 5) -> float:
    """Give the shortest of several runs, in seconds."""
    return min(timeit.repeat(run, number=1, repeat=repeat))


def simulation_s(text: str, repeat: int = 3) -> tuple[float, float]:
    """Give how long a scenario takes, and how many simulated seconds it has."""
    scenario = parse_scenarios(text, "benchmark")[0]
    return best(lambda: simulate(scenario), repeat), scenario.until


def compiled_environment() -> Optional[dict[str, str]]:
    """Give the environment in which processes use the compiled build; None: there is none."""
    if not list(COMPILED.glob("he_fsm/step.*.so")):
        return None
    return {**os.environ, "PYTHONPATH": str(COMPILED)}


def rows() -> Iterator[Row]:
    """Play quiet times, a year, faults every hour, and large clusters."""
    day, _ = simulation_s(QUIET)
    yield "simulate a quiet day, 3 hosts", day, 0.2, "s"
    century, _ = simulation_s(CENTURY)
    yield "  a quiet century / a quiet day", century / day, 2.0, "x"
    year, busy_day = figures()
    yield "simulate a year, 88 faults, 3 hosts", year * 1e3, 30.0, "ms"
    compiled = _compiled_figures()
    yield "  compiled", None if compiled is None else compiled[0] * 1e3, 30.0, "ms"
    seconds, until = simulation_s(HOURLY)
    yield "simulated s per s, a fault every hour", until / seconds, -100_000.0, "s/s"
    yield "  of Proxmox's tester (about 900)", until / seconds / 900, None, "x"
    seconds, _ = simulation_s(CRASH)
    yield "250 hosts, a host crash, an hour", seconds, 20.0, "s"
    yield "250 hosts, a day, a fault an hour", busy_day, 5.0, "s"
    yield "  compiled", None if compiled is None else compiled[1], 5.0, "s"


def figures() -> tuple[float, float]:
    """Give how long a year of 3 hosts takes, and a day of 250 (s)."""
    year, _ = simulation_s(YEAR, repeat=9)
    busy_day, _ = simulation_s(BUSY_DAY)
    return year, busy_day


def _compiled_figures() -> Optional[tuple[float, float]]:
    environment = compiled_environment()
    if environment is None:
        return None
    command = [sys.executable, __file__]
    done = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, cwd=COMPILED
    )
    year, busy_day = json.loads(done.stdout)
    return year, busy_day


if __name__ == "__main__":
    print(json.dumps(figures()))
