"""What happened between two looks, each once, with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from he_fsm.dashboard.clusters.happenings import Looked, happenings
from he_fsm.live.verdict import verdict_of
from tests.dashboard.statuses import status

EDGE = {
    "at": 50.0,
    "source": "EngineDown",
    "to": "EngineStarting",
    "edge": "best_host",
    "why": "host 1 has the highest score",
    "told": True,
    "age_s": 2.0,
}
ALARM = {"at": 60.0, "alarm": "blind", "is_over": False, "why": "nothing is seen", "age_s": 1.0}


def looked(at: float, found: dict[str, Any]) -> Looked:
    return Looked(at=at, status=found, verdict=verdict_of(found, at))


def texts(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, str]]:
    found = happenings(looked(1000.0, before), looked(1010.0, now))
    return [(each.kind, each.host, each.text) for each in found]


def test_nothing_happens_between_two_looks_that_say_the_same() -> None:
    assert texts(status(), status()) == []


def test_an_edge_of_this_host_has_its_reason_and_its_own_time() -> None:
    (found,) = happenings(looked(1000.0, status()), looked(1010.0, status(events=[EDGE])))
    assert found.text == "EngineDown \u2192 EngineStarting: host 1 has the highest score"
    # The report is 1 s old, and the edge was 2 s old in it.
    assert (found.at, found.kind, found.host) == (1007.0, "state", 1)


def test_an_edge_is_told_once() -> None:
    assert texts(status(events=[EDGE]), status(events=[{**EDGE, "age_s": 12.0}])) == []


def test_a_first_look_tells_what_the_agent_remembers() -> None:
    found = happenings(None, looked(1000.0, status(events=[EDGE, ALARM])))
    assert [each.kind for each in found] == ["state", "alarm"]
    assert found[1].level == "bad"


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (status(engine_on=2), ("engine", 2, "the engine is good on host 2")),
        (status(alive=[1]), ("alive", 2, "it is silent: taken for dead")),
        (
            status(hosts={1: {}, 2: {"maintenance": True}}),
            ("maintenance", 2, "local maintenance is on"),
        ),
        (
            status(hosts={1: {}, 2: {"state": "LocalMaintenance"}}),
            ("state", 2, "EngineDown \u2192 LocalMaintenance"),
        ),
        (
            status(hosts={1: {}, 2: {"score": 1400, "why": "-1000 gateway (down)"}}),
            ("score", 2, "score 2400 \u2192 1400: -1000 gateway (down)"),
        ),
        (status(storage="it hangs"), ("storage", None, "it hangs")),
    ],
)
def test_what_happens_is_told_in_words(now: dict[str, Any], told: tuple[str, Any, str]) -> None:
    assert told in texts(status(), now)


def test_the_engine_that_goes_down_says_why() -> None:
    found = happenings(looked(1000.0, status()), looked(1010.0, status(engine_on=None)))
    (engine,) = [each for each in found if each.kind == "engine"]
    assert engine.text.startswith("engine down: ")
    assert engine.level == "bad"


def test_a_slot_that_is_damaged_and_mended() -> None:
    damaged = status()
    damaged["hosts"]["2"] = {"problem": "bad-crc", "detail": "x"}
    assert ("slot", 2, "slot 2 can't be believed: bad-crc") in texts(status(), damaged)
    assert ("slot", 2, "slot 2 is believed again") in texts(damaged, status())


def test_a_host_that_stops_cleanly_is_not_dead() -> None:
    now = status(hosts={1: {}, 2: {"stopped": True}}, alive=[1])
    assert ("alive", 2, "its agent has stopped") in texts(status(), now)


def test_global_maintenance_is_told_as_the_clusters() -> None:
    now = status()
    now["maintenance"]["global"] = True
    assert ("maintenance", None, "global maintenance is on") in texts(status(), now)
