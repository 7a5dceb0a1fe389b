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
from pathlib import Path

import pytest

from he_fsm.lab.sanlock.needs import missing
from he_fsm.rehearse.backends import SANLOCK
from tests.rehearse.real_scenes import SANLOCK_SCENES, SCENES, VM_SCENES
from tests.rehearse.scenes import file_of, scenario_of
from tests.rehearse.telling import REAL_SPEED, rehearsed_as_predicted

SPEED = REAL_SPEED
WHY_NOT = "; ".join(missing(SPEED))
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]
# Other tests hold the most of each; these are for `make rehearsals` and `make true-clock`.
LONG = (
    *("gateway-lost", "vm-dies", "never-healthy", "migration-fails", "moved-by-somebody-outside"),
    *("agent-killed", "vm-killed", "a watchdog does what no agent can"),
)


def names(scenes: dict[str, str]) -> list[object]:
    return [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in scenes]


@pytest.mark.parametrize("name", names({**SCENES, **VM_SCENES}))
def test_a_rehearsal_shows_what_the_simulator_predicts(name: str):
    scenario = scenario_of({**SCENES, **VM_SCENES}[name])
    assert rehearsed_as_predicted(scenario, SPEED, backend=SANLOCK) == ""


@pytest.mark.parametrize("name", names(SANLOCK_SCENES))
def test_the_vm_is_dead_before_another_starts_whatever_becomes_of_its_sanlock(name: str):
    scenario = scenario_of(SANLOCK_SCENES[name])
    assert rehearsed_as_predicted(scenario, SPEED, backend=SANLOCK) == ""


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
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert str(labs) not in Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert list(Path("/run/netns").glob(f"he-fsm-{process.pid}-*")) == []
