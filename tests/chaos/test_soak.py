"""Some hundred loops; `make soak` does ten thousand."""

from __future__ import annotations

import pytest

from he_fsm.chaos.soak import Growth, Size, soak, summed_up


@pytest.mark.rehearsal
def test_the_daemons_do_not_grow():
    growths = soak(300)
    assert [growth.name for growth in growths] == ["agent", "broker"]
    for growth in growths:
        assert growth.is_small, growth
        assert growth.last.memory_mib < 80


@pytest.mark.parametrize(
    ("last", "is_small"),
    [
        (Size(41.0, 14), True),
        (Size(43.0, 12), False),
        (Size(40.0, 15), False),
    ],
)
def test_what_grows_is_told_apart(last: Size, is_small: bool):
    assert Growth("agent", Size(40.0, 12), last).is_small is is_small


@pytest.mark.parametrize("for_a_moment", [9, 14])
def test_what_is_open_or_closed_for_a_moment_is_no_growth(for_a_moment: int):
    sizes = [Size(40.0, 12), Size(41.0, for_a_moment), Size(39.0, 12)]
    assert summed_up(sizes) == Size(41.0, 12)
