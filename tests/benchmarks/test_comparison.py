"""How the figures of two builds are compared."""

from __future__ import annotations

import pytest

from benchmarks.comparison import Compared, compared, summary, table_head, table_line

SAME = compared("step", "us", "less", [10.0, 10.0], [10.0, 10.0])
WORSE = compared("step", "us", "less", [10.0, 10.0], [12.0, 12.0])


@pytest.mark.parametrize(
    ("better", "new", "is_worse"),
    [
        ("less", 109.0, False),
        ("less", 111.0, True),
        ("less", 50.0, False),
        ("more", 91.0, False),
        ("more", 89.0, True),
        ("more", 200.0, False),
        ("neither", 1000.0, False),
        ("neither", 0.0, False),
    ],
)
def test_more_than_a_tenth_in_the_wrong_direction_is_worse(
    better: str, new: float, is_worse: bool
) -> None:
    assert compared("what", "s", better, [100.0], [new]).is_worse is is_worse


def test_the_medians_are_compared_and_one_disturbed_round_decides_nothing() -> None:
    found = compared("what", "s", "less", [1.0, 1.2, 90.0], [1.0, 1.0, 50.0])
    assert (found.old, found.new, found.ratio) == (1.2, 1.0, pytest.approx(1 / 1.2))
    assert not found.is_worse


def test_the_spread_is_that_of_the_build_whose_rounds_differ_most() -> None:
    found = compared("what", "s", "less", [9.0, 10.0, 11.0], [10.0, 10.0, 14.0])
    assert found.spread == pytest.approx(0.4)


def test_one_round_has_no_spread() -> None:
    found = compared("what", "s", "less", [10.0], [12.0])
    assert (found.spread, found.is_within_spread) == (None, False)
    assert table_line(found, 20).split()[-2:] == ["-", "WORSE"]


@pytest.mark.parametrize(("new", "is_worse"), [(0.0, False), (1.0, True)])
def test_nothing_can_be_divided_by_a_figure_of_zero(new: float, is_worse: bool) -> None:
    found = compared("refused starts", "", "less", [0.0, 0.0], [new, new])
    assert (found.ratio, found.is_worse) == (None, is_worse)
    assert " - " in table_line(found, 20)


@pytest.mark.parametrize(("found", "mark"), [(SAME, ""), (WORSE, "WORSE")])
def test_a_line_has_both_medians_their_ratio_and_a_mark(found: Compared, mark: str) -> None:
    what, old, new, unit, ratio, spread, *rest = table_line(found, 20).split()
    assert (what, old, unit, spread) == ("step", "10", "us", "0%")
    assert float(new) == found.new
    assert float(ratio) == found.ratio
    assert "".join(rest) == mark
    assert len(table_head(20)) == len(table_line(SAME, 20))


def test_the_summary_counts_what_is_worse_and_names_what_can_not_be_measured() -> None:
    assert list(summary([SAME], [])) == ["none of 1 figures is worse by more than a tenth"]
    assert list(summary([SAME, WORSE], ["parse, plain"])) == [
        "worse by more than a tenth: 1 of 2 figures",
        "the new build can't be measured: parse, plain",
    ]


def test_the_summary_says_how_much_of_it_may_be_noise() -> None:
    noisy = compared("parse", "ms", "less", [10.0, 10.0, 14.0], [12.0, 12.0, 12.0])
    assert list(summary([noisy, WORSE], [])) == [
        "worse by more than a tenth: 2 of 2 figures",
        "  1 by no more than their own rounds differ: measure these again",
    ]
