"""
Scenarios on real daemons: they pass there as in the simulator, with the same events on each host.

Times have some ten seconds of slack, which is one real second at this speed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from he_fsm.lab.processes import processes_about
from he_fsm.rehearse.run import rehearse
from he_fsm.rehearse.warm_up import WarmUp
from he_fsm.simulate import simulate
from he_fsm.testing.waiting import until
from tests.rehearse.scenes import file_of, scenario_of
from tests.rehearse.telling import rehearsed_as_predicted

pytestmark = pytest.mark.rehearsal
SPEED = 10.0
KEPT = tempfile.gettempdir()
SCENES = {
    "vm-killed": """
        world: {vm_boot: 10s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 10s, engine: kill}
        until: 50s
        expect:
          - {after: 10s, by: 20s, engine_on: 1, engine: starting}
          - {after: 10s, by: 40s, engine_on: 1, engine: good}
          - {total: {starts: 1, refused_starts: 0, migrations: 0, downtime: "<= 30s"}}
        """,
    "gateway-lost": """
        world: {migration: 12s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 10s, host: 1, set: {gateway: 0}}
        until: 80s
        expect:
          - {by: 75s, engine_on: 2, engine: good, state: {1: EngineDown, 2: EngineUp}}
          - {at: 78s, score: {1: 1400, 2: 2400}}
          - {total: {starts: 0, migrations: 1, failed_migrations: 0, downtime: "<= 3s"}}
        """,
    "host-power-off": """
        world: {io_timeout: 1s, vm_boot: 5s, vm_start: 2s}
        hosts: 3
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, power: off}
        until: 110s
        expect:
          - {from: 10s, to: 65s, engine: down, lease: 1}
          - {after: 68s, by: 90s, engine_on: [2, 3], engine: starting}
          - {after: 68s, by: 100s, engine: good}
          - {total: {starts: 1, refused_starts: 0, failed_starts: 0}}
        """,
    "local-maintenance": """
        world: {migration: 12s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, maintenance: on}
        until: 50s
        expect:
          - {by: 45s, engine_on: 2, engine: good, state: {1: LocalMaintenance}, score: {1: 0}}
          - {total: {starts: 0, migrations: 1, downtime: "<= 3s"}}
        """,
    "orderly-reboot": """
        world: {migration: 12s, reboot: 15s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, power: reboot}
        until: 80s
        expect:
          - {by: 30s, engine_on: 2, engine: good, record: {1: {stopped: true}}}
          - {by: 75s, state: {1: EngineDown}, score: {1: 2400, 2: 2400}}
          - {total: {starts: 0, migrations: 1, shutdowns: 0, downtime: "<= 3s"}}
        """,
    "maintenance-with-an-end": """
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, maintenance: global, for: 20s}
          - {at: 60s, host: 2, maintenance: on, for: 20s}
        until: 110s
        expect:
          - {from: 18s, to: 24s, state: {1: GlobalMaintenance}}
          - {after: 25s, by: 55s, state: {1: EngineUp, 2: EngineDown}}
          - {from: 65s, to: 79s, state: {2: LocalMaintenance}, score: {2: 0}}
          - {after: 80s, by: 108s, state: {2: EngineDown}, score: {2: 2400}}
          - {total: {starts: 0, migrations: 0, downtime: 0}}
        """,
    "shutdown-and-nobody-to-go-to": """
        world: {vm_shutdown: 5s, vm_boot: 5s, reboot: 10s}
        hosts: 1
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, power: reboot}
        until: 90s
        expect:
          - {by: 20s, engine: down, record: {1: {stopped: true}}}
          - {by: 85s, engine_on: 1, engine: good}
          - {total: {starts: 1, failed_starts: 0, shutdowns: 1, poweroffs: 0}}
        """,
    "storage-cut": """
        world: {io_timeout: 2s, vm_boot: 5s, vm_start: 2s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, storage: cut}
        until: 120s
        expect:
          - {by: 30s, engine: down}
          - {from: 30s, to: 70s, running: 0, lease: 1}
          - {after: 75s, by: 100s, engine_on: 2, engine: starting}
          - {after: 75s, by: 110s, engine_on: 2, engine: good, state: {1: Unknown}}
          - {total: {starts: 1, refused_starts: 0}}
        """,
    "storage-hang": """
        world: {io_timeout: 2s, vm_boot: 5s, vm_start: 2s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, storage: hang}
        until: 120s
        expect:
          - {by: 30s, engine: down}
          - {from: 30s, to: 70s, running: 0, lease: 1}
          - {after: 75s, by: 100s, engine_on: 2, engine: starting}
          - {after: 75s, by: 110s, engine_on: 2, engine: good, state: {1: Unknown}}
          - {total: {starts: 1, refused_starts: 0}}
        """,
    "agent-killed": """
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, agent: kill}
        until: 90s
        expect:
          - {engine_on: 1, engine: good, running: 1, from: 0s}
          - {by: 88s, problem: {2: {1: silent}}}
          - {total: {starts: 0, refused_starts: 0, migrations: 0}}
        """,
    "daemons-crash": """
        world: {agent_restart: 10s, broker_restart: 20s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, agent: crash}
          - {at: 40s, host: 1, broker: crash}
          - {at: 40s, host: 2, agent: crash}
          - {at: 42s, host: 2, agent: kill}
        until: 150s
        expect:
          - {engine_on: 1, engine: good, running: 1, from: 0s}
          - {after: 15s, by: 35s, state: {1: EngineUp}, alive: {2: [1, 2]}}
          - {after: 60s, by: 85s, state: {1: EngineUp}}
          - {after: 100s, by: 145s, alive: {1: [1]}}
          - {total: {starts: 0, refused_starts: 0, migrations: 0}}
        """,
    "brokers-away": """
        hosts: 3
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, broker: freeze}
          - {at: 5s, host: 2, broker: kill}
          - {at: 55s, host: 1, broker: thaw}
          - {at: 90s, host: 2, broker: start}
        until: 130s
        expect:
          - {engine_on: 1, engine: good, running: 1, from: 0s}
          - {after: 55s, by: 70s, state: {1: EngineUp}}
          - {after: 65s, by: 88s, alive: {3: [1, 3]}}
          - {after: 90s, by: 125s, alive: {3: [1, 2, 3]}, state: {2: EngineDown}}
          - {total: {starts: 0, migrations: 0}}
        """,
    "a-death-and-two-failed-starts": """
        world: {vm_start: 2s, vm_boot: 5s}
        hosts:
          - {id: 1}
          - {id: 2, cpu_load: 0.9, mem_load: 0.9}
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, starts: fail}
          - {at: 5s, engine: kill}
        until: 110s
        expect:
          - {by: 60s, state: {1: ScoreBlocked}, score: {1: 0}}
          - {by: 90s, engine_on: 2, engine: starting}
          - {after: 6s, by: 100s, engine_on: 2, engine: good}
          # The death of the VM that ran is the first of the three.
          - {total: {failed_starts: 2, starts: 3}}
        """,
    "guest-panic": """
        world: {vm_start: 2s, vm_boot: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, engine: panic}
        until: 30s
        expect:
          - {by: 12s, after: 5s, engine_on: 1, engine: starting}
          - {by: 25s, after: 6s, engine_on: 1, engine: good}
          - {total: {starts: 1, failed_starts: 0}}
        """,
    "slot-damage": """
        hosts: 3
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 2, slot: bad-crc, for: 30s}
          - {at: 5s, host: 3, slot: corrupt, for: 30s}
        until: 60s
        expect:
          - {by: 25s, problem: {1: {2: crc, 3: garbage}}}
          - {at: 55s, problem: {1: {2: null, 3: null}}}
          - {from: 0s, engine_on: 1, engine: good}
          - {total: {starts: 0, migrations: 0}}
        """,
}


@pytest.mark.parametrize("name", SCENES)
def test_a_rehearsal_shows_what_the_simulator_predicts(name: str):
    assert rehearsed_as_predicted(scenario_of(SCENES[name]), SPEED) == ""


def test_an_expectation_that_does_not_hold_fails_in_both():
    scenario = scenario_of("""
        hosts: 1
        engine: {running_on: 1}
        until: 10s
        expect:
          - {by: 9s, engine: down}
        """)
    outcomes = (simulate(scenario), rehearse(scenario, speed=SPEED))
    assert [[failure.line for failure in each.failures] for each in outcomes] == [[7], [7]]


def test_kept_folders_hold_configurations_logs_and_whiteboard():
    scenario = scenario_of("hosts: 1\nuntil: 5s\n")
    with tempfile.TemporaryDirectory(dir=KEPT, prefix="kept-") as name:
        rehearse(scenario, speed=SPEED, keep=Path(name))
        kept = Path(name) / "test"
        assert (kept / "shared" / "whiteboard").stat().st_size >= 2 * 4096
        for file in ("config.yaml", "agent.log", "broker.log"):
            assert (kept / "hosts" / "1" / file).stat().st_size > 0
        assert list(processes_about(kept)) == []


@pytest.mark.parametrize(
    "there_is",
    ["hosts/2", "hosts/2/broker.log", "hosts/2/state/memory.json"],
    ids=["while the lab is set up", "while it comes up", "while it runs"],
)
def test_ctrl_c_leaves_nothing(labs: Path, tmp_path: Path, there_is: str):
    path = tmp_path / "scene.yaml"
    path.write_text(file_of("hosts: 2\nengine: {running_on: 1}\nuntil: 1h\n"), encoding="utf-8")
    code = "from he_fsm.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "rehearse", str(path), "--speed", str(SPEED)],
        env={**os.environ, "TMPDIR": str(labs)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    until(lambda: list(labs.glob(f"*/{there_is}")))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in said


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_command_shows_prediction_and_recoveries(form: str, tmp_path: Path):
    path = tmp_path / "scene.yaml"
    scene = """
        world: {vm_boot: 10s}
        hosts: 2
        engine: {running_on: 1}
        timeline: [{at: 5s, engine: kill}]
        # Long enough for a machine that is busy with something else.
        until: 90s
        """
    path.write_text(file_of(scene), encoding="utf-8")
    code = "from he_fsm.cli.main import main; main()"
    options = ["--speed", "10", "--compare", *(["--json"] if form == "json" else [])]
    done = subprocess.run(
        [sys.executable, "-c", code, "rehearse", str(path), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if form == "json":
        found = json.loads(done.stdout)
        (recoveries,) = found["recoveries"]
        assert [(each["fault"], each["then"], each["on"]) for each in recoveries] == [
            ("engine: kill", "start ordered", 1),
            ("engine: kill", "healthy again", 1),
        ]
        assert all(pair["seen"] is not None for pair in found["compared"][0])
        return
    for line in ("PASSED test", "Predicted and seen: test", "Recoveries: test"):
        assert line in done.stdout.splitlines()
    assert "on the clock they were 10 times shorter" in done.stdout


def test_a_start_counts_that_is_ordered_before_the_warm_up_has_quite_ended(
    monkeypatch: pytest.MonkeyPatch,
):
    end = WarmUp._end_the_warm_up

    def end_slowly(self: WarmUp) -> None:
        end(self)
        (host,) = self._lab.hosts.values()
        until(lambda: host.client.last_report().get("state") == "EngineStarting")

    monkeypatch.setattr(WarmUp, "_end_the_warm_up", end_slowly)
    seen = rehearse(scenario_of("world: {vm_boot: 10s}\nhosts: 1\nuntil: 12s\n"), speed=SPEED)
    edges = [event.details["edge"] for event in seen.events if event.kind == "state"]
    assert edges == ["best_host"]
