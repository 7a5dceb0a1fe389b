from __future__ import annotations

from typing import Any, Callable

import pytest

from he_fsm.scenario import Failure, Judge, Seen

JudgeOf = Callable[..., Judge]
ENGINE_ON = ("engine_on",)
ENGINE = ("engine",)
HEALTHY = ("healthy",)


def show(judge: Judge, *observed: tuple[float, tuple[Any, ...], Any]) -> Judge:
    for time, key, value in observed:
        judge.observe(time, key, value)
    return judge


def failures(judge: Judge, until: float = 600.0) -> tuple[Failure, ...]:
    return judge.finish(until).failures


def moved(judge: Judge) -> Judge:
    """An engine that leaves host 1 at 100 s and is good on host 2 from 200 s on."""
    return show(
        judge,
        (0.0, ENGINE_ON, "1"),
        (0.0, ENGINE, "good"),
        (0.0, HEALTHY, True),
        (100.0, ENGINE_ON, None),
        (100.0, ENGINE, "down"),
        (100.0, HEALTHY, False),
        (150.0, ENGINE_ON, "2"),
        (150.0, ENGINE, "starting"),
        (200.0, ENGINE, "good"),
        (200.0, HEALTHY, True),
    )


@pytest.mark.parametrize(
    "expected",
    [
        "{at: 0, engine_on: 1}",
        "{at: 100s, engine_on: null}",
        "{at: 99.9s, engine_on: 1}",
        "{at: 150s, engine_on: [2, 3]}",
        "{at: 600s, engine_on: 2, engine: good}",
        "{by: 200s, engine_on: 2, engine: good}",
        "{by: 600s, after: 200s, engine: good}",
        "{by: 100s, after: 100s, engine: down}",
        "{from: 200s, engine_on: 2}",
        "{from: 200s, to: 600s, engine_on: 2, engine: good}",
        "{to: 99.999s, engine_on: 1}",
        "{from: 100s, to: 100s, engine: down}",
        "{from: 0, to: 600s, never: true, engine_on: 1, engine: starting}",
        "{never: true, engine_on: 3}",
        "{from: 200s, never: on, engine: down}",
        "{any: [{at: 0, engine_on: 3}, {at: 0, engine_on: 1}]}",
        "{any: [[{at: 0, engine_on: 1}, {at: 0, engine: down}], [{at: 0, engine: good}]]}",
        "{since: {engine: down}, at: 50s, engine_on: 2}",
        "{since: {engine: down}, by: 100s, engine: good}",
        "{since: {engine: down}, from: 50s, engine_on: 2}",
        "{since: {engine: down}, any: [{at: 0, engine: good}, {at: 0, engine: down}]}",
        "{total: {downtime: 100s, longest_outage: 1m40s}}",
        "{total: {downtime: '<= 20s'}, from: 180s}",
        "{total: {downtime: 60s}, from: 120s, to: 180s}",
        "{since: {engine_on: 2}, total: {downtime: 50s}}",
        "{by: 150s, total: {downtime: '>= 50s'}}",
        "{at: 150s, total: {downtime: 50s, longest_outage: 50s}}",
        "{to: 150s, never: true, total: {downtime: '> 50s'}}",
        "{from: 200s, never: true, total: {downtime: '< 99s'}}",
    ],
)
def test_an_expectation_holds(judge_of: JudgeOf, expected: str) -> None:
    assert failures(moved(judge_of(expected))) == ()


