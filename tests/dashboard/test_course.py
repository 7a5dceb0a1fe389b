"""The lanes of the last hours."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from he_fsm.dashboard.clusters.course import Course, lanes_of
from he_fsm.live.verdict import verdict_of
from tests.dashboard.statuses import status

WORDS = st.sampled_from(["up", "down", None])
STEPS = st.lists(st.tuples(st.floats(0, 30), WORDS), min_size=1, max_size=30)


def word_at(spells: list[list[Any]], at: float) -> Any:
    before = [word for start, word in spells if start <= at]
    return before[-1] if before else None


@given(steps=STEPS, span_s=st.floats(10, 200))
def test_a_row_says_what_was_so_at_each_moment_of_the_span(
    steps: list[tuple[float, Any]], span_s: float
) -> None:
    course, at, truth = Course(span_s), 1000.0, []
    lanes: dict[str, Any] = {}
    for pause, word in steps:
        at += pause
        lanes.update(course.add(at, {"lane/1": {"state": word}}))
        truth.append([at, word])
    spells = lanes.get("lane/1", {}).get("state", [])
    for moment in [at, *(each for each, _ in truth if each > at - span_s)]:
        assert word_at(spells, moment) == word_at(truth, moment)
    starts = [start for start, _ in spells]
    assert starts == sorted(starts)
    assert all(one[1] != other[1] for one, other in zip(spells, spells[1:]))
    # Of what has ended before the span, nothing is kept.
    assert all(start > at - span_s for start in starts[1:])


def test_a_row_that_flickers_is_bounded() -> None:
    course, lanes = Course(1e9), {}
    for number in range(2000):
        lanes = course.add(float(number), {"lane/1": {"state": number % 2}}) or lanes
    assert len(lanes["lane/1"]["state"]) == 400


def test_what_is_not_said_any_more_is_not_known() -> None:
    course = Course(3600)
    course.add(1.0, {"lane/1": {"state": "EngineUp"}})
    assert course.add(5.0, {}) == {"lane/1": {"state": [[1.0, "EngineUp"], [5.0, None]]}}


def test_a_wall_clock_that_is_set_back_turns_nothing_around() -> None:
    course = Course(3600)
    course.add(100.0, {"lane/1": {"state": "a"}})
    lanes = course.add(50.0, {"lane/1": {"state": "b"}})
    assert lanes["lane/1"]["state"] == [[100.0, "b"]]


def test_the_lanes_of_a_status() -> None:
    found = status(engine_on=1, hosts={1: {}, 2: {"stopped": True}, 3: {}}, alive=[1])
    found["hosts"]["4"] = {"problem": "bad-crc", "detail": "x"}
    lanes = lanes_of(found, verdict_of(found))
    assert lanes["lane/engine"] == {"engine": ["good", 1]}
    assert lanes["lane/1"] == {"state": "EngineUp", "vm": "good", "lease": "held", "score": 2400}
    assert lanes["lane/2"]["state"] == "stopped"
    assert lanes["lane/3"]["state"] == "silent"
    assert lanes["lane/4"] == {"state": "damaged"}


def test_of_a_cluster_that_is_not_seen_the_engine_is_not_known() -> None:
    found = status(engine_on=1, storage="it hangs")
    assert lanes_of(found, verdict_of(found))["lane/engine"] == {"engine": None}
