"""Some hundred loops; `make soak` does ten thousand."""

from __future__ import annotations

from collections import Counter

import pytest

from he_fsm.chaos.looks import Lateness
from he_fsm.chaos.sizes import Growth, Size, summed_up
from he_fsm.chaos.soak import Load, Soaked, soak
from he_fsm.lab.slow_mount import why_not


@pytest.mark.rehearsal
def test_the_daemons_do_not_grow():
    soaked = soak(300, Load())
    assert [growth.name for growth in soaked.growths] == ["agent", "broker", "storage worker"]
    for growth in soaked.growths:
        assert growth.is_small, growth
        assert growth.last.memory_mib < 80


@pytest.mark.rehearsal
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_an_agent_is_in_time_while_the_storage_is_slow_and_people_look():
    soaked = soak(200, Load(loop_s=0.2, latency_s=0.05, readers=6, pause_s=0.05))
    said = "\n".join(soaked.lines())
    assert {growth.name for growth in soaked.growths if not growth.is_small} == set(), said
    lateness = soaked.lateness
    # A write and a reading take half a loop; other tests may run on this machine at the same time.
    assert lateness.looks > 150, said
    assert lateness.late <= lateness.looks // 20, said
    assert set(soaked.answers) == {"/metrics 200", "/v1/status 200", "/v1/whiteboard 200"}, said


@pytest.mark.parametrize(
    ("last", "is_small", "leaks"),
    [
        (Size(41.0, 14, 5), True, False),
        (Size(43.0, 12, 5), False, False),
        (Size(40.0, 15, 5), False, True),
        (Size(40.0, 12, 7), True, False),
        (Size(40.0, 12, 8), False, True),
    ],
)
def test_what_grows_is_told_apart(last: Size, is_small: bool, leaks: bool):
    growth = Growth("agent", Size(40.0, 12, 5), last)
    assert (growth.is_small, growth.leaks) == (is_small, leaks)


@pytest.mark.parametrize(("number", "moments"), [(9, 1), (14, 5)])
def test_what_is_open_for_a_while_or_closed_for_a_moment_is_no_growth(number: int, moments: int):
    usual = [Size(40.0, 12, 12)] * (8 - moments)
    assert summed_up([Size(41.0, number, number)] * moments + usual) == Size(41.0, 12, 12)


@pytest.mark.parametrize(
    ("last", "latest_s", "workers", "words"),
    [
        (Size(40.0, 12, 5), 0.1, 1, []),
        (Size(50.0, 12, 5), 0.1, 1, ["GROWS"]),
        (Size(40.0, 12, 5), 0.11, 1, ["MISSED"]),
        (Size(40.0, 12, 5), 0.1, 2, ["REPLACED"]),
    ],
)
def test_what_is_not_well_has_a_word_in_its_line(
    last: Size, latest_s: float, workers: int, words: list[str]
):
    soaked = Soaked(
        growths=(Growth("agent", Size(40.0, 12, 5), last),),
        lateness=Lateness(loop_s=0.1, looks=100, late=1, latest_s=latest_s),
        answers=Counter({"/v1/status 200": 7}),
        workers=workers,
        machine_late_s=0.0,
    )
    found = [
        word for line in soaked.lines() for word in ("GROWS", "MISSED", "REPLACED") if word in line
    ]
    assert found == words
    assert soaked.is_well is (not words)
