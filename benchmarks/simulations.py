"""How fast scenarios are played."""

from __future__ import annotations

from collections.abc import Iterator

from table import MORE, Row
from timing import best

from he_fsm import parse_scenarios, simulate

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


def quiet_day() -> Iterator[Row]:
    """Play times in which nothing happens."""
    day, _ = _played_s(QUIET)
    yield Row("simulate a quiet day, 3 hosts", day, 0.2, "s")
    century, _ = _played_s(CENTURY)
    yield Row("  a quiet century / a quiet day", century / day, 2.0, "x")


def year() -> Iterator[Row]:
    """Play a year of three hosts."""
    seconds, _ = _played_s(YEAR, repeat=9)
    yield Row("simulate a year, 88 faults, 3 hosts", seconds * 1e3, 30.0, "ms")


def hourly() -> Iterator[Row]:
    """Play four days of faults."""
    seconds, until = _played_s(HOURLY)
    speed = until / seconds
    yield Row("simulated s per s, a fault every hour", speed, 100_000.0, "s/s", MORE)


def crash_250() -> Iterator[Row]:
    """Play the hour in which one of 250 hosts dies."""
    yield Row("250 hosts, a host crash, an hour", _played_s(CRASH)[0], 20.0, "s")


def busy_250() -> Iterator[Row]:
    """Play a day of 250 hosts."""
    yield Row("250 hosts, a day, a fault an hour", _played_s(BUSY_DAY)[0], 5.0, "s")


def _played_s(text: str, repeat: int = 3) -> tuple[float, float]:
    """Return how long a scenario takes, and how many simulated seconds it has."""
    scenario = parse_scenarios(text, "benchmark")[0]
    return best(lambda: simulate(scenario), repeat), scenario.until
