"""
Scenarios of the repository on a vdsm of the lab for each host: what the simulator predicts happens.

On each host the same edges in the same order, each within a time that real-lab's figures explain.
"""

from __future__ import annotations

import functools

import pytest

from he_fsm.rehearse.backends import VDSM
from he_fsm.rehearse.cannot import vdsm_cannot
from he_fsm.scenario import Scenario
from tests.rehearse.real_files import out_of_time, scenarios
from tests.rehearse.telling import rehearsed_as_predicted

SPEED = 10.0
WHY_NOT = "; ".join(VDSM.missing(SPEED))
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]
# As for QEMU alone. A start takes vdsm some tenths of a second more, which are in the tolerance.
TIMES = {"vm_start_s": 2.0, "vm_boot_s": 5.0, "vm_shutdown_s": 5.0, "migration_s": 5.0}
# vdsm does not say that a guest has reported its own death, so that its page has to tell.
NOT_TOLD = "a-guest-that-says-that-it-is-dead"
# Three hosts that boot in one moment, with a vdsm each, keep a machine busy for some seconds: which
# of them starts the VM first, and whom the lease refuses, is not to be predicted.
AT_ONCE = "lesson-b28-power-loss-of-everything"
SCENARIOS = [each for each in scenarios(TIMES) if each.name not in (NOT_TOLD, AT_ONCE)]
# The others are for `make rehearsals`.
SHORT = ("vm-crash", "host-crash", "engine-hung")


def test_for_root_this_back_end_can_do_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert [why for scenario in SCENARIOS for why in vdsm_cannot(scenario, SPEED)] == []


def test_what_vdsm_does_not_tell_is_said_before_anything_is_started() -> None:
    (scenario,) = [each for each in scenarios(TIMES) if each.name == NOT_TOLD]
    assert "its own death" in "".join(vdsm_cannot(scenario, SPEED))


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(each, id=each.name, marks=[] if each.name in SHORT else [pytest.mark.long])
        for each in SCENARIOS
    ],
)
def test_what_the_simulator_predicts_happens(scenario: Scenario) -> None:
    in_time = functools.partial(out_of_time, scenario)
    assert rehearsed_as_predicted(scenario, SPEED, backend=VDSM, in_time=in_time) == ""
