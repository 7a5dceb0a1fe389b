"""Some hundred loops; `make soak` does ten thousand."""

from __future__ import annotations

import pytest

from he_fsm.rehearse.soak import Growth, Size, soak, summed_up


@pytest.mark.rehearsal
def test_the_daemons_do_not_grow():
    growths = soak(300)
    assert [growth.name for growth in growths] == ["agent", "broker"]
    for growth in growths:
        assert growth.is_small, growth
        assert growth.last.memory_mib < 80


@pytest.mark.parametrize(
    ("last", "is_small"),
    [(Size(41.0, 12), True), (Size(43.0, 12), False), (Size(40.0, 13), False)],
)
def test_what_grows_is_told_apart(last: Size, is_small: bool):
    assert Growth("agent", Size(40.0, 12), last).is_small is is_small


def test_a_descriptor_that_is_open_for_a_moment_is_no_growth():
    assert summed_up([Size(40.0, 12), Size(41.0, 14), Size(39.0, 13)]) == Size(41.0, 12)
