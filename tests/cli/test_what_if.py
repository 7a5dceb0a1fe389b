from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest

from he_fsm.metadata import Whiteboard
from tests.cli.conftest import ROOT, Ran

GOLDEN = ROOT / "tests" / "metadata" / "golden"
HEALTHY = GOLDEN / "two-healthy.metadata"
STARTING = ROOT / "tests" / "cases" / "own-board-while-starting.metadata"
STARTING_STATUS = ROOT / "tests" / "cases" / "own-status-while-starting.json"
POWER_OFF = ("--at", "60s", "host: 1, power: off")


def object_of(run: Callable[..., Ran], *arguments: object) -> tuple[dict[str, Any], str]:
    ran = run("simulate", *arguments, "--json")
    assert ran.status == 0
    (found,) = json.loads(ran.out)["scenarios"]
    return found, ran.err


def test_what_would_happen_to_my_cluster_is_one_command(run: Callable[..., Ran]) -> None:
    ran = run("simulate", "--from-whiteboard", HEALTHY, *POWER_OFF)
    assert ran.status == 0
    for text in (
        "Scenario what-if\n",
        "At the start: engine on host 1, good\n",
        "Hostname                           : node1.example.com\n",
        "0:01:00.0  host 1    fault                               power off\n",
        "At the end: engine on host 2, good\n",
        "ANSWER the engine comes back, on host 2; it is down for 3 min ",
    ):
        assert text in ran.out
    # Nothing was asked that could pass or fail.
    assert "PASSED" not in ran.out
    known, policy = ran.err.splitlines()
    assert known == (
        "note: assumed (no --status): hosts with an intact record that have not stopped are alive;"
        ' the one whose record says "VM up" holds the lease'
    )
    assert policy == "note: the scores are read as those of policy ovirt"


def test_the_start_shows_the_administrators_own_board(run: Callable[..., Ran]) -> None:
    ran = run("simulate", "--from-whiteboard", HEALTHY, *POWER_OFF)
    start = ran.out.split("Timeline\n")[0]
    assert "Host timestamp                     : 523411\n" in start
    assert "    timestamp=523411 (Mon Nov 20 23:36:51 2023)\n" in start
    assert "Power" not in start
    assert "Power                              : off\n" in ran.out.split("At the end: ")[1]


