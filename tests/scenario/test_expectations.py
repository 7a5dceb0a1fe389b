from __future__ import annotations

from typing import Any, Callable

import attrs
import pytest

from he_fsm.scenario import Expectation, Kind, Scenario, Seen
from he_fsm.scenario.judging.matching import Moment
from he_fsm.scenario.language.conditions import STATE_NAMES

Read = Callable[..., Scenario]


def expectation_of(read: Read, text: str) -> Expectation:
    return read(f"until: 1h\nexpect:\n  - {{{text}}}").expect[0]


RECORD = Seen(score=2400, vm="up", hostname="host1", maintenance=False, stopped=True, since=40.0)


@pytest.mark.parametrize(
    ("written", "key", "good", "bad"),
    [
        ("engine_on: 2", ("engine_on",), "2", None),
        ("engine_on: [1, 2]", ("engine_on",), "1", "3"),
        ("engine_on: 2-3", ("engine_on",), "3", "1"),
        ("engine_on: null", ("engine_on",), None, "1"),
        ("engine_on: [1, null]", ("engine_on",), None, "2"),
        ("engine: good", ("engine",), "good", "bad"),
        ("engine: bad", ("engine",), "paused", "good"),
        ("engine: bad", ("engine",), "bad", "down"),
        ("engine: paused", ("engine",), "paused", "bad"),
        ("engine: [good, starting]", ("engine",), "starting", "down"),
        ("running: 1", ("running",), 1, 2),
        ("running: '<= 1'", ("running",), 0, 2),
        ("score: {2: 1400}", ("score", "2"), 1400, None),
        ("score: {2: '>= 1400'}", ("score", "2"), 2400, 1000),
        ("record: {1: {score: 2400, vm: up}}", ("record", "1"), RECORD, None),
        ("record: {1: {vm: '!= down'}}", ("record", "1"), RECORD, None),
        ("record: {1: {hostname: host1, stopped: yes}}", ("record", "1"), RECORD, None),
        ("record: {1: {maintenance: off, age: 20s}}", ("record", "1"), RECORD, None),
        ("record: {1: null}", ("record", "1"), None, RECORD),
        ("sees: {1: {2: {age: '< 21s'}}}", ("sees", "1", "2"), RECORD, None),
        ("sees: {1: {2: null}}", ("sees", "1", "2"), None, RECORD),
        ("state: {3: EngineUp}", ("state", "3"), "EngineUp", "EngineDown"),
        ("state: {3: [EngineUp, Unknown]}", ("state", "3"), "Unknown", None),
        ("alive: {1: [1, 2]}", ("alive", "1"), frozenset({2, 1}), frozenset({1})),
        ("alive: {1: all}", ("alive", "1"), frozenset({1, 2, 3}), frozenset()),
        ("alive: {1: []}", ("alive", "1"), frozenset(), frozenset({1})),
        ("lease: 1", ("lease",), "1", None),
        ("lease: null", ("lease",), None, "1"),
        ("problem: {1: {2: crc}}", ("problem", "1", 2), "crc", None),
        ("problem: {1: {0: [crc, garbage]}}", ("problem", "1", 0), "garbage", "range"),
        ("problem: {1: {7: null}}", ("problem", "1", 7), None, "silent"),
    ],
)
def test_a_condition_asks_about_its_signal(
    read: Read, written: str, key: tuple[Any, ...], good: Any, bad: Any
) -> None:
    (condition,) = expectation_of(read, f"at: 60s, {written}").conditions
    assert condition.key == key
    assert condition.test.holds(good, Moment(60.0))
    assert not condition.test.holds(bad, Moment(60.0))


@pytest.mark.parametrize("name", STATE_NAMES)
def test_every_state_can_be_expected(read: Read, name: str) -> None:
    (condition,) = expectation_of(read, f"at: 0, state: {{1: {name}}}").conditions
    assert condition.test.holds(name, Moment(0.0))


def test_ranges_and_all_spread_and_the_particular_beats_the_general(read: Read) -> None:
    wanted = expectation_of(read, "at: 0, score: {3: 3, all: 1, 2-3: 2}").conditions
    values = {condition.key[1]: condition.test for condition in wanted}
    assert {host: test.holds(int(host), Moment(0)) for host, test in values.items()} == {
        "1": True,
        "2": True,
        "3": True,
    }


def test_slots_spread_too(read: Read) -> None:
    wanted = expectation_of(read, "at: 0, problem: {1-2: {0: null, 5-6: null, all: crc}}")
    slots = {condition.key[1:] for condition in wanted.conditions}
    assert slots == {(viewer, slot) for viewer in "12" for slot in (0, 1, 2, 3, 5, 6)}


@pytest.mark.parametrize(
    ("written", "kind", "start", "end"),
    [
        ("at: 3m", Kind.AT, 180, 180),
        ("by: 3m", Kind.BY, 0, 180),
        ("by: 3m, after: 1m", Kind.BY, 60, 180),
        ("from: 1m, to: 3m", Kind.INTERVAL, 60, 180),
        ("from: 1m", Kind.INTERVAL, 60, None),
        ("to: 3m", Kind.INTERVAL, 0, 180),
        ("to: 3m, never: true", Kind.INTERVAL, 0, 180),
    ],
)
def test_the_times_of_an_expectation(
    read: Read, written: str, kind: Kind, start: float, end: float | None
) -> None:
    made = expectation_of(read, f"{written}, running: 1")
    assert (made.kind, made.start, made.end) == (kind, start, end)
    assert made.never == ("never" in written)


