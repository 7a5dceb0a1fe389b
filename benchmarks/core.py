"""How fast decisions are, and the whiteboard's reading."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator

import attrs
from table import MORE, Row
from timing import best

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

DOWN = EngineStatus("down", "bad", "unknown", "vm not running on this host")
UP = EngineStatus("up", "good", "Up")
LOOKS = 60
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


def step_3() -> Iterator[Row]:
    """Decide among three hosts."""
    seconds = _step_s(3)
    yield Row("step, 3 hosts", seconds * 1e6, 20.0, "us")
    yield Row("  steps a second", 1 / seconds, None, "/s", MORE)


def step_250() -> Iterator[Row]:
    """Decide among 250 hosts."""
    yield Row("step, 250 hosts", _step_s(250) * 1e6, 1000.0, "us")


def parse() -> Iterator[Row]:
    """Parse 2000 hosts; the memory is that above the interpreter's."""
    text = "x" * 600 + "\n"
    records = [_record(host_id, 523411) for host_id in range(1, 2001)]
    data = Whiteboard.build([attrs.evolve(each, text=text) for each in records])
    seconds = best(lambda: Whiteboard.parse(data))
    with tempfile.NamedTemporaryFile(prefix="he-fsm-bench-") as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-c", MEMORY, file.name]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
    yield Row("parse a whiteboard of 2000 hosts", seconds * 1e3, 60.0, "ms")
    yield Row("  memory above the interpreter's", int(found.stdout) / 1024, 64.0, "MiB")


def _record(host_id: int, timestamp: int) -> HostRecord:
    """Return a healthy host's record; the engine runs on host 1."""
    return HostRecord(
        host_id=host_id,
        timestamp=timestamp,
        score=2400,
        engine=UP if host_id == 1 else DOWN,
        hostname=f"host{host_id}.example.com",
    )


def _step_s(hosts: int) -> float:
    """Time one step in which every other host's record has grown."""
    snapshots = []
    for look in range(LOOKS):
        records = [_record(host_id, 1000 + look) for host_id in range(1, hosts + 1)]
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
