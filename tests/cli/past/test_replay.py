"""`he-fsm replay`: decided anew, merged, aligned, and made a scenario of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import attrs
import pytest

from he_fsm import tick
from he_fsm.history.look import Decided, Seen, Session
from tests.cli.conftest import Ran
from tests.cli.past.kept import keeping

Run = Callable[..., Ran]


@pytest.fixture
def rings(tmp_path: Path) -> list[Path]:
    """The folders of three hosts' rings."""
    for host_id in (1, 2, 3):
        keeping(tmp_path / str(host_id), host_id)
    return [tmp_path / str(host_id) / "state" / "history" for host_id in (1, 2, 3)]


def test_this_version_decides_the_same(run: Run, rings: list[Path]) -> None:
    ran = run("replay", *rings)
    assert ran.status == 0, ran.err
    verdicts = [line for line in ran.out.splitlines() if "decides" in line]
    assert [line.split(",")[0] for line in verdicts] == [
        f"host {host_id}: this version decides the same" for host_id in (1, 2, 3)
    ]


def test_another_version_is_told_apart_with_the_record_and_what_it_saw(
    run: Run, rings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def otherwise(session: Session, seen: Seen) -> Decided:
        made = tick.decide(
            seen.before, seen.facts, seen.own, seen.whiteboard, session.identity, session.policy
        )
        decided = Decided.of(made)
        if decided.edge == "best_host":
            return attrs.evolve(decided, edge=None, memory=seen.before, effects=(), reason="no")
        return decided

    monkeypatch.setattr("he_fsm.cli.past.courses.decided_today", otherwise)
    ran = run("replay", "--json", rings[1])
    assert ran.status == 1
    plain = json.loads(ran.out)
    assert plain["same"] is False
    [found] = plain["hosts"][0]["differences"]
    assert found["then"].startswith("EngineDown -> EngineStarting (best_host), StartVm: hosts 2, 3")
    assert found["today"] == "stays EngineDown: no"
    assert {"edge", "effects", "reason", "memory.state"} <= set(found["what"])
    assert "now" in found["inputs"]["facts"]
    assert found["first"] == found["last"]
    ran = run("replay", rings[1])
    assert "host 2: this version decides otherwise 1 of" in ran.out
    assert f"record {found['first']}, since " in ran.out


def test_another_score_is_a_difference(
    run: Run, rings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = tick.rate_host

    def poorer(*arguments: Any) -> Any:
        return attrs.evolve(rate(*arguments), total=7)

    monkeypatch.setattr("he_fsm.history.compare.tick.rate_host", poorer)
    ran = run("replay", "--json", rings[2])
    assert ran.status == 1
    what = [each["what"] for each in json.loads(ran.out)["hosts"][0]["differences"]]
    assert what
    assert all(each == ["score"] for each in what)


def test_several_hosts_are_one_timeline_by_their_heartbeats(run: Run, rings: list[Path]) -> None:
    plain = json.loads(run("replay", "--json", *rings).out)
    events = plain["events"]
    assert [each["t"] for each in events] == sorted(each["t"] for each in events)
    assert {each["host"] for each in events} == {1, 2, 3}
    # The simulator's wall clocks are right, and no host looks more seldom than every 11 s.
    for clock in plain["clocks"]:
        assert abs(clock["ahead_s"]) < 1.5
        assert clock["within_s"] < 12.0
    first = next(each for each in events if each.get("to") == "EngineMigratingAway")
    assert first["host"] == 2


def test_one_host_of_several_is_shown_alone(run: Run, rings: list[Path]) -> None:
    plain = json.loads(run("replay", "--json", "--host", "3", *rings).out)
    assert {each["host"] for each in plain["events"]} == {3}
    assert len(plain["clocks"]) == 3


def test_a_decision_is_shown_with_all_that_it_was_made_from(run: Run, rings: list[Path]) -> None:
    at = "2013-09-06 23:37:50+00:00"
    ran = run("replay", "--at", at, rings[1])
    assert ran.status == 0
    shown = [line.strip() for line in ran.out.splitlines()]
    assert shown[0].startswith("host 2 (host2), record ")
    assert "score:   1400: -1000 gateway (down)" in shown
    assert "today:   the same" in shown
    assert "lease:   held by host 2 (live); dead: 1" in shown
    plain = json.loads(run("replay", "--json", "--at", at, rings[1]).out)
    [look] = plain["looks"]
    assert look["facts"]["readings"]["gateway"]["value"] == 0
    assert look["same"] is True
    early = run("replay", "--at", "2013-01-01 00:00", rings[1])
    assert early.err == "note: host 2 has no decision so early\n"


def test_decisions_that_follow_at_once_are_shown_together(run: Run, rings: list[Path]) -> None:
    plain = json.loads(run("replay", "--json", "--at", "2013-09-06 23:36:00Z", rings[1]).out)
    assert [look["edge"] for look in plain["looks"]] == ["best_host", None]
    assert plain["looks"][0]["effects"][0] == {"is": "StartVm"}


def test_every_decision_is_listed_where_that_is_wanted(run: Run, rings: list[Path]) -> None:
    plain = json.loads(run("replay", "--json", "--all", rings[1]).out)
    decisions = [each for each in plain["events"] if each["kind"] == "decision"]
    assert len(decisions) == plain["hosts"][0]["decisions"]
    assert all(each["same"] for each in decisions)


FAULTS = {
    "power": "{at: 60s, host: 1, power: off}",
    "gateway": "{at: 60s, host: 1, set: {gateway: 0}}",
    "vm": "{at: 60s, engine: kill}",
    "hang": "{at: 60s, engine: hang}",
    "hang and heal": (
        "{at: 60s, engine: hang}, {at: 100s, engine: heal}, {at: 5m, host: 1, set: {bridge: 0}}"
    ),
    "pause": "{at: 60s, engine: pause}",
    "agent": "{at: 60s, host: 1, agent: kill}, {at: 95s, host: 1, agent: start}",
    "local": "{at: 60s, host: 1, maintenance: on}",
    "global": "{at: 60s, maintenance: global}, {at: 120s, maintenance: none}",
    "global with an end": "{at: 60s, maintenance: global, for: 100s}",
    "hypervisor": "{at: 60s, host: 1, hypervisor: lost}, {at: 120s, host: 1, hypervisor: back}",
    "storage": "{at: 60s, host: 3, storage: cut}, {at: 120s, host: 3, storage: restore}",
    "reboot": "{at: 60s, host: 1, power: off}, {at: 200s, host: 1, power: on}",
    "shutdown": "{at: 60s, host: 1, power: shutdown}",
    "orderly reboot": "{at: 60s, host: 1, power: reboot}",
    "shutdown called off": "{at: 60s, host: 2, power: shutdown}, {at: 61s, host: 2, power: stay}",
    "migrate": "{at: 60s, engine: migrate 2}",
    "starts": "{at: 50s, host: 1, starts: fail 1}, {at: 60s, engine: kill}",
    "moves": "{at: 50s, host: 1, migrations: fail 1}, {at: 60s, host: 1, set: {bridge: 0}}",
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_scenario_of_a_fault_comes_to_the_same_course(
    run: Run, tmp_path: Path, name: str
) -> None:
    rings = []
    for host_id in (1, 2, 3):
        keeping(tmp_path / str(host_id), host_id, timeline=FAULTS[name])
        rings.append(tmp_path / str(host_id) / "state" / "history")
    file = tmp_path / "made.yaml"
    ran = run("replay", *rings, "--scenario", file, "--json")
    assert ran.status == 0, ran.err
    made = json.loads(ran.out)["scenario"]
    assert made["of"] > 0
    assert (made["same"], made["more"]) == (made["of"], 0), file.read_text()
    assert run("simulate", file).status == 0


FROZEN = ("[{id: 1, powered: false}, {id: 2}, {id: 3}]", "{kept_by: 1}")


@pytest.mark.parametrize("kept_by_all", [True, False])
def test_an_engine_that_is_kept_waits_for_its_host_again(
    run: Run, tmp_path: Path, *, kept_by_all: bool
) -> None:
    """With the ring of the host that keeps it, which boots later, and without it."""
    ids = (1, 2, 3) if kept_by_all else (2, 3)
    timeline = "{at: 4m, host: 1, power: on}" if kept_by_all else ""
    rings = []
    for host_id in ids:
        keeping(tmp_path / str(host_id), host_id, timeline=timeline, begins=FROZEN)
        rings.append(tmp_path / str(host_id) / "state" / "history")
    file = tmp_path / "made.yaml"
    ran = run("replay", *rings, "--scenario", file, "--json")
    assert ran.status == 0, ran.err
    assert "kept_by: 1" in file.read_text()
    made = json.loads(ran.out)["scenario"]
    assert (made["same"], made["more"]) == (made["of"], 0), file.read_text()


def test_a_host_without_an_archive_is_taken_as_the_others_saw_it(run: Run, tmp_path: Path) -> None:
    timeline = "{at: 60s, host: 1, power: off}, {at: 5m, host: 2, set: {gateway: 0}}"
    for host_id in (2, 3):
        keeping(tmp_path / str(host_id), host_id, timeline=timeline)
    rings = [tmp_path / str(host_id) / "state" / "history" for host_id in (2, 3)]
    file = tmp_path / "made.yaml"
    ran = run("replay", *rings, "--scenario", file)
    assert ran.status == 0
    assert "note: host 1 has kept nothing that is here: taken as its records show it" in ran.err
    assert "the simulator comes to the same course" in ran.out
    assert "power: 'off'" in file.read_text()


def test_an_archive_is_never_written_over(refused: Callable[..., str], rings: list[Path]) -> None:
    [ring] = rings[0].iterdir()
    said = refused("replay", ring, "--scenario", ring)
    assert said.endswith("this is an archive that is read; choose another file to write to")


def test_two_archives_of_one_host_are_refused(
    refused: Callable[..., str], rings: list[Path]
) -> None:
    said = refused("replay", rings[0], rings[0])
    assert said.endswith("are both of host 1: give one of each host")


def test_a_host_that_no_archive_is_of_is_named(
    refused: Callable[..., str], rings: list[Path]
) -> None:
    said = refused("replay", "--host", "9", rings[0])
    assert said == "--host 9: no archive is of this host; there are 1"