@pytest.mark.parametrize(
    ("expected", "seen", "at"),
    [
        ("{at: 100s, engine_on: 1}", "engine_on was null", 100),
        ("{at: 5s, engine_on: 2, engine: bad}", "engine_on was 1 and engine was good", 5),
        ("{by: 199.9s, engine_on: 2, engine: good}", "engine was starting", 199.9),
        ("{by: 199s, after: 100s, engine: good}", "engine was starting", 199),
        ("{from: 50s, to: 100s, engine_on: 1}", "engine_on was null", 100),
        ("{to: 180s, engine_on: [1, null]}", "engine_on was 2", 150),
        ("{from: 199s, engine_on: 2, engine: good}", "engine was starting", 199),
        ("{from: 0, to: 150s, never: true, engine: starting}", "engine was starting", 150),
        ("{from: 600s, never: true, engine_on: 2}", "engine_on was 2", 600),
        (
            "{any: [{at: 0, engine_on: 3}, {at: 100, engine: good}]}",
            "engine_on was 1 at 0 s; engine was down at 100 s",
            None,
        ),
        ("{since: {engine: paused}, at: 0, engine_on: 1}", "since never came", 600),
        ("{since: {engine: down}, at: 501s, engine_on: 2}", "the run ended before 601 s", 600),
        ("{since: {engine: down}, at: 50s, engine_on: 1}", "engine_on was 2", 150),
        ("{since: {engine: down}, by: 99s, engine: good}", "engine was starting", 199),
        ("{total: {downtime: '<= 99s'}}", "downtime was 100 s from 0 s to 600 s", 600),
        (
            "{total: {longest_outage: '< 60s'}, from: 140s}",
            "longest_outage was 60 s from 140 s to 600 s",
            600,
        ),
        ("{to: 150.001s, never: true, total: {downtime: '> 50s'}}", "total downtime was 50", 150),
        ("{to: 600s, engine_on: [1, 2, null], total: {starts: 1}}", "starts was 0", 600),
    ],
)
def test_a_failure_says_what_was_seen_and_when(
    judge_of: JudgeOf, expected: str, seen: str, at: float | None
) -> None:
    (failure,) = failures(moved(judge_of(expected)))
    assert seen in failure.seen
    assert failure.at == at
    assert failure.expected.startswith("{")
    assert str(failure.place) == "f.yaml:5"
    assert failure.line == 5


def test_failures_come_in_the_order_of_the_file(judge_of: JudgeOf) -> None:
    judge = moved(judge_of("{at: 0, engine: bad}", "{at: 0, engine: good}", "{at: 1, engine: bad}"))
    assert [failure.line for failure in failures(judge)] == [5, 7]


def test_the_last_value_of_a_moment_counts(judge_of: JudgeOf) -> None:
    judge = judge_of("{from: 0, never: true, engine: bad}", "{at: 10s, engine: good}")
    show(judge, (0.0, ENGINE, "down"), (10.0, ENGINE, "bad"), (10.0, ENGINE, "good"))
    assert failures(judge) == ()


def test_only_what_is_asked_for_is_wanted(judge_of: JudgeOf) -> None:
    judge = judge_of(
        "{at: 0, score: {1-2: 0}, total: {starts: 1}}",
        "{any: [{at: 0, sees: {1: {2: {vm: up}}}}]}",
        timeline="{since: {lease: 1, total: {starts: 1}}, host: 1, power: off}",
    )
    assert judge.wanted == {
        HEALTHY,
        ("score", "1"),
        ("score", "2"),
        ("sees", "1", "2"),
        ("lease",),
    }
    assert not judge.watches_age
    assert judge_of("{at: 0, record: {1: {age: 1s}}}").watches_age
    judge.observe(0.0, ("state", "1"), "EngineUp")


RECORD = ("record", "1")


def record(since: float) -> Seen:
    return Seen(score=2400, vm="up", hostname="host1", since=since)


