"""What can be asked for, and what is said to all else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.dashboard.access.guard import RequestError
from he_fsm.dashboard.live.wishes import Wish, wish_of, wish_of_query
from he_fsm.scenario.language.additions import timeline_entry


@pytest.mark.parametrize(
    ("plain", "fault", "question"),
    [
        (
            {"deed": "local", "on": True, "for": "2h"},
            "host: 3, maintenance: on, for: 7200s",
            "maintenance of host 3 begins, for 2 h",
        ),
        (
            {"deed": "local", "on": False},
            "host: 3, maintenance: off",
            "maintenance of host 3 ends",
        ),
        ({"deed": "global", "on": True}, "maintenance: global", "global maintenance begins"),
        ({"deed": "global", "on": False}, "maintenance: none", "global maintenance ends"),
        ({"deed": "move", "to": 2}, "engine: migrate 2", "the engine moves to host 2"),
    ],
)
def test_a_wish_is_a_fault_of_the_scenario_language(
    plain: dict[str, Any], fault: str, question: str
) -> None:
    wish = wish_of(plain)
    assert wish.fault(3, wish.to) == fault
    assert wish.question(3, wish.to) == question
    assert timeline_entry("0s", fault)


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({}, "deed: expected local, global, move, got None"),
        ({"deed": "dance"}, "deed: expected local, global, move, got 'dance'"),
        ({"deed": "local"}, "on: expected true or false, got None"),
        ({"deed": "local", "on": "yes"}, "on: expected true or false, got 'yes'"),
        ({"deed": "local", "on": True, "to": 2}, "to: local takes deed, for, on"),
        ({"deed": "local", "on": False, "for": "2h"}, "for: it goes with on: true"),
        ({"deed": "local", "on": True, "for": "soon"}, "for: expected a time like 2h"),
        ({"deed": "local", "on": True, "for": 60}, "for: expected a time like 2h"),
        ({"deed": "local", "on": True, "for": "0s"}, "for: expected a time like 2h"),
        ({"deed": "local", "on": True, "for": "1y"}, "for: expected a time like 2h"),
        ({"deed": "move", "to": 0}, "to: expected a host id, 1 to 2000, got 0"),
        ({"deed": "move", "to": True}, "to: expected a host id, 1 to 2000, got True"),
        ({"deed": "move", "to": "two"}, "to: expected a host id, 1 to 2000, got 'two'"),
        ({"deed": "move", "on": True}, "on: move takes deed, to"),
    ],
)
def test_what_can_not_be_asked_for_is_one_sentence(plain: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as raised:
        wish_of(plain)
    assert str(raised.value).startswith(said)
    assert raised.value.status == 400


@given(wish=st.builds(Wish, deed=st.just("move"), to=st.none() | st.integers(1, 2000)))
def test_an_address_says_the_same_as_a_body(wish: Wish) -> None:
    query = {"deed": wish.deed, **({} if wish.to is None else {"to": str(wish.to)})}
    assert wish_of_query(query) == wish


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)


@given(
    plain=st.dictionaries(st.sampled_from(["deed", "on", "for", "to", "x"]), PLAIN),
    deed=st.sampled_from(["local", "global", "move", None]),
)
def test_anything_else_is_refused_and_breaks_nothing(plain: dict[str, Any], deed: Any) -> None:
    try:
        found = wish_of({**plain, "deed": deed})
    except RequestError:
        return
    assert found.deed == deed
