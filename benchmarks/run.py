"""Measure he_fsm and print a table: `make bench`. Each figure is the best of several runs."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import attrs
import daemons
import pacemaker
import scale
import simulations
from simulations import best
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
    step,
)

ROOT = Path(__file__).parents[1]
DOWN = EngineStatus("down", "bad", "unknown", "vm not running on this host")
UP = EngineStatus("up", "good", "Up")
LOOKS = 60


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
    rows.extend(simulations.rows())
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
