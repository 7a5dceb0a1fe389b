"""What the simulator predicted and what was seen, side by side."""

from __future__ import annotations

import attrs

from he_fsm.rehearse.compare import Pair, compare, differences
from he_fsm.report.events import Event
from he_fsm.report.outcome import Outcome
from he_fsm.simulate import simulate
from tests.rehearse.scenes import scenario_of

SCENE = scenario_of("hosts: 2\nuntil: 1s")
PLAIN = simulate(SCENE)


def event(t: float, host: str, edge: str, **details: str) -> Event:
    words = {"from": "EngineDown", "edge": edge, "to": "EngineStarting", **details}
    return Event(t, host, "state", words)


def outcome(*events: Event) -> Outcome:
    return attrs.evolve(PLAIN, events=events)


def test_the_same_events_are_joined_in_pairs():
    predicted = outcome(event(10.0, "1", "a"), event(20.0, "1", "b"))
    seen = outcome(event(11.5, "1", "a"), event(19.0, "1", "b"))
    pairs = compare(predicted, seen)
    assert [pair.late_s for pair in pairs] == [1.5, -1.0]
    assert differences(pairs) == ()


def test_an_event_that_was_not_seen_is_on_one_side_alone():
    lost = event(20.0, "1", "b")
    rest = (event(10.0, "1", "a"), event(30.0, "1", "c"))
    pairs = compare(outcome(rest[0], lost, rest[1]), outcome(*rest))
    assert differences(pairs) == (Pair(lost, None),)
    assert [pair.event for pair in pairs] == [rest[0], lost, rest[1]]


def test_an_event_that_was_not_predicted_is_on_one_side_alone():
    extra = event(20.0, "1", "b")
    pairs = compare(outcome(), outcome(extra))
    assert pairs == (Pair(None, extra),)
    assert pairs[0].late_s is None


def test_hosts_are_compared_each_for_itself():
    predicted = outcome(event(10.0, "1", "a"), event(10.1, "2", "a"))
    seen = outcome(event(10.0, "2", "a"), event(10.1, "1", "a"))
    assert differences(compare(predicted, seen)) == ()


def test_within_a_host_the_order_counts():
    first, second = event(10.0, "1", "a"), event(11.0, "1", "b")
    seen = outcome(event(10.0, "1", "b"), event(11.0, "1", "a"))
    assert len(differences(compare(outcome(first, second), seen))) == 2


def test_another_target_state_is_another_event():
    seen = event(10.0, "1", "a", to="EngineUp")
    assert len(differences(compare(outcome(event(10.0, "1", "a")), outcome(seen)))) == 2


def test_what_is_no_edge_is_not_compared():
    fault = Event(5.0, "1", "fault", {"text": "power: off"})
    assert compare(outcome(fault), outcome()) == ()


def test_pairs_are_sorted_by_the_predicted_time():
    predicted = outcome(event(30.0, "1", "a"), event(10.0, "2", "a"))
    seen = outcome(event(31.0, "1", "a"), event(40.0, "2", "a"))
    assert [pair.event.t for pair in compare(predicted, seen)] == [10.0, 30.0]
