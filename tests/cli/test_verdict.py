"""The first line of `he-fsm status` and its exit status, by what the broker says."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from he_fsm.live.summary import summary
from he_fsm.live.verdict import no_answer, verdict_of

GOOD = {"vm": "up", "health": "good", "detail": "Up"}
BAD = {"vm": "up", "health": "bad", "detail": "Up", "reason": "failed liveliness check"}
PAUSED = {"vm": "up", "health": "bad", "detail": "Paused", "reason": "bad vm status"}
DOWN = {"vm": "down", "health": "bad", "detail": "unknown", "reason": "vm not running"}
# 2026-11-30 12:00:00 UTC.
NOON = 1_796_040_000.0


def host(
    engine: Optional[dict[str, str]] = None, score: int = 2400, *, stopped: bool = False
) -> dict[str, Any]:
    return {
        "hostname": "h",
        "timestamp": 7,
        "score": score,
        "engine": engine or DOWN,
        "maintenance": False,
        "stopped": stopped,
        "text": [],
    }


def status(hosts: dict[int, dict[str, Any]], **agent: Any) -> dict[str, Any]:
    """Return the status of host 1: all its hosts live, unless *agent* says otherwise."""
    seen = {"host": 1, "condition": "good", "for_s": 3600.0, "saw_change": True}
    plain = {
        "state": "EngineUp",
        "why": "all is well",
        "alive": sorted(hosts),
        "pending": [],
        "loop_s": 10.0,
        "age_s": 1.0,
        "placement": "the engine runs on host 1",
        "alarms": [],
        "engine_seen": seen,
    }
    lease = {
        "owner": 1,
        "owner_state": "live",
        "generation": 1,
        "renewal_age_s": 3.0,
        "free_in_s": None,
        "runs_out_in_s": 137.0,
    }
    return {
        "host_id": 1,
        "storage": "ok",
        "read_age_s": 0.0,
        "maintenance": {"local": False, "global": False},
        "lease": lease,
        "agent": {**plain, **agent},
        "hosts": {str(number): plain for number, plain in hosts.items()},
    }


def test_a_good_engine_is_good_since_a_moment() -> None:
    verdict = verdict_of(status({1: host(GOOD), 2: host()}), NOON)
    assert (verdict.level, verdict.exit_status) == ("good", 0)
    assert verdict.line.startswith("engine good on host 1 since 2026-")
    assert verdict.as_json() == {
        "level": "good",
        "line": verdict.line,
        "engine_on": 1,
        "engine": "good",
        "since": "2026-11-30T10:59:59+00:00",
        "earlier": False,
        "wrong": [],
        "exit_status": 0,
    }


def test_what_was_so_when_the_agent_began_was_so_earlier() -> None:
    seen = {"host": 1, "condition": "good", "for_s": 9.0, "saw_change": False}
    verdict = verdict_of(status({1: host(GOOD), 2: host()}, engine_seen=seen), NOON)
    assert verdict.line.endswith(" or earlier")
    seen["host"] = 2
    verdict = verdict_of(status({1: host(GOOD), 2: host()}, engine_seen=seen), NOON)
    assert verdict.line == "engine good on host 1"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"alarms": [{"name": "drain", "text": "…", "for_s": 5.0}]}, "alarm drain"),
        ({"alive": [1]}, "host 2 is silent; no other host could take over"),
        ({"state": "Unknown", "why": "no hypervisor"}, "host 1 is in Unknown: no hypervisor"),
    ],
)
def test_an_engine_that_is_up_may_be_degraded(change: dict[str, Any], says: str) -> None:
    verdict = verdict_of(status({1: host(GOOD), 2: host()}, **change), NOON)
    assert (verdict.level, verdict.exit_status) == ("degraded", 1)
    assert says in verdict.line
    assert verdict.wrong


def test_nobody_to_take_over_degrades_it_and_a_lone_host_is_no_trouble() -> None:
    for other in (host(score=0), host(score=0, stopped=True)):
        found = status({1: host(GOOD), 2: other})
        assert verdict_of(found, NOON).wrong == ("no other host could take over",)
    assert verdict_of(status({1: host(GOOD)}), NOON).level == "good"


def test_a_flag_that_keeps_all_hosts_from_starting_it_degrades_it() -> None:
    found = status({1: host(GOOD), 2: host()})
    found["maintenance"]["global"] = True
    assert "global maintenance is on" in verdict_of(found, NOON).line
    found["maintenance"]["global"] = None
    assert "slot 0" in verdict_of(found, NOON).line
    found["maintenance"]["global"], found["lease"] = False, None
    assert "the lease manager of this host does not answer" in verdict_of(found, NOON).line


def test_a_page_that_is_bad_is_degraded_and_a_paused_vm_is_down() -> None:
    verdict = verdict_of(status({1: host(BAD), 2: host()}), NOON)
    assert (verdict.exit_status, verdict.engine) == (1, "bad")
    assert "its health page is not good" in verdict.line
    verdict = verdict_of(status({1: host(PAUSED), 2: host()}), NOON)
    assert (verdict.exit_status, verdict.level, verdict.engine) == (3, "down", "paused")


def test_an_engine_that_runs_nowhere_is_down_with_the_reason() -> None:
    alarm = {"name": "engine-down", "text": "no host may start it", "for_s": 70.0}
    seen = {"host": None, "condition": "down", "for_s": 70.0, "saw_change": True}
    found = status({1: host(), 2: host()}, alarms=[alarm], engine_seen=seen)
    found["lease"]["owner"] = None
    verdict = verdict_of(found, NOON)
    assert (verdict.level, verdict.exit_status) == ("down", 3)
    assert verdict.line.startswith("engine down since ")
    assert verdict.line.endswith(": no host may start it")
    found["maintenance"]["global"] = True
    assert verdict_of(found, NOON).line.endswith("global maintenance is on, so nobody starts it")


def test_a_lease_that_is_awaited_is_the_reason() -> None:
    found = status({1: host(), 2: host()}, alive=[1])
    found["lease"].update(owner=2, owner_state="failing", free_in_s=40.0)
    assert "host 2 no longer renews its lease, which is free in 40 s" in verdict_of(found).line


def test_a_silent_owner_that_renews_is_not_called_down() -> None:
    found = status({1: host(), 2: host(GOOD)}, alive=[1])
    found["lease"]["owner"] = 2
    verdict = verdict_of(found)
    assert (verdict.level, verdict.exit_status) == ("unknown", 3)
    assert "host 2 holds its lease and renews it" in verdict.line


def test_a_host_that_does_not_look_can_not_tell() -> None:
    hosts = {1: host(GOOD), 2: host()}
    for change, says in [
        ({"age_s": None}, "has not reported since the broker started"),
        ({"age_s": 95.0}, "has not reported for 95 s"),
    ]:
        verdict = verdict_of(status(hosts, **change))
        assert (verdict.level, verdict.exit_status) == ("unknown", 3)
        assert says in verdict.line
    found = status(hosts)
    found["storage"] = "the storage did not answer within 2 s"
    assert verdict_of(found).line == "engine unknown: the storage did not answer within 2 s"
    assert no_answer("x").exit_status == 3


def test_a_stopped_agent_is_shown_as_stopped() -> None:
    found = status({1: host(score=0, stopped=True), 2: host(GOOD)}, age_s=500.0, published=True)
    assert "the agent of this host (1) is stopped" in verdict_of(found).line
    assert "Agent of host 1: stopped" in summary(found)


def test_an_agent_that_runs_and_can_not_write_is_not_called_stopped() -> None:
    found = status({1: host(score=0, stopped=True), 2: host(GOOD)}, published=False)
    assert verdict_of(found).engine_on == 2