@pytest.mark.parametrize(
    ("expected", "holds"),
    [
        ("{to: 70s, record: {1: {age: '<= 60s'}}}", True),
        ("{to: 70.1s, record: {1: {age: '<= 60s'}}}", False),
        ("{from: 0, to: 70s, record: {1: {age: '< 60s'}}}", False),
        ("{to: 69s, record: {1: {age: '< 60s'}}}", True),
        ("{by: 70s, record: {1: {age: '> 60s'}}}", False),
        ("{by: 70.1s, record: {1: {age: '> 60s'}}}", True),
        ("{by: 70s, record: {1: {age: 1m}}}", True),
        ("{by: 69.9s, record: {1: {age: 1m}}}", False),
        ("{at: 80s, record: {1: {age: 0}}}", True),
        ("{from: 80s, to: 100s, record: {1: {age: '<= 20s'}}}", True),
        ("{from: 0, to: 80s, never: true, record: {1: {age: '!= 0', score: 0}}}", True),
        ("{since: {record: {1: {age: '> 60s'}}}, at: 10s, record: {1: {age: 0}}}", True),
    ],
)
def test_ages_grow_between_observations(judge_of: JudgeOf, expected: str, holds: bool) -> None:
    judge = judge_of(expected)
    show(judge, (0.0, RECORD, record(0)), (10.0, RECORD, record(10)), (80.0, RECORD, record(80)))
    assert (failures(judge) == ()) is holds


@pytest.mark.parametrize(
    ("written", "value", "words"),
    [
        ("lease: 1", None, "lease was null"),
        ("score: {1: 3}", 2400, "the score of 1 was 2400"),
        ("alive: {1: [1]}", frozenset({3, 1}), "what 1 takes for alive was [1, 3]"),
        ("record: {1: null}", record(0), "the record of 1 was a record with score 2400 and vm up"),
        ("record: {1: {maintenance: on}}", record(0), "the record of 1 was {maintenance: false}"),
        ("record: {1: {maintenance: on}}", None, "the record of 1 was null"),
        ("sees: {1: {2: {vm: down}}}", record(0), "what 1 sees of 2 was {vm: up}"),
        ("problem: {1: {0: null}}", "crc", "the problem of 1 with slot 0 was crc"),
    ],
)
def test_every_kind_of_value_has_words(
    judge_of: JudgeOf, written: str, value: Any, words: str
) -> None:
    judge = judge_of(f"{{at: 0, {written}}}")
    (key,) = judge.wanted - {HEALTHY}
    judge.observe(0.0, key, value)
    assert [failure.seen for failure in failures(judge)] == [words]


def test_an_age_is_said_in_seconds(judge_of: JudgeOf) -> None:
    judge = show(judge_of("{at: 12s, record: {1: {age: 5s, vm: up}}}"), (0.0, RECORD, record(0)))
    assert failures(judge)[0].seen == "the record of 1 was {age: 12, vm: up}"


def test_events_are_counted_for_all_and_for_their_host(judge_of: JudgeOf) -> None:
    judge = judge_of(
        "{total: {starts: 3}}",
        "{total: {starts: 2}, host: 1}",
        "{total: {starts: 0}, from: 10s, to: 20s, host: 1}",
        "{total: {starts: 0}, from: 10.1s, to: 19.9s}",
        "{at: 20s, total: {starts: 2}}",
        "{by: 10s, total: {starts: 1}, host: 1}",
        "{since: {total: {starts: 2}}, total: {starts: 2}}",
        "{total: {notifications: 1}}",
    )
    for time, host in ((10.0, "1"), (20.0, "2"), (30.0, "1")):
        judge.count(time, "starts", host)
    judge.count(40.0, "notifications", None)
    found = failures(judge)
    assert [failure.line for failure in found] == [7]
    assert found[0].seen == "starts of host 1 was 1 from 10 s to 20 s"
    assert found[0].at == 20


def test_an_unknown_event_is_refused(judge_of: JudgeOf) -> None:
    with pytest.raises(ValueError, match="'start' is not counted; known: starts"):
        judge_of().count(0.0, "start", None)


def test_the_totals_of_a_run(judge_of: JudgeOf) -> None:
    judge = moved(judge_of())
    judge.count(150.0, "starts", "2")
    totals = judge.finish(600.0).totals
    assert totals == {
        "starts": 1,
        "refused_starts": 0,
        "failed_starts": 0,
        "migrations": 0,
        "failed_migrations": 0,
        "shutdowns": 0,
        "poweroffs": 0,
        "resets": 0,
        "notifications": 0,
        "downtime": 100.0,
        "longest_outage": 100.0,
    }


