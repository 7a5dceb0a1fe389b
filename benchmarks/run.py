"""Measure he_fsm and print a table: `make bench`. Each figure is the best of several runs."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import timeit
from pathlib import Path
from typing import Callable

import attrs
import daemons
import pacemaker
import scale
from table import show

from he_fsm import (
    TALK,
    EngineStatus,
    HostRecord,
    LeaseView,
    LocalVm,
    Memory,
    OwnerState,
    Snapshot,
    VmState,
    Whiteboard,
    parse_scenarios,
    simulate,
    step,
)

ROOT = Path(__file__).parents[1]
DOWN = EngineStatus("down", "bad", "unknown", "vm not running on this host")
UP = EngineStatus("up", "good", "Up")
LOOKS = 60

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


def record(host_id: int, timestamp: int) -> HostRecord:
    """Give a healthy host's record; the engine runs on host 1."""
    return HostRecord(
        host_id=host_id,
        timestamp=timestamp,
        score=2400,
        engine=UP if host_id == 1 else DOWN,
        hostname=f"host{host_id}.example.com",
    )


def step_s(hosts: int) -> float:
    """Time one step in which every other host's record has grown."""
    snapshots = []
    for look in range(LOOKS):
        records = [record(host_id, 1000 + look) for host_id in range(1, hosts + 1)]
        snapshots.append(
            Snapshot(
                now=1000.0 + 10 * look,
                host_id=2,
                vm=LocalVm(VmState.ABSENT),
                own=records[1],
                whiteboard=Whiteboard.parse(Whiteboard.build(records)),
                leases=LeaseView(owner=1, owner_state=OwnerState.LIVE),
            )
        )
    beginning = Memory.beginning(0.0)
    for snapshot in snapshots[:3]:
        beginning = step(beginning, snapshot, TALK).memory

    def run() -> None:
        memory = beginning
        for snapshot in snapshots:
            memory = step(memory, snapshot, TALK).memory

    return best(run) / LOOKS


def best(run: Callable[[], object], repeat: int = 5) -> float:
    """Give the shortest of several runs, in seconds."""
    return min(timeit.repeat(run, number=1, repeat=repeat))


def simulation_s(text: str, repeat: int = 3) -> tuple[float, float]:
    """Give how long a scenario takes, and how many simulated seconds it has."""
    scenario = parse_scenarios(text, "benchmark")[0]
    return best(lambda: simulate(scenario), repeat), scenario.until


def process_s(*arguments: str) -> float:
    """Time a whole command, the interpreter's start included."""
    code = "from he_fsm.cli.main import main; main()"
    command = [sys.executable, "-c", code, *arguments]

    def run() -> None:
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    return best(run)


MEMORY = """
from he_fsm import EngineStatus, HostRecord, Whiteboard
import sys
def peak_kib():
    # Of this process alone: getrusage would inherit the peak of the one that started it.
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak_kib()
data = open(sys.argv[1], "rb").read()
whiteboard = Whiteboard.parse(data)
assert len(whiteboard.slots) == 2000
print(peak_kib() - before)
"""


def parse_figures() -> tuple[float, float]:
    """Give how long 2000 hosts take to parse, and the memory above the interpreter's, in MiB."""
    text = "x" * 600 + "\n"
    records = [record(host_id, 523411) for host_id in range(1, 2001)]
    data = Whiteboard.build([attrs.evolve(each, text=text) for each in records])
    path = ROOT / ".bench-whiteboard"
    path.write_bytes(data)
    try:
        command = [sys.executable, "-c", MEMORY, str(path)]
        found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    finally:
        path.unlink()
    return best(lambda: Whiteboard.parse(data)), int(found.stdout) / 1024


def main() -> None:
    """Measure everything and print the table."""
    began = time.perf_counter()
    rows = []
    for hosts, limit in ((3, 20e-6), (250, 1e-3)):
        seconds = step_s(hosts)
        rows.append((f"step, {hosts} hosts", seconds * 1e6, limit * 1e6, "us"))
        if hosts == 3:
            rows.append(("  steps a second", 1 / seconds, None, "/s"))
            rows.append(("  of oVirt's own agent (about 200)", 1 / seconds / 200, None, "x"))
    seconds, memory = parse_figures()
    rows.append(("parse a whiteboard of 2000 hosts", seconds * 1e3, 60.0, "ms"))
    rows.append(("  memory above the interpreter's", memory, 64.0, "MiB"))
    seconds, _ = simulation_s(QUIET)
    rows.append(("simulate a quiet day, 3 hosts", seconds, 0.2, "s"))
    century, _ = simulation_s(CENTURY)
    rows.append(("  a quiet century / a quiet day", century / seconds, 2.0, "x"))
    seconds, _ = simulation_s(YEAR)
    rows.append(("simulate a year, 88 faults, 3 hosts", seconds * 1e3, 30.0, "ms"))
    seconds, until = simulation_s(HOURLY)
    rows.append(("simulated s per s, a fault every hour", until / seconds, -100_000.0, "s/s"))
    rows.append(("  of Proxmox's tester (about 900)", until / seconds / 900, None, "x"))
    seconds, _ = simulation_s(CRASH, repeat=1)
    rows.append(("250 hosts, a host crash, an hour", seconds, 20.0, "s"))
    seconds, _ = simulation_s(BUSY_DAY, repeat=1)
    rows.append(("250 hosts, a day, a fault an hour", seconds, 5.0, "s"))
    rows.append(
        ("the talk's file, whole process", process_s("simulate", "examples/talk.yaml"), 1.5, "s")
    )
    rows.append(("he-fsm --help, whole process", process_s("--help"), 0.3, "s"))
    rows.extend(pacemaker.rows())
    rows.extend(scale.rows())
    rows.extend(daemons.rows())
    show(rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{time.perf_counter() - began:.0f} s in all, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
