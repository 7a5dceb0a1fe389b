"""What keeping a host's decisions costs, and how fast a day of them is decided anew."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from table import NEITHER, Row
from timing import best, command_s

from he_fsm import parse_scenarios, simulate
from he_fsm.history.book import Writer
from he_fsm.history.look import Look, Session

# A day of loops of 10 s.
DAY = 8640
SCENARIO = """
scenarios:
  - name: day
    world: {jitter: 0s}
    hosts: 3
    engine: {running_on: 1}
    timeline:
      - {at: 1h, host: 1, power: off}
      - {at: 2h, host: 1, power: on}
      - {at: 5h, engine: kill}
      - {at: 8h, host: 2, set: {gateway: 0}}
      # Loads are never the same, and nobody's clock shows round numbers.
      - {at: 10s, every: 20s, host: 2, set: {cpu_load: 0.1234567, mem_free: 12345.67}}
      - {at: 20s, every: 20s, host: 2, set: {cpu_load: 0.2345678, mem_free: 12346.78}}
    until: 24h
"""
Looks = list[tuple[Session, Look]]


def replay_day() -> Iterator[Row]:
    """Keep a day of one host of three, and decide it anew."""
    looks = _day()
    frames: list[bytes] = []

    def keep() -> None:
        writer = Writer(looks[0][0])
        frames[:] = [writer.frame(look) for _, look in looks]

    seconds = best(keep)
    size = sum(map(len, frames))
    yield Row("keep a look, 3 hosts, beside the loop", seconds / len(looks) * 1e6, 500.0, "us")
    yield Row("  on the disk in a day", size / len(looks) * DAY / 2**20, 4.0, "MiB")
    with tempfile.TemporaryDirectory(prefix="he-fsm-bench-") as folder:
        Path(folder, "000000000001.ring").write_bytes(b"".join(frames))
        yield Row("he-fsm replay, a day, whole process", command_s("replay", folder), 3.0, "s")
    yield Row("  decisions", len(looks), None, "", NEITHER)


def _day() -> Looks:
    looks: Looks = []

    def take(host: str, session: Session, look: Look) -> None:
        if host == "2":
            looks.append((session, look))

    (scenario,) = parse_scenarios(SCENARIO, "day")
    simulate(scenario, record=take)
    return looks