def test_an_outage_that_lasts_counts_to_the_end(judge_of: JudgeOf) -> None:
    judge = show(judge_of(), (0.0, HEALTHY, True), (590.0005, HEALTHY, False))
    assert judge.finish(600.0).totals["downtime"] == pytest.approx(9.9995, abs=0.0006)


def test_outages_that_touch_are_one(judge_of: JudgeOf) -> None:
    judge = judge_of("{total: {longest_outage: 20s}}")
    show(
        judge,
        (0.0, HEALTHY, True),
        (10.0, HEALTHY, False),
        (20.0, HEALTHY, True),
        (20.0, HEALTHY, False),
        (30.0, HEALTHY, True),
        (40.0, HEALTHY, False),
        (40.0, HEALTHY, True),
    )
    assert failures(judge) == ()
    assert judge.finish(600.0).totals["downtime"] == 20


@pytest.mark.parametrize(
    ("expected", "holds"),
    [
        ("{total: {starts: '<= 2'}, window: 100s}", False),
        ("{total: {starts: '<= 2'}, window: 99s}", True),
        ("{total: {starts: '>= 1'}, window: 300s}", True),
        ("{total: {starts: '>= 1'}, window: 299s}", False),
        ("{total: {starts: '>= 1'}, window: 100s, from: 0, to: 150s}", True),
        ("{total: {starts: 4}, window: 10m}", True),
        ("{total: {starts: 4}, window: 20m}", True),
        ("{total: {starts: '!= 2'}, window: 100s}", False),
        ("{total: {downtime: '<= 40s'}, window: 60s}", True),
        ("{total: {downtime: '< 40s'}, window: 60s}", False),
        ("{total: {downtime: '!= 29s'}, window: 60s}", False),
        ("{total: {downtime: '<= 60s'}, window: 80s}", True),
        ("{total: {downtime: '<= 59s'}, window: 80s}", False),
        ("{total: {longest_outage: '>= 10s'}, from: 310s, to: 390s, window: 70s}", True),
        ("{total: {longest_outage: '> 19.9s'}, from: 300s, to: 380s, window: 60s}", True),
        ("{total: {longest_outage: '> 20s'}, from: 300s, to: 380s, window: 60s}", False),
        ("{total: {longest_outage: '!= 22.5s'}, from: 300s, to: 380s, window: 60s}", False),
    ],
)
def test_a_total_in_each_stretch(judge_of: JudgeOf, expected: str, holds: bool) -> None:
    """Four starts: 0, 50 and 100 s, and 400 s; outages from 300 to 330 s and from 350 to 380 s."""
    judge = judge_of(expected)
    judge.observe(0.0, HEALTHY, True)
    for time in (0.0, 50.0, 100.0):
        judge.count(time, "starts", "1")
    for time, value in ((300.0, False), (330.0, True), (350.0, False), (380.0, True)):
        judge.observe(time, HEALTHY, value)
    judge.count(400.0, "starts", "1")
    assert (failures(judge) == ()) is holds


def test_a_since_of_the_timeline_comes_once(judge_of: JudgeOf) -> None:
    judge = judge_of(timeline="{since: {engine: down, running: 0}, host: 1, power: off}")
    show(judge, (0.0, ENGINE, "good"), (0.0, ("running",), 1))
    assert judge.settle(0.0) == ()
    judge.observe(5.0, ENGINE, "down")
    assert judge.settle(5.0) == ()
    judge.observe(6.0, ("running",), 0)
    judge.observe(6.0, ENGINE, "good")
    assert judge.settle(6.0) == ()
    judge.observe(7.0, ENGINE, "down")
    assert judge.settle(7.0) == (0,)
    judge.observe(8.0, ENGINE, "good")
    judge.observe(9.0, ENGINE, "down")
    assert judge.settle(9.0) == ()
    assert judge.next_check(9.0) is None


