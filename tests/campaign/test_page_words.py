from __future__ import annotations

import pytest

from he_fsm.campaign.page_words import (
    availability_text,
    between_text,
    duration_text,
    interval_text,
    number_text,
)
from he_fsm.campaign.results import Estimate


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.0, "0 s"), (0.25, "0.25 s"), (92.0, "92 s"), (119.9, "120 s"), (120.0, "2 min")),
        *((4830.0, "80.5 min"), (7200.0, "2 h"), (172_800.0, "2 d"), (31_536_000.0, "365 d")),
    ],
)
def test_times_have_the_unit_that_reads_best(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0.0, "0"), (0.1234, "0.123"), (12.345, "12.3"), (1234.5, "1234")]
)
def test_numbers_have_three_figures(number: float, text: str) -> None:
    assert number_text(number) == text


@pytest.mark.parametrize(
    ("estimate", "text", "interval"),
    [
        (Estimate(value=0.99991, low=0.9998, high=1.0), "99.991%", "99.980% to 100.000%"),
        (Estimate(value=0.9, low=0.8, high=1.0), "90.00%", "80.00% to 100.00%"),
        (Estimate(value=0.999_999), "99.99990%", "no interval: one run, or all the same"),
        (Estimate(value=1.0), "100.00%", "no interval: one run, or all the same"),
    ],
)
def test_availabilities_have_the_digits_that_their_interval_leaves(
    estimate: Estimate, text: str, interval: str
) -> None:
    assert (availability_text(estimate), interval_text(estimate)) == (text, interval)


def test_a_time_has_its_interval_beside_it() -> None:
    assert between_text(Estimate(value=60.0, low=30.0, high=600.0)) == "60 s (30 s to 10 min)"
    assert between_text(Estimate(value=60.0)) == "60 s"
