"""Distributions: what is drawn has the mean that was written; incidents of real clusters."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.campaign.incidents import join, read_incidents
from he_fsm.campaign.spans import (
    Exponential,
    Fixed,
    Observed,
    Span,
    SpanForm,
    Surroundings,
    Weibull,
)
from he_fsm.document.nodes import parse_tree
from he_fsm.errors import DocumentError
from he_fsm.scenario.language.host_names import HostNames

INCIDENTS = """\
cause, host, began, ended, remark
network, a, 2025-03-01 10:00, 2025-03-01 10:10, switch
disk, a, 2025-03-01 12:00, 2025-03-01 13:00,
network, b, 2025-03-01 10:20, 2025-03-01T10:20:30Z,
network, a, 2025-03-02 10:10, 2025-03-02 10:30, switch
"""


def read(text: str, folder: Path = Path(), *, is_between: bool = True) -> Span:
    form = SpanForm(is_between=is_between)
    found: Span = form.read(parse_tree(text, "f.yaml", "a time"), Surroundings(HostNames(), folder))
    return found


def refused(text: str, folder: Path = Path(), *, is_between: bool = True) -> str:
    with pytest.raises(DocumentError) as caught:
        read(text, folder, is_between=is_between)
    return str(caught.value)


@pytest.mark.parametrize(
    "span",
    [
        Exponential(100.0),
        Weibull(100.0, 0.7),
        Weibull(100.0, 3.0),
        Fixed(100.0),
        Observed((50.0, 150.0)),
    ],
)
def test_the_mean_of_what_is_drawn_is_the_one_that_is_written(span: Span) -> None:
    draws = random.Random(1)  # noqa: S311 - no secret
    drawn = [span.draw(draws) for _ in range(20_000)]
    assert span.mean_s == 100.0
    assert sum(drawn) / len(drawn) == pytest.approx(100.0, rel=0.03)
    assert min(drawn) >= 0.0


@given(seed=st.integers(0, 2**32))
def test_each_draw_takes_one_number_so_that_what_follows_is_the_same(seed: int) -> None:
    after = set()
    for span in (Exponential(9.0), Weibull(9.0, 2.0), Fixed(9.0), Observed((1.0, 2.0))):
        draws = random.Random(seed)  # noqa: S311 - no secret
        span.draw(draws)
        after.add(draws.random())
    assert len(after) == 1


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30d", Exponential(30 * 86400.0)),
        ("90", Exponential(90.0)),
        ("{exponential: 2h}", Exponential(7200.0)),
        ("{fixed: 2h}", Fixed(7200.0)),
        ("{weibull: 1h, shape: 1.5}", Weibull(3600.0, 1.5)),
    ],
)
def test_how_they_are_written(text: str, span: Span) -> None:
    assert read(text) == span


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0s", "f.yaml:1:1: expected a time above 0"),
        ("{}", "f.yaml:1:1: expected a time, or a mapping with one of exponential, fixed, "),
        ("{weibull: 1h}", "f.yaml:1:1: the key 'shape' is missing"),
        ("{weibull: 1h, shape: 0}", "f.yaml:1:22: shape: expected 0.1 or more, got '0'"),
        ("{fixed: 1h, shape: 2}", "f.yaml:1:13: shape: unknown key"),
        ("{csv: none.csv}", "none.csv: can't be read: No such file or directory"),
    ],
)
def test_what_is_no_time_is_refused_at_its_place(text: str, said: str) -> None:
    assert refused(text).startswith(said)


def test_a_repair_may_take_no_time() -> None:
    assert read("0", is_between=False) == Exponential(0.0)


# Incidents.


def test_incidents_say_how_long_they_lasted_and_what_was_between_them(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text(INCIDENTS)
    found = read_incidents(tmp_path / "i.csv")
    assert found.count == 4
    assert sorted(found.lasted_s) == [30.0, 600.0, 1200.0, 3600.0]
    # Of host a alone: that of host b is not between two of the same host.
    assert sorted(found.between_s) == [6600.0, 76200.0]


def test_incidents_of_one_cause(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text(INCIDENTS)
    assert read("{csv: i.csv, cause: network}", tmp_path) == Observed((86400.0,))
    lasted = read("{csv: i.csv, cause: disk}", tmp_path, is_between=False)
    assert lasted == Observed((3600.0,))
    assert refused("{csv: i.csv, cause: disk}", tmp_path).endswith(
        "has 1 such incidents, expected at least 2"
    )


def test_incidents_in_seconds(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("began,ended\n10,20\n50,60.5\n")
    found = read_incidents(tmp_path / "i.csv")
    assert (found.lasted_s, found.between_s) == ((10.0, 10.5), (30.0,))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: the column 'began' is missing; there are none"),
        ("began,end\n", ":1: the column 'ended' is missing; there are began, end"),
        (
            "began,ended\n1,2\n2,x\n",
            ":3: column 'ended': expected a date like 2025-03-01 13:30, or",
        ),
        ("began,ended\n1\n", ":2: column 'ended': expected a date"),
        ("began,ended\n5,4\n", ":2: column 'ended': expected a time after 'began'"),
    ],
)
def test_incidents_that_cannot_be_used_are_refused_at_their_line(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "i.csv"
    path.write_text(text)
    with pytest.raises(DocumentError) as caught:
        read_incidents(path)
    assert str(caught.value).startswith(f"{path}{said}")


stretches = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 9)).map(
        lambda found: (float(found[0]), float(sum(found)))
    )
)


@given(found=stretches)
def test_joined_stretches_cover_the_same_and_do_not_touch(found: list[tuple[float, float]]) -> None:
    joined = join(found)
    assert all(end < start for (_, end), (start, _) in zip(joined, joined[1:]))
    for moment in range(60):
        is_in = any(start <= moment <= end for start, end in found)
        assert is_in == any(start <= moment <= end for start, end in joined)