def test_a_since_that_holds_at_once_comes_at_once(judge_of: JudgeOf) -> None:
    judge = judge_of(timeline="{since: {engine: good}, host: 1, power: off}")
    judge.observe(0.0, ENGINE, "good")
    assert judge.settle(0.0) == (0,)


def test_a_since_comes_by_counting(judge_of: JudgeOf) -> None:
    judge = judge_of(timeline="{since: {host: 1, total: {failed_starts: 2}}, host: 1, starts: ok}")
    assert judge.settle(0.0) == ()
    judge.count(1.0, "failed_starts", "1")
    assert judge.settle(1.0) == ()
    judge.count(2.0, "failed_starts", "2")
    assert judge.settle(2.0) == ()
    judge.count(3.0, "failed_starts", "1")
    assert judge.settle(3.0) == (0,)


@pytest.mark.parametrize("operator", ["", ">= ", "> "])
def test_a_since_comes_by_an_age_that_grows(judge_of: JudgeOf, operator: str) -> None:
    since = f"{{since: {{record: {{1: {{age: '{operator}60s'}}}}}}, host: 1, power: off}}"
    judge = judge_of(timeline=since)
    judge.observe(0.0, RECORD, record(0))
    assert judge.settle(0.0) == ()
    assert judge.next_check(0.0) == 60
    judge.observe(10.0, RECORD, record(10))
    assert judge.settle(10.0) == ()
    assert judge.next_check(10.0) == 70
    assert judge.settle(69.0) == ()
    assert judge.settle(70.0) == (0,)


@pytest.mark.parametrize("total", ["downtime", "longest_outage"])
def test_a_since_comes_by_an_outage_that_grows(judge_of: JudgeOf, total: str) -> None:
    since = f"{{since: {{total: {{{total}: '> 30s'}}}}, host: 1, power: off}}"
    judge = judge_of(timeline=since)
    judge.observe(0.0, HEALTHY, True)
    assert judge.settle(0.0) == ()
    assert judge.next_check(0.0) is None
    judge.observe(10.0, HEALTHY, False)
    assert judge.settle(10.0) == ()
    assert judge.next_check(10.0) == 40
    judge.observe(20.0, HEALTHY, True)
    assert judge.settle(20.0) == ()
    assert judge.next_check(20.0) is None
    judge.observe(50.0, HEALTHY, False)
    assert judge.settle(50.0) == ()
    due = 70.0 if total == "downtime" else 80.0
    assert judge.next_check(50.0) == due
    assert judge.settle(due) == (0,)


def test_many_sinces_come_in_the_order_of_the_file(read: Callable[..., Any]) -> None:
    judge = Judge(
        read(
            """
            timeline:
              - {since: {engine: down}, host: 1, power: off}
              - {at: 0, host: 1, power: off}
              - {since: {engine: down}, host: 2, power: off}
              - {since: {engine: bad}, host: 2, power: off}
            """
        )
    )
    judge.observe(0.0, ENGINE, "good")
    assert judge.settle(0.0) == ()
    judge.observe(1.0, ENGINE, "down")
    assert judge.settle(1.0) == (0, 2)
    judge.observe(2.0, ENGINE, "paused")
    assert judge.settle(2.0) == (3,)


def test_the_least_longest_outage_lies_between_two_borders(judge_of: JudgeOf) -> None:
    """While one outage leaves the stretch and another enters it, the longer is 20 s at least."""
    judge = judge_of(
        "{from: 300s, to: 390s, window: 60s, total: {longest_outage: '>= 20s'}}",
        "{from: 300s, to: 390s, window: 60s, total: {longest_outage: '>= 24s'}}",
    )
    judge.observe(0.0, HEALTHY, True)
    for time, value in ((300.0, False), (330.0, True), (350.0, False), (390.0, True)):
        judge.observe(time, HEALTHY, value)
    (failure,) = failures(judge)
    assert failure.line == 6
    assert failure.seen == "longest_outage was 20 s from 310 s to 370 s"
