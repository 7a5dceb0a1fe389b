"""
Scenarios on real sanlock daemons and real VMs: they pass there as in the simulator.

Times have some ten seconds of slack, which is one real second at this speed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from he_fsm.rehearse.backends import SANLOCK
from he_fsm.rehearse.compare import compare
from he_fsm.rehearse.run import Rehearsal, rehearse
from he_fsm.rehearse.sanlock_lab import SanlockHost
from he_fsm.rehearse.sanlock_needs import missing
from he_fsm.simulate import simulate
from tests.rehearse.scenes import file_of, scenario_of
from tests.rehearse.telling import alone, told

SPEED = 10.0
WHY_NOT = "; ".join(missing(SPEED))
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]
SCENES = {
    "vm-killed": """
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 10s, engine: kill}
        until: 60s
        expect:
          - {after: 10s, by: 30s, engine_on: 1, engine: starting}
          - {after: 11s, by: 45s, engine_on: 1, engine: good}
          - {total: {starts: 1, refused_starts: 0, migrations: 0, downtime: "<= 30s"}}
        """,
    "gateway-lost": """
        world: {io_timeout: 2s, vm_boot: 5s, migration: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 10s, host: 1, set: {gateway: 0}}
        until: 110s
        expect:
          - {by: 105s, engine_on: 2, engine: good, state: {1: EngineDown, 2: EngineUp}}
          - {at: 108s, score: {1: 1400, 2: 2400}}
          - {total: {starts: 0, migrations: 1, failed_migrations: 0, downtime: "<= 15s"}}
        """,
    "host-power-off": """
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        hosts: 3
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, power: off}
        until: 130s
        expect:
          - {from: 10s, to: 70s, engine: down, lease: 1}
          - {after: 72s, by: 105s, engine_on: [2, 3], engine: starting}
          - {after: 72s, by: 120s, engine: good}
          - {total: {starts: 1, failed_starts: 0}}
        """,
    "agent-killed": """
        world: {io_timeout: 2s, vm_boot: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, agent: kill}
          - {at: 90s, host: 1, agent: start}
        until: 130s
        expect:
          - {engine_on: 1, engine: good, running: 1, from: 0s}
          - {by: 88s, problem: {2: {1: silent}}}
          - {by: 125s, state: {1: EngineUp}}
          - {total: {starts: 0, refused_starts: 0, migrations: 0}}
        """,
    "storage-hang": """
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, storage: hang}
        until: 130s
        expect:
          # sanlock asks it to end 16 s after its last renewal, and makes it 40 s later.
          - {from: 68s, to: 70s, running: 0, lease: 1}
          - {after: 72s, by: 105s, engine_on: 2, engine: starting}
          - {after: 72s, by: 120s, engine_on: 2, engine: good, state: {1: Unknown}}
          - {total: {starts: 1, refused_starts: 0}}
        """,
}
SANLOCK_ENDS = """
    world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
    hosts: 2
    engine: {running_on: 1}
    until: 130s
    expect:
      - {from: 20s, to: 70s, running: 0, lease: 1}
      - {after: 72s, by: 105s, engine_on: 2, engine: starting}
      - {after: 72s, by: 120s, engine_on: 2, engine: good}
      - {total: {starts: 1}}
    """
# Its agent gives it up 8 x io_timeout + 50 s after the last renewal.
SANLOCK_HANGS = SANLOCK_ENDS.replace("from: 20s, to: 70s", "from: 73s, to: 73s")
# With a watchdog the host would be reset: a new daemon can't renew what the old one has left.
SANLOCK_COMES_BACK = """
    world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
    hosts: [{id: 1, watchdog: false}, {id: 2}]
    engine: {running_on: 1}
    until: 80s
    expect:
      - {after: 6s, by: 20s, running: 0}
      - {after: 6s, by: 75s, engine: good, running: 1}
      - {total: {starts: 1, failed_starts: 0}}
    """


@pytest.mark.parametrize("name", SCENES)
def test_a_rehearsal_shows_what_the_simulator_predicts(name: str):
    scenario = scenario_of(SCENES[name])
    predicted = simulate(scenario)
    assert predicted.passed, told(predicted)
    seen = rehearse(scenario, backend=SANLOCK, speed=SPEED)
    assert seen.passed, told(seen)
    assert alone(compare(predicted, seen)) == [], told(seen)


# The scenario language has no words for these, so they are done beside the timeline.
def ends(host: SanlockHost) -> None:
    host.kill_sanlock()


def comes_back(host: SanlockHost) -> None:
    host.kill_sanlock()
    host.start_sanlock()


def hangs(host: SanlockHost) -> None:
    assert host.daemon is not None
    host.daemon.stop()


@pytest.mark.parametrize(
    ("fault", "body"),
    [(ends, SANLOCK_ENDS), (comes_back, SANLOCK_COMES_BACK), (hangs, SANLOCK_HANGS)],
)
def test_the_vm_is_dead_before_another_starts_whatever_becomes_of_its_sanlock(
    fault: Callable[[SanlockHost], None], body: str
):
    struck: list[SanlockHost] = []

    def strike(rehearsal: Rehearsal) -> None:
        host = rehearsal.lab.hosts["1"]
        assert isinstance(host, SanlockHost)
        if not struck and rehearsal.observer.time() >= 5:
            struck.append(host)
            fault(host)

    outcome = rehearse(scenario_of(body), backend=SANLOCK, speed=SPEED, watch=strike)
    assert outcome.passed, told(outcome)
    gone = next(e.t for e in outcome.events if e.kind == "vm" and e.details["vm"] == "gone")
    begun = next(e.t for e in outcome.events if e.kind == "vm" and e.details["vm"] == "starting")
    assert gone < begun


def test_ctrl_c_leaves_nothing(labs: Path, tmp_path: Path):
    path = tmp_path / "scene.yaml"
    body = "world: {vm_boot: 5s}\nhosts: 2\nengine: {running_on: 1}\nuntil: 1h\n"
    path.write_text(file_of(body), encoding="utf-8")
    arguments = ["rehearse", str(path), "--speed", str(SPEED), "--backend", "sanlock"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from he_fsm.cli.main import main; main()", *arguments],
        env={**os.environ, "TMPDIR": str(labs)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 30
    while not list(labs.glob("*/hosts/1/run/vm.json")):
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"Traceback" not in said
    assert str(labs) not in Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert list(Path("/run/netns").glob(f"he-fsm-{process.pid}-*")) == []
