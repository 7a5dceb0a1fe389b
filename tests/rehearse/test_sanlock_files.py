"""
Scenarios of the repository on real sanlock daemons and VMs: what the simulator predicts happens.

On each host the same edges in the same order, each within a time that real-lab's figures explain.
"""

from __future__ import annotations

import functools

import pytest

from he_fsm.lab.sanlock.needs import missing
from he_fsm.rehearse.backends import SANLOCK
from he_fsm.rehearse.cannot import sanlock_cannot
from he_fsm.scenario import Scenario
from tests.rehearse.real_files import LONG_S, out_of_time, scenarios
from tests.rehearse.telling import rehearsed_as_predicted

SPEED = 10.0
WHY_NOT = "; ".join(missing(SPEED))
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]
# What real VMs take at this speed: resumed from a saved state in 0.23 s, moved in 0.3 s, and a
# power cut waits for 8 x 2 + 60 s of sanlock's. Source: real-lab.md, sections 1 to 3.
TIMES = {"vm_start_s": 2.0, "vm_boot_s": 5.0, "vm_shutdown_s": 5.0, "migration_s": 5.0}
SCENARIOS = scenarios(TIMES)


def test_for_root_this_back_end_can_do_all_of_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert [why for scenario in SCENARIOS for why in sanlock_cannot(scenario, SPEED)] == []


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(each, id=each.name, marks=[pytest.mark.long] if each.until > LONG_S else [])
        for each in SCENARIOS
    ],
)
def test_what_the_simulator_predicts_happens(scenario: Scenario):
    in_time = functools.partial(out_of_time, scenario)
    assert rehearsed_as_predicted(scenario, SPEED, backend=SANLOCK, in_time=in_time) == ""
