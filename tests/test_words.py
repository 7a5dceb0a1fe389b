from __future__ import annotations

import pytest

from he_fsm.words import (
    few_ranges,
    hosts_text,
    id_ranges,
    long_text,
    several,
    slots_text,
    span_text,
)


@pytest.mark.parametrize(
    ("ids", "text"),
    [([], ""), ([3], "3"), ([1, 2], "1-2"), ([7, 1, 2, 3, 2], "1-3, 7"), ([1, 3, 5], "1, 3, 5")],
)
def test_ids_are_joined_to_ranges(ids: list[int], text: str) -> None:
    assert id_ranges(ids) == text


def test_a_long_list_is_cut_and_says_how_many() -> None:
    assert few_ranges(range(1, 2001)) == "1-2000"
    assert few_ranges(range(1, 2001, 2), shown=2) == "1, 3 and others, 1000 in all"
    assert slots_text([3]) == "slot 3"
    assert slots_text([3, 4]) == "slots 3-4"
    assert hosts_text([3]) == "host 3"
    assert hosts_text([9, 4]) == "hosts 4, 9"


def test_counts_and_times_are_as_people_say_them() -> None:
    assert (several(1, "host"), several(2, "host")) == ("1 host", "2 hosts")
    assert [long_text(s) for s in (75.4, 600, 7500, 200_000)] == ["75 s", "10 min", "2 h", "2 days"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (95.0, "95 s"),
        (197.764, "3 min 18 s"),
        (3599.9, "60 min"),
        (7200.0, "2 h"),
        (7500.0, "2 h 5 min"),
        (86_400 * 3 + 7300.0, "3 d 2 h"),
        (3_153_600_000.0, "100 y"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert span_text(seconds) == text
