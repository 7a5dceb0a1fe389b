"""Archives of earlier releases stay readable, whatever is decided today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

from tests.cli.conftest import ROOT, Ran

ARCHIVES = ROOT / "tests" / "history" / "archives"
# Host 1 loses its power, host 2 takes over, loses its gateway, and moves the engine to host 3.
COURSE = [
    (2, "EngineDown", "EngineStarting"),
    (2, "EngineStarting", "EngineUp"),
    (2, "EngineUp", "EngineMigratingAway"),
    (3, "EngineDown", "EngineStarting"),
    (3, "EngineStarting", "EngineUp"),
    (2, "EngineMigratingAway", "EngineDown"),
]


def test_archives_of_version_1_are_read_with_all_that_is_in_them(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    archives = [ARCHIVES / f"version-1-host-{host_id}.tar.gz" for host_id in (1, 2, 3)]
    file = tmp_path / "made.yaml"
    ran = run("replay", "--json", *archives, "--scenario", file)
    # 1: today's version may decide otherwise.
    assert ran.status in (0, 1), ran.err
    plain = json.loads(ran.out)
    assert [host["decisions"] for host in plain["hosts"]] == [5, 68, 65]
    assert [host["hostname"] for host in plain["hosts"]] == ["host1", "host2", "host3"]
    edges = [each for each in plain["events"] if each["kind"] == "state"]
    assert sorted((each["host"], each["from"], each["to"]) for each in edges) == sorted(COURSE)
    assert all(host["left_out"] == {"torn": 0, "damaged": 0, "lost": 0} for host in plain["hosts"])
    assert all(clock["within_s"] < 12.0 for clock in plain["clocks"])
    assert file.exists()
