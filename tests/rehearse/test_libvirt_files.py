"""
Scenarios of the repository on real libvirt daemons: what the simulator predicts happens.

On each host the same edges in the same order, each within its time.
"""

from __future__ import annotations

import functools

import attrs
import pytest

from he_fsm.rehearse.backends import LIBVIRT
from he_fsm.rehearse.cannot import libvirt_cannot
from he_fsm.scenario import Scenario
from he_fsm.scenario.model import Verb
from tests.rehearse.real_files import out_of_time, scenarios
from tests.rehearse.telling import rehearsed_as_predicted

SPEED = 10.0
# The guest boots, emulated: the shorter times of this file are those of a saved state.
SPEED_OF = {"real-cluster": 5.0}
WHY_NOT = "; ".join(LIBVIRT.missing(SPEED))
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.long,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]
# What a domain takes at this speed. Source: real-lab.md, section 4.
TIMES = {"vm_start_s": 8.0, "vm_boot_s": 30.0, "vm_shutdown_s": 8.0, "migration_s": 10.0}


def as_libvirt_pauses(scenario: Scenario) -> Scenario:
    """Return a scenario in which a VM that is paused has no lease, if it pauses one."""
    is_paused = any(
        entry.verb is Verb.ENGINE and entry.value[0] == "pause" for entry in scenario.timeline
    )
    world = attrs.evolve(scenario.world, pause_keeps_lease=not is_paused)
    return attrs.evolve(scenario, world=world)


# Three hosts that boot in one moment, with a libvirt daemon each, keep a machine busy for some
# seconds: which of them starts the VM first, and whom the lease refuses, is not to be predicted.
LEFT_OUT = ("lesson-b28-power-loss-of-everything",)
SCENARIOS = [as_libvirt_pauses(each) for each in scenarios(TIMES) if each.name not in LEFT_OUT]


def test_this_back_end_can_do_all_of_them() -> None:
    assert [why for each in SCENARIOS for why in libvirt_cannot(each, SPEED)] == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_what_the_simulator_predicts_happens(scenario: Scenario) -> None:
    in_time = functools.partial(out_of_time, scenario)
    speed = SPEED_OF.get(scenario.name, SPEED)
    assert rehearsed_as_predicted(scenario, speed, backend=LIBVIRT, in_time=in_time) == ""
