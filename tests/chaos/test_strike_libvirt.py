"""A short campaign on real libvirt daemons; `make chaos-libvirt` is the long one."""

from __future__ import annotations

import pytest

from he_fsm.chaos.run import campaign
from he_fsm.rehearse.backends import LIBVIRT

SPEED = 10.0
WHY_NOT = "; ".join(LIBVIRT.missing(SPEED))
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.long,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]


def test_whatever_fails_one_engine_is_up_in_the_end() -> None:
    from he_fsm.chaos.strike_libvirt import LIBVIRT_KIT

    summary = campaign(seed=1, for_s=20.0, speed=SPEED, kit=LIBVIRT_KIT)
    assert summary.problems == ()
    assert summary.doubles == 0
    assert summary.settled_s <= summary.bound_s
    assert summary.strikes > 0
