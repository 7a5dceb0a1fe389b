"""How fast commands of people are, the interpreter's start included."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from table import Row
from timing import command_s

from he_fsm import EngineStatus, HostRecord, Whiteboard

TALK_FILE = Path(__file__).resolve().parents[1] / "examples" / "talk.yaml"


def talk_file() -> Iterator[Row]:
    """Play every scenario of the talk."""
    seconds = command_s("simulate", str(TALK_FILE))
    yield Row("the talk's file, whole process", seconds, 1.5, "s")


def what_if_250() -> Iterator[Row]:
    """Ask what comes of a host's failure among 250."""
    yield Row("what-if, 250 hosts, whole process", _what_if_s(250), 0.7, "s")


def what_if_2000() -> Iterator[Row]:
    """Ask the same of as many hosts as a whiteboard has."""
    yield Row("what-if, 2000 hosts, whole process", _what_if_s(2000), 5.0, "s")


def _what_if_s(hosts: int) -> float:
    with tempfile.TemporaryDirectory(prefix="he-fsm-bench-") as name:
        path = Path(name) / "whiteboard"
        path.write_bytes(Whiteboard.build(_record(number) for number in range(1, hosts + 1)))
        asked = ("--from-whiteboard", str(path), "--at", "60s", "host: 1, power: off")
        return command_s("simulate", *asked, repeat=1)


def _record(host_id: int) -> HostRecord:
    """Return a healthy host's record; the engine runs on host 1."""
    up = EngineStatus("up", "good", "Up")
    down = EngineStatus("down", "bad", "unknown", "vm not running on this host")
    return HostRecord(
        host_id=host_id,
        timestamp=523411,
        score=2400,
        engine=up if host_id == 1 else down,
        hostname=f"host{host_id}.example.com",
    )


def usage_text() -> Iterator[Row]:
    """Print the help."""
    yield Row("he-fsm --help, whole process", command_s("--help"), 0.3, "s")