def test_totals_stand_over_a_time_or_up_to_a_moment(read: Read) -> None:
    over = expectation_of(read, "total: {starts: 1, downtime: '<= 1m'}, host: 2, window: 10m")
    assert over.kind is Kind.TOTAL
    assert [(t.name, t.host, t.comparison.number) for t in over.totals] == [
        ("starts", "2", 1),
        ("downtime", None, 60),
    ]
    assert over.window == 600
    between = expectation_of(read, "from: 1m, engine_on: 1, total: {resets: 0}")
    assert (between.kind, len(between.conditions), len(between.totals)) == (Kind.INTERVAL, 1, 1)
    up_to = expectation_of(read, "by: 1m, total: {resets: 1}, host: 3")
    assert up_to.conditions[0].key == ("total", "resets", "3")
    assert not up_to.totals


def test_what_narrows_a_total_may_stand_in_it(read: Read) -> None:
    inside = expectation_of(read, "total: {starts: 1, from: 1m, to: 2m, host: 1, window: 30s}")
    beside = expectation_of(read, "from: 1m, to: 2m, host: 1, window: 30s, total: {starts: 1}")
    assert attrs.evolve(inside, text="") == attrs.evolve(beside, text="")


def test_what_narrows_a_total_stands_in_one_place(refusal: Callable[..., str]) -> None:
    said = refusal("expect:\n  - {from: 1m, total: {starts: 1, from: 2m}}")
    assert "'from' stands beside 'total' as well" in said


def test_an_end_after_the_run_is_the_end_of_the_run(read: Read) -> None:
    assert expectation_of(read, "by: 2h, running: 1").end == 7200


def test_since_may_count_up_to_then(read: Read) -> None:
    made = expectation_of(
        read, "since: {host: 1, total: {failed_starts: 3}}, by: 15s, score: {1: 0}"
    )
    assert made.since[0].key == ("total", "failed_starts", "1")


def test_any_takes_entries_and_lists_of_them(read: Read) -> None:
    made = expectation_of(
        read,
        "since: {engine: down}, any: [{by: 1m, running: 1}, "
        "[{at: 1m, running: 0}, {since: {engine: good}, at: 2m, running: 1}], "
        "{any: [{at: 5, running: 2}]}]",
    )
    assert made.kind is Kind.ANY
    first, second, third = made.alternatives
    assert first[0].since == made.since
    assert second[1].since != made.since
    assert third[0].alternatives[0][0].since == made.since


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("running: 1", "no time here"),
        ("at: 5s", "nothing is expected here"),
        ("at: 5s, by: 6s, running: 1", "'by' can't stand beside 'at'"),
        ("by: 5s, to: 6s, running: 1", "'to' can't stand beside 'by'"),
        ("at: 5s, after: 1s, running: 1", "'after' goes with 'by'"),
        ("by: 5s, after: 6s, running: 1", "'after' is later than 'by'"),
        ("from: 5s, to: 4s, running: 1", "'from' is later than 'to'"),
        ("by: 5s, never: true, running: 1", "'never' goes with 'from' and 'to'"),
        ("by: 5s, host: 1, running: 1", "'host' goes with 'total'"),
        ("by: 5s, window: 3s, total: {starts: 1}", "'window' goes with a total over"),
        ("from: 5s, window: 3s, running: 1", "'window' goes with 'total'"),
        ("at: 61m, running: 1", "after the run ends"),
        ("any: [{at: 1, running: 1}, [{from: 2h, running: 1}]]", "after the run ends"),
        ("by: 5s, engin: good", "unknown key, did you mean 'engine'?"),
        ("by: 5s, engine: god", "unknown word 'god', did you mean 'good'?"),
        ("by: 5s, engine: []", "at least one value"),
        ("by: 5s, engine_on: []", "at least one host id"),
        ("by: 5s, engine_on: 9", "there is no host 9"),
        ("by: 5s, running: one", "expected a number or a comparison"),
        ("by: 5s, running: yes", "expected a number or a comparison"),
        ("by: 5s, score: 1400", "expected a mapping by host id"),
        ("by: 5s, score: {}", "expected at least one host id"),
        ("by: 5s, score: {1-2: 3, 2-3: 4}", "host 2 is already meant by the key 1-2"),
        ("by: 5s, record: {1: {scor: 3}}", "did you mean 'score'?"),
        ("by: 5s, record: {1: {}}", "at least one of score"),
        ("by: 5s, record: {1: {age: old}}", "expected a time or a comparison"),
        ("by: 5s, record: {1: {vm: '!= upp'}}", "did you mean 'up'?"),
        ("by: 5s, sees: {1: {vm: up}}", "no host is named 'vm'"),
        ("by: 5s, state: {1: engineup}", "did you mean 'EngineUp'?"),
        ("by: 5s, problem: {1: {2: crcs}}", "did you mean 'crc'?"),
        ("by: 5s, problem: {1: {2001: crc}}", "slots are numbered from 0 to 2000"),
        ("by: 5s, alive: {1: {2: 3}}", "expected a host's id or name"),
        ("total: {start: 1}", "did you mean 'starts'?"),
        ("total: {}", "at least one of starts"),
        ("since: {host: 1}, at: 5, running: 1", "'host' goes with 'total'"),
        ("any: []", "expected a list of entries"),
        ("any: [[]]", "expected at least one entry"),
        ("any: [{at: 1, running: 1}], by: 3m", "'by' stands in the entries of 'any'"),
    ],
)
def test_a_bad_expectation_is_refused(
    refusal: Callable[..., str], written: str, message: str
) -> None:
    said = refusal(f"until: 1h\nexpect:\n  - {{{written}}}")
    assert said.startswith("f.yaml:5:")
    assert ": scenarios[0].expect[0]" in said
    assert message in said
