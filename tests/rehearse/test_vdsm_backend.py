"""
Scenarios on a vdsm of the lab and a sanlock daemon for each host: they pass as in the simulator.

Times have some ten seconds of slack, which is one real second at this speed.
"""

from __future__ import annotations

import pytest

from he_fsm.rehearse.backends import VDSM
from tests.rehearse import real_scenes as common
from tests.rehearse.scenes import scenario_of
from tests.rehearse.telling import REAL_SPEED, rehearsed_as_predicted

SPEED = REAL_SPEED
WHY_NOT = "; ".join(VDSM.missing(SPEED))
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.long,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]
SCENES = {
    # A vdsm that hangs is noticed by its deadline, one real second here.
    "vdsm-hangs": """
        world: {io_timeout: 2s, vm_boot: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline: [{at: 10s, host: 1, hypervisor: lost}, {at: 100s, host: 1, hypervisor: back}]
        until: 150s
        expect:
          - {from: 0s, engine_on: 1, engine: good, lease: 1, running: 1}
          - {by: 95s, state: {1: Unknown}}
          - {after: 100s, by: 145s, state: {1: EngineUp}}
          - {total: {starts: 0, migrations: 0}}
        """,
}
ALL = {**SCENES, **common.SCENES, **common.VM_SCENES, **common.SANLOCK_SCENES}


@pytest.mark.parametrize("name", ALL)
def test_a_rehearsal_shows_what_the_simulator_predicts(name: str) -> None:
    assert rehearsed_as_predicted(scenario_of(ALL[name]), SPEED, backend=VDSM) == ""