def test_a_host_without_power_is_shown_so_at_the_start(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    status = json.loads(STARTING_STATUS.read_text())
    status["lease"].update(owner=None, dead_hosts=[1])
    path = tmp_path / "status.json"
    path.write_text(json.dumps(status))
    ran = run("simulate", "--from-whiteboard", STARTING, "--status", path)
    assert "Power                              : off\n" in ran.out.split("Timeline\n")[0]


@pytest.mark.parametrize(
    ("faults", "answer"),
    [
        ([], "the engine stays on host 1, and is never down"),
        (["host: 2, maintenance: on", "host: 1, power: off"], "host 2 is in local maintenance"),
        (["hosts: [1, 2], power: off"], "the engine stays down: hosts 1-2 have no power"),
        (["maintenance: global", "engine: kill"], "global maintenance is on, so nobody starts it"),
        (["host: 2, agent: stop", "host: 1, power: off"], "host 2 runs no agent"),
        (
            ["host: 2, set: {mem_free: 0}", "host: 2, hypervisor: lost", "host: 1, power: off"],
            "host 2 is in Unknown: ",
        ),
        (["engine: hang", "hosts: all, agent: kill"], "the engine stays bad on host 1"),
    ],
)
def test_a_what_if_answers(run: Callable[..., Ran], faults: list[str], answer: str) -> None:
    times = (f"{30 * number}s" for number in range(1, 9))
    at = [each for time, fault in zip(times, faults) for each in ("--at", time, fault)]
    ran = run("simulate", "--from-whiteboard", HEALTHY, *at)
    (line,) = (line for line in ran.out.splitlines() if line.startswith("ANSWER "))
    assert answer in line
    stays_down = bool(faults)
    assert ran.status == stays_down
    ran = run("simulate", "--from-whiteboard", HEALTHY, *at, "--json")
    assert ran.status == stays_down
    (found,) = json.loads(ran.out)["scenarios"]
    assert found["answer"] == {"comes_back": not stays_down, "text": line[len("ANSWER ") :]}


def test_a_file_without_expectations_is_answered_too(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    entry = "timeline: [{at: 60s, hosts: all, power: off}], until: 10m"
    path.write_text(f"scenarios: [{{name: mine, {entry}}}]")
    ran = run("simulate", path, "--from-whiteboard", HEALTHY)
    assert (ran.status, "ANSWER the engine stays down: " in ran.out) == (1, True)
    path.write_text(f"scenarios: [{{name: mine, {entry}, expect: [{{at: 5m, engine: down}}]}}]")
    ran = run("simulate", path, "--from-whiteboard", HEALTHY)
    assert (ran.status, "PASSED mine" in ran.out, "ANSWER" in ran.out) == (0, True, False)


def test_a_run_that_is_too_short_says_so(run: Callable[..., Ran]) -> None:
    board = ("--from-whiteboard", HEALTHY, *POWER_OFF)
    ran = run("simulate", *board, "--set", "until=220s")
    assert ran.status == 1
    assert "ANSWER not yet: the engine is starting on host 2 at the end" in ran.out


def test_an_engine_that_boots_is_left_to_boot(run: Callable[..., Ran]) -> None:
    board = ("--from-whiteboard", STARTING)
    ran = run("simulate", *board, "--status", STARTING_STATUS)
    assert ran.status == 0
    assert "At the start: engine on host 1, starting\n" in ran.out
    assert "    state=EngineStarting\n" in ran.out.split("Timeline\n")[0]
    assert "EngineStarting -> EngineUp" in ran.out
    assert "EngineStopping" not in ran.out
    assert ran.err == "note: the engine on host 1 was starting, for 30 s so far\n"
    ran = run("simulate", *board)
    assert ran.status == 0
    assert "EngineStopping" not in ran.out
    assert "since when is not known" in ran.err


@pytest.mark.parametrize("fault", ["{host: 1, power: off}", "hosts: [1], power: off"])
def test_a_fault_reads_as_in_a_timeline(run: Callable[..., Ran], fault: str) -> None:
    found, _ = object_of(run, "--from-whiteboard", HEALTHY, "--at", "1m", fault)
    (event, *_) = found["events"]
    assert (event["t"], event["host"], event["text"]) == (60.0, 1, "power off")
    assert found["final"]["engine_on"] == 2


def test_faults_are_added_to_a_files_timeline_too(run: Callable[..., Ran], tmp_path: Path) -> None:
    path = tmp_path / "calm.yaml"
    path.write_text("scenarios: [{name: calm, hosts: 2, engine: {running_on: 1}, until: 10m}]")
    found, said = object_of(run, path, *POWER_OFF)
    assert (found["name"], found["final"]["engine_on"], said) == ("calm", 2, "")


def test_a_file_may_leave_the_cluster_out_or_say_more_of_it(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "scenarios:\n"
        "  - name: mine\n"
        "    hosts: [{id: 2, gateway: 0}, {id: 3}]\n"
        "    engine: {memory: 2048}\n"
        "    timeline: [{at: 60s, host: 1, power: off}]\n"
        "    expect: [{at: 5m, engine_on: 3}]\n"
    )
    found, _ = object_of(run, path, "--from-whiteboard", HEALTHY)
    assert found["verdict"] == "passed"
    assert found["final"]["hosts"]["2"]["score"] == 1800


def test_a_policy_can_be_tried_on_a_captured_cluster(run: Callable[..., Ran]) -> None:
    found, _ = object_of(run, "--from-whiteboard", HEALTHY, "--set", "policy=talk")
    assert found["final"]["hosts"]["1"]["score"] == 2400


def test_the_status_says_who_lived(run: Callable[..., Ran], tmp_path: Path) -> None:
    status = tmp_path / "status.json"
    live = {"1": {"live-data": True}, "2": {"live-data": False}, "global_maintenance": False}
    status.write_text(json.dumps(live))
    found, said = object_of(run, "--from-whiteboard", HEALTHY, "--status", status)
    assert found["final"]["hosts"]["2"]["state"] is None
    assert "note: host 2 was silent: its agent does not run\n" in said
    assert "assumed (no --status)" not in said


def test_what_can_not_be_used_is_one_sentence(refused: Callable[..., str], tmp_path: Path) -> None:
    absent, empty = tmp_path / "absent", tmp_path / "empty"
    empty.write_bytes(Whiteboard.build([]))
    noise = tmp_path / "noise.json"
    noise.write_text("{")
    number = tmp_path / "number.yaml"
    number.write_text("scenarios: [{name: x, hosts: 3}]")
    board = ("--from-whiteboard", HEALTHY)
    for arguments, says in [
        (("--from-whiteboard", absent), f"can't read the whiteboard from {absent}: No such file"),
        (("--from-whiteboard", empty), f"{empty}: no slot holds a host that can be believed"),
        ((*board, "--status", absent), f"{absent}: can't be read: No such file"),
        ((*board, "--status", noise), f"{noise}: can't be read as JSON: "),
        ((*board, "--at", "60s", "host: 1, powr: off"), "--at 60s 'host: 1, powr: off': "),
        ((*board, "--at", "soon", "host: 1, power: off"), "--at soon 'host: 1, power: off': "),
        ((*board, "--at", "60s", "host: 9, power: off"), "there is no host 9"),
        ((*board, "--at", "60s", "at: 5s, engine: kill"), "the time stands in front already: 60s"),
        ((*board, "--at", "60s", "host: ["), "can't be read as YAML"),
        ((number, *board), "expected a list with what differs from the hosts"),
    ]:
        assert says in refused("simulate", *arguments)


def test_a_status_alone_is_refused(run: Callable[..., Ran]) -> None:
    ran = run("simulate", "examples/talk.yaml", "--status", "x.json")
    assert (ran.status, ran.out) == (2, "")
    assert "--status goes with --from-whiteboard" in ran.err
