"""The model of oVirt's agent takes the very steps that the original has taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from he_fsm.metadata import EngineStatus
from tests.mixed.original import Original, Remote, Seen

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "fsm-traces.json").read_text())
ENGINES = {name: EngineStatus(**plain) for name, plain in GOLDEN["engine_values"].items()}


def seen_of(loop: dict[str, Any]) -> Seen:
    return Seen(
        now=loop["t"],
        engine=ENGINES[loop.get("engine", "absent")],
        remotes={
            int(host_id): Remote(plain["ts"], plain["score"], ENGINES[plain["engine"]])
            for host_id, plain in loop.get("remote", {}).items()
        },
        network=loop.get("network", 1.0),
        is_global=loop.get("global_maintenance", False),
        is_local=loop.get("local_maintenance", False),
    )


@pytest.mark.parametrize("trace", GOLDEN["traces"], ids=lambda trace: trace["name"])
def test_every_step_is_the_originals(trace: dict[str, Any]) -> None:
    is_ok = {"start": True, "shutdown": True, "poweroff": True}
    agent = Original(1, lambda action: is_ok[action])
    for loop in trace["loops"]:
        is_ok["start"] = loop.get("start_ok", True)
        taken = [
            {
                "from": step.before,
                "to": step.after,
                "nowait": step.no_wait,
                "actions": list(step.actions),
                "published_score": step.score,
                "alive": list(step.alive),
                "best_engine_host": step.best_engine_host,
                "best_score_host": step.best_score_host,
                "timeout_start": step.timer,
            }
            for step in agent.look(seen_of(loop))
        ]
        expected = [
            {key: value for key, value in step.items() if key != "retry_count"}
            for step in loop["steps"]
        ]
        assert (loop["t"], taken) == (loop["t"], expected)
