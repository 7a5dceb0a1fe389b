"""
Cycles against closed forms: intervals hold the truth as often as they say.

Each host is down with u = MTTR / (MTBF + MTTR), by itself. One host is unavailable with u, two of
which one has to run with u^2, and three with a common cause c with 1 - (1 - u_c) (1 - u^3).
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from he_fsm.campaign.cycles.episodes import LATER, NONE, OVER, all_struck_s, cells_of, draw
from he_fsm.campaign.cycles.shape import Shape, why_not
from he_fsm.campaign.draw import Strike
from he_fsm.campaign.faults import Cause
from tests.campaign.campaigns import campaign
from tests.campaign.cycles.laws import DAY_S, shape, unavailability


def down(mtbf: float, mttr: float) -> float:
    return mttr / (mtbf + mttr)


LAWS = {
    "one": ("{cause: host, mtbf: 100d, repair: 10d}", "1", down(100, 10)),
    "two": ("{cause: host, mtbf: 100d, repair: 5d}", "2", down(100, 5) ** 2),
    "two, rarely": ("{cause: host, mtbf: 180d, repair: 4h}", "2", down(180 * 24, 4) ** 2),
    "three with a common cause": (
        "{cause: host, mtbf: 100d, repair: 5d}\n{cause: rack, hosts: all, mtbf: 400d, repair: 1d}",
        "3",
        1 - (1 - down(400, 1)) * (1 - down(100, 5) ** 3),
    ),
}


def coverage(law: str, folder: Path, times: int, precision: float) -> float:
    """Return the part of intervals that hold the truth."""
    faults, hosts, truth = LAWS[law]
    of, held = shape(folder, faults, hosts), 0
    for seed in range(times):
        found = unavailability(of, seed * 1_000_003, precision)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    return held / times


@pytest.mark.once
@pytest.mark.parametrize("law", ["one", "two, rarely"])
def test_intervals_hold_the_truth(tmp_path: Path, law: str) -> None:
    # At 95 % fewer than 24 of 30 hold it in one of a thousand such tests.
    assert coverage(law, tmp_path, 30, 0.3) >= 24 / 30


@pytest.mark.long
@pytest.mark.once
@pytest.mark.parametrize("law", LAWS)
def test_intervals_hold_the_truth_as_often_as_they_say(tmp_path: Path, law: str) -> None:
    # Wanted is 0.93 to 0.97. With rare overlaps, whose lengths have a heavy tail, it is 0.93 to a
    # hundredth or two. One host, of which a doubt says all, has 0.99: its intervals are too wide.
    most = 0.995 if law == "one" else 0.985
    assert 0.91 <= coverage(law, tmp_path, 1000, 0.1) <= most


# What is drawn.


def two(folder: Path) -> Shape:
    return shape(folder, "{cause: host, mtbf: 100d, repair: 5d}\n{cause: vm, mtbf: 50d}", "2")


def test_first_faults_and_what_follows_them_make_up_all_there_is(tmp_path: Path) -> None:
    of = two(tmp_path)
    cells = cells_of(of, 0)
    firsts = {(cell.fault, cell.where): p for cell, p in cells.items()}
    assert math.fsum(firsts.values()) == pytest.approx(1)
    for fault, where in firsts:
        mine = [cell for cell in cells if (cell.fault, cell.where) == (fault, where)]
        means = [
            math.fsum(draw(of, cell, f"{i}").weight for i in range(300)) / 300 for cell in mine
        ]
        assert math.fsum(means) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("when", [NONE, LATER, OVER])
def test_the_next_fault_comes_when_its_cell_says(tmp_path: Path, when: str) -> None:
    of = two(tmp_path)
    for cell in (each for each in cells_of(of, 0) if each.next == when):
        for number in range(50):
            drawn = draw(of, cell, f"{number}")
            first, *others = drawn.strikes
            assert first.fault == cell.fault
            assert bool(others) == (when != NONE)
            if others:
                over_s = first.end_s + (0.0 if when == OVER else of.settle_s)
                assert others[0].start_s <= over_s + 0.001
                assert (others[0].start_s <= first.end_s + 0.001) == (when == OVER)
            last_s = max(strike.end_s for strike in drawn.strikes)
            assert drawn.end_s == pytest.approx(last_s + of.settle_s)
            assert 0 <= drawn.weight <= 1


def test_equal_seeds_draw_the_same(tmp_path: Path) -> None:
    of = two(tmp_path)
    for cell in cells_of(of, 0):
        assert draw(of, cell, "a") == draw(of, cell, "a")


def test_all_hosts_are_struck_while_a_fault_lasts_on_each() -> None:
    def strike(host: str, start_s: float, end_s: float) -> Strike:
        return Strike("host", Cause.HOST, (host,), start_s, end_s)

    strikes = [strike("1", 0, 10), strike("2", 2, 3), strike("2", 8, 20), strike("1", 19, 20)]
    assert all_struck_s(strikes, ("1", "2")) == 1 + 2 + 1
    assert all_struck_s(strikes, ("1", "2", "3")) == 0
    assert all_struck_s(strikes, ("2",)) == 1 + 12


# Where it can't be done.


@pytest.mark.parametrize(
    ("faults", "more", "why"),
    [
        ("{cause: host, mtbf: {weibull: 30d, shape: 2}, repair: 1h}", "", "memory (weibull)"),
        ("{cause: host, mtbf: {fixed: 30d}, repair: 1h}", "", "memory (fixed)"),
        ("{cause: maintenance, every: 30d, lasts: 1h}", "", "comes at fixed times"),
        ("{cause: host, mtbf: 2h, repair: 1h}", "", "come so often"),
        ("{cause: host, mtbf: 30d, repair: 1h}", "maintenance: global", "global maintenance"),
        ("{cause: host, mtbf: 30d, repair: {weibull: 1h, shape: 2}}", "", ""),
    ],
)
def test_it_says_when_what_it_rests_on_does_not_hold(
    tmp_path: Path, faults: str, more: str, why: str
) -> None:
    (design,) = campaign(tmp_path, faults, f"runs: 2\n{more}", "3").designs
    assert why in why_not(design)
    assert bool(why) == bool(why_not(design))


def test_incidents_from_a_file_have_a_memory(tmp_path: Path) -> None:
    lines = ["began,ended"] + [f"{i * 1000 * i},{i * 1000 * i + 60}" for i in range(1, 9)]
    (tmp_path / "incidents.csv").write_text("\n".join(lines), encoding="utf-8")
    faults = "{cause: host, mtbf: {csv: incidents.csv}, repair: 1h}"
    (design,) = campaign(tmp_path, faults, "runs: 2", "3").designs
    assert "observed in a CSV file" in why_not(design)


def test_hosts_that_are_written_alike_are_one_place(tmp_path: Path) -> None:
    hosts = "[{id: 1}, {id: 2, hostname: other}, {id: 3, cpu_load: 0.7}, {id: 4, powered: false}]"
    of = shape(tmp_path, "{cause: host, mtbf: 100d, repair: 5d}", hosts)
    assert of.places == (("1", "2"), ("3",))
    racks = "{cause: host, mtbf: 100d, repair: 5d}\n{cause: rack, hosts: [1], mtbf: 9d, repair: 1h}"
    assert shape(tmp_path, racks, "2").places == (("1",), ("2",))
    assert of.rate == pytest.approx(4 / (100 * DAY_S))
