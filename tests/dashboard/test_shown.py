"""What the page is told of a status."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.dashboard.clusters.shown import keys_of, parts_of
from he_fsm.live.verdict import verdict_of
from he_fsm.policy import TALK
from he_fsm.score import score
from he_fsm.testing.strategies.boards import readings
from tests.dashboard.statuses import status


def shown(found: dict[str, Any]) -> dict[str, Any]:
    return keys_of(1000.0, found, verdict_of(found, 1000.0))


@given(found=readings(TALK), failed=st.integers(0, 2))
def test_the_parts_are_those_of_the_score(found: Any, failed: int) -> None:
    """What a host writes of its score is read back, part by part."""
    rated = score(found, TALK, failed_starts=failed)
    lost = [part for part in rated.parts if part.points != part.weight]
    if rated.zero_because:
        return
    assert [(each["name"], each["points"]) for each in parts_of(rated.why)] == [
        (part.name, part.points - part.weight) for part in lost
    ]


@pytest.mark.parametrize("why", ["", "all is well", "local maintenance", "0: 3 failed starts"])
def test_a_score_without_parts_has_none(why: str) -> None:
    assert parts_of(why) == []


def test_a_heartbeat_changes_no_host() -> None:
    before, now = status(), status()
    for plain in now["hosts"].values():
        plain["timestamp"] = 110
        plain["text"][0] = "timestamp=110 (y)"
    hosts = {key for key in shown(before) if key.startswith("host/")}
    assert hosts == {"host/1", "host/2"}
    assert all(shown(before)[key] == shown(now)[key] for key in hosts)


def test_ages_are_those_of_the_records_now() -> None:
    # The report, which says 4 s, is a second old.
    assert shown(status())["ages"]["hosts"] == {"2": 5.0, "1": 1.0}


def test_warnings_come_worst_first() -> None:
    alarm = {"name": "blind", "text": "nothing is seen", "for_s": 9.0}
    found = shown(status(alive=[1], alarms=[alarm]))["head"]["warnings"]
    assert [each["level"] for each in found] == ["bad", "warn", "warn"]
    assert found[0]["text"] == "alarm blind, for 10 s: nothing is seen"
    assert found[1]["text"] == "host 2 is silent"


def test_control_characters_of_a_slot_are_shown_as_such() -> None:
    found = status(hosts={1: {}, 2: {"hostname": "a\x1b[31mb", "why": "\x07"}})
    assert shown(found)["host/2"]["hostname"] == "a\\x1b[31mb"
    assert shown(found)["host/2"]["why"] == "\\x07"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_monitor_that_reads_no_number_breaks_no_json(value: float) -> None:
    found = status()
    found["monitors"]["cpu"] = {"value": value, "age_s": 1.0, "fault": ""}
    json.dumps(shown(found), allow_nan=False)


def test_of_a_damaged_slot_only_the_damage_is_shown() -> None:
    found = status()
    found["hosts"]["2"] = {"problem": "bad-crc", "detail": "the checksum is wrong"}
    assert shown(found)["host/2"] == {
        "id": 2,
        "problem": "bad-crc",
        "detail": "the checksum is wrong",
    }
