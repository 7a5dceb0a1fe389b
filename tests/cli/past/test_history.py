"""`he-fsm history`: what happened and why, without a running agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import pytest

from tests.cli.conftest import Ran
from tests.cli.past.kept import configured, keeping

Run = Callable[..., Ran]


def lines(ran: Ran) -> list[str]:
    """Return the lines without their times."""
    assert ran.status == 0, ran.err
    return [" ".join(line[23:].split()) for line in ran.out.splitlines()]


def test_the_engine_s_course_is_told_with_its_causes(run: Run, tmp_path: Path) -> None:
    told = lines(run("history", "--config", keeping(tmp_path)))
    assert told == [
        "host 2 engine the engine runs on host 1, good",
        "host 2 liveness host 1 is taken for dead",
        "host 2 engine the engine runs nowhere",
        "host 2 EngineDown -> EngineStarting hosts 2, 3 share the highest score, 2400: start here",
        "host 2 order take the lease and start the VM",
        "host 2 vm the VM starts",
        "host 2 vm the VM runs",
        "host 2 vm the engine's health page is good",
        "host 2 EngineStarting -> EngineUp the VM is up and its health page is good",
        (
            "host 2 EngineUp -> EngineMigratingAway host 3 has scored 2400, 1000 more than the"
            " 1400 here, for 30 s"
        ),
        "host 2 order migrate the VM to host 3",
        "host 2 vm the VM migrates away",
        "host 2 migration migration done: to host 3",
        "host 2 vm the VM is gone",
        "host 2 engine the engine runs nowhere",
        "host 2 EngineMigratingAway -> EngineDown migrated: to host 3",
        "host 2 engine the engine runs on host 3, good",
    ]


def test_all_shows_scores_leases_and_mails_too(run: Run, tmp_path: Path) -> None:
    path = keeping(tmp_path)
    few, all_ = (
        lines(run("history", "--config", path)),
        lines(run("history", "--all", "--config", path)),
    )
    assert [line for line in all_ if line in few] == few
    assert "host 2 score score 1400: -1000 gateway (down)" in all_
    assert "host 2 lease the engine's lease is held by host 1, which renews it no more" in all_


def test_json_has_each_event_with_its_record_and_time(run: Run, tmp_path: Path) -> None:
    ran = run("history", "--json", "--config", keeping(tmp_path))
    plain = json.loads(ran.out)
    assert plain["host"] == 2
    assert plain["left_out"] == {"torn": 0, "damaged": 0, "lost": 0}
    edges = [each for each in plain["events"] if each["kind"] == "state"]
    assert edges[0]["edge"] == "best_host"
    assert edges[0]["from"] == "EngineDown"
    assert plain["from"] < edges[0]["at"] < plain["to"]
    assert edges[0]["record"] > 1


def test_only_what_lies_between_two_times_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    path = keeping(tmp_path)
    # The simulator's time 0 is 2013-09-06 23:32:42 UTC.
    told = lines(
        run(
            *("history", "--config", path),
            *("--since", "2013-09-06T23:37:00Z", "--until", "2013-09-06 23:37:30.5+00:00"),
        )
    )
    assert [line.split()[2] for line in told] == ["vm", "EngineStarting"]
    ran = run("history", "--config", path, "--since", "1h")
    assert (ran.out, ran.err) == ("", "note: no look lies between these times\n")


def test_a_torn_end_is_left_out_and_said(run: Run, tmp_path: Path) -> None:
    path = keeping(tmp_path)
    [ring] = (tmp_path / "state" / "history").iterdir()
    ring.write_bytes(ring.read_bytes()[:-4])
    ran = run("history", "--config", path)
    assert ran.status == 0
    assert ran.err == (
        f"note: {tmp_path}/state/history: 1 look torn, as by a loss of power: left out\n"
    )


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({}, "its agent has not run with this release"),
        ({"history": {"size": 0}}, "the configuration says history: {size: 0}"),
    ],
)
def test_a_host_without_a_ring_says_so_and_why(
    refused: Callable[..., str], tmp_path: Path, sections: dict[str, object], why: str
) -> None:
    said = refused("history", "--config", configured(tmp_path, **sections))
    assert said == f"{tmp_path}/state/history: no decisions of this host are kept there: {why}"


def test_a_file_that_is_none_of_a_ring_is_named(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    from he_fsm.history.frames import KEY, framed

    path = keeping(tmp_path)
    bad = tmp_path / "state" / "history" / "000000000900.ring"
    bad.write_bytes(framed(KEY, b"something else"))
    said = refused("history", "--config", path)
    assert said.startswith(f"{bad}: record 1 at byte 0: expected a look of format 1, got ")


@pytest.mark.parametrize("text", ["soon", "25:00", "2026-13-01", ""])
def test_what_is_no_time_is_named_with_what_is(run: Run, tmp_path: Path, text: str) -> None:
    ran = run("history", "--since", text, "--config", configured(tmp_path))
    assert ran.status == 2
    assert "expected 2h (so long ago), 2026-12-01 13:00, or 13:00 (today)" in ran.err
