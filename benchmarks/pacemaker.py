"""
The same what-if, asked of he_fsm and of Pacemaker's crm_simulate: one of three hosts loses power.

crm_simulate answers for one moment: the node has just failed, these are the next actions. he_fsm
plays the course of it, look by look: when the failure is seen, when the lease can be had, when the
engine is good again. So both ratios are of interest: of a whole answer, and of one moment of it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import timeit
from collections.abc import Iterator
from pathlib import Path

from table import MORE, NEITHER, Row
from timing import COMMAND

from he_fsm import parse_scenarios, simulate

CLUSTER = Path(__file__).with_name("three-nodes.cib.xml")
PACKAGE = "pacemaker-cli-utils"
SCENARIO = """
scenarios:
  - name: node-fail
    hosts: 3
    engine: {running_on: 1}
    timeline: [{at: 60s, host: 1, power: off}]
    until: 10m
    expect: [{at: 10m, engine_on: 2, engine: good}]
"""
TIMES = 5
# How often crm_simulate decides the one moment, within one process.
REPEATS = 1000
WHAT = "a node fails, whole command"


def node_fail() -> Iterator[Row]:
    """Ask both, and give how they compare; where there is no crm_simulate, say what to install."""
    # An ordinary user's path may not have it.
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    program = shutil.which("crm_simulate", path=path)
    with tempfile.TemporaryDirectory(prefix="he-fsm-bench-") as name:
        folder = Path(name)
        scenario = folder / "node-fail.yaml"
        scenario.write_text(SCENARIO, encoding="utf-8")
        command = [*COMMAND, "simulate", str(scenario)]
        ours = _seconds(command)
        yield Row(f"{WHAT}: he-fsm simulate", ours * 1e3, None, "ms")
        if program is None:
            yield Row(
                f"  crm_simulate is not installed: package {PACKAGE}", None, None, "", NEITHER
            )
            return
        failed = folder / "failed"
        failed.mkdir()
        asked = [program, "--simulate", "--xml-file", str(CLUSTER), "--node-fail", "host1"]
        # That of he_fsm is judged by what it expects.
        assert "Move       engine     ( host1 -> host2 )" in _run(asked, folder)
        theirs = _seconds(asked, folder)
        yield Row("  crm_simulate", theirs * 1e3, None, "ms")
        yield Row("  he-fsm / crm_simulate, an answer", ours / theirs, None, "x")
        moments = _moments([*command, "--trace", str(folder / "trace")], folder / "trace")
        what = "  moments in he-fsm's answer (crm_simulate's: 1)"
        yield Row(what, moments, None, "", NEITHER)
        a_moment = theirs / (ours / moments)
        yield Row("  crm_simulate / he-fsm, a moment", a_moment, None, "x", MORE)
        _run([*asked, "--save-input", str(failed / "failed.xml")], folder)
        decided = _decided_s(program, failed)
        played = _played_s() / moments
        yield Row("  the same, without the processes' start", decided / played, None, "x", MORE)


def _run(command: list[str], folder: Path | None = None) -> str:
    # crm_simulate works on a copy of the cluster; its usual place is not for every user.
    environment = dict(os.environ) | ({} if folder is None else {"CIB_shadow_dir": str(folder)})
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout


def _seconds(command: list[str], folder: Path | None = None) -> float:
    """Time a whole command: the shortest of several runs (s)."""
    return min(timeit.repeat(lambda: _run(command, folder), number=1, repeat=TIMES))


def _moments(command: list[str], trace: Path) -> int:
    """Count the looks of all agents, each of them a decision at its own moment."""
    _run(command)
    return len(trace.read_text(encoding="utf-8").splitlines())


def _decided_s(program: str, folder: Path) -> float:
    """Time crm_simulate's decision about the clusters of a folder; return it for one (s)."""
    said = _run([program, "--profile", str(folder), "--repeat", str(REPEATS)], folder)
    found = re.search(r"\.\.\. (\d+\.\d+) secs", said)
    if found is None:
        msg = f"crm_simulate --profile said no time: {said}"
        raise RuntimeError(msg)
    return float(found.group(1)) / REPEATS


def _played_s() -> float:
    """Time the whole course in this process (s)."""
    scenario = parse_scenarios(SCENARIO, "benchmark")[0]
    assert simulate(scenario).passed
    return min(timeit.repeat(lambda: simulate(scenario), number=1, repeat=4 * TIMES))
