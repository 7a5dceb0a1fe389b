"""
Scenarios on a libvirt daemon and a sanlock daemon for each host: they pass as in the simulator.

Times have some ten seconds of slack, which is one real second at this speed.
"""

from __future__ import annotations

import pytest

from he_fsm.rehearse.backends import LIBVIRT
from tests.rehearse import real_scenes as common
from tests.rehearse.scenes import scenario_of
from tests.rehearse.telling import REAL_SPEED, rehearsed_as_predicted

SPEED = REAL_SPEED
WHY_NOT = "; ".join(LIBVIRT.missing(SPEED))
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]
SCENES = {
    "vm-killed": """
        world: {io_timeout: 2s, vm_start: 8s, vm_boot: 30s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, engine: kill}
        until: 70s
        expect:
          - {after: 5s, by: 35s, engine_on: 1, engine: starting}
          - {after: 10s, by: 65s, engine_on: 1, engine: good, lease: 1}
          - {total: {starts: 1, refused_starts: 0, failed_starts: 0, migrations: 0}}
        """,
    "power-cut": """
        world: {io_timeout: 2s, vm_start: 8s, vm_boot: 30s}
        # Which of two equal ones is first is a matter of tenths of a second here.
        hosts: [{id: 1}, {id: 2}, {id: 3, cpu_load: 0.9, mem_load: 0.9}]
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, power: off}
        until: 155s
        expect:
          - {from: 10s, to: 70s, engine: down, lease: 1}
          - {after: 72s, by: 115s, engine_on: 2, engine: starting, lease: 2}
          - {after: 72s, by: 150s, engine: good}
          - {total: {starts: 1, failed_starts: 0, refused_starts: 0}}
        """,
    "gateway-lost": """
        world: {io_timeout: 2s, vm_boot: 30s, migration: 10s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, set: {gateway: 0}}
        until: 100s
        expect:
          - {by: 95s, engine_on: 2, engine: good, lease: 2, state: {1: EngineDown, 2: EngineUp}}
          - {total: {starts: 0, migrations: 1, failed_migrations: 0, downtime: "<= 15s"}}
        """,
}
LONG_SCENES = {
    "host-frozen": """
        world: {io_timeout: 2s, vm_start: 8s, vm_boot: 30s, reboot: 20s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, power: freeze}
        until: 155s
        expect:
          - {from: 10s, to: 70s, running: 0, lease: 1}
          - {after: 72s, by: 115s, engine_on: 2, engine: starting}
          - {after: 72s, by: 150s, engine_on: 2, engine: good}
          - {total: {starts: 1, resets: 1}}
        """,
    # What is paused has no lease, and is destroyed when its time is up.
    "paused": """
        world: {io_timeout: 2s, vm_start: 8s, vm_boot: 30s, pause_keeps_lease: false}
        hosts: 2
        engine: {running_on: 1}
        timeline: [{at: 10s, engine: pause}]
        until: 150s
        expect:
          - {from: 15s, to: 60s, engine_on: 1, running: 0, lease: null}
          - {after: 70s, by: 145s, engine: good, running: 1}
          - {total: {starts: 1, poweroffs: 1}}
        """,
    "paused-and-resumed": """
        world: {io_timeout: 2s, vm_boot: 30s, pause_keeps_lease: false}
        hosts: 2
        engine: {running_on: 1}
        timeline: [{at: 10s, engine: pause}, {at: 40s, engine: resume}]
        until: 80s
        expect:
          - {from: 15s, to: 38s, running: 0, lease: null}
          - {after: 40s, by: 75s, engine_on: 1, engine: good, lease: 1, state: {1: EngineUp}}
          - {total: {starts: 0}}
        """,
    "broker-killed": """
        world: {io_timeout: 2s, vm_boot: 30s}
        hosts: 2
        engine: {running_on: 1}
        timeline: [{at: 10s, host: 1, broker: kill}, {at: 40s, host: 1, broker: start}]
        until: 90s
        expect:
          - {from: 0s, engine_on: 1, engine: good, running: 1}
          - {by: 85s, state: {1: EngineUp}}
          - {total: {starts: 0, migrations: 0}}
        """,
    # A daemon that hangs is noticed after 4 real seconds.
    "libvirt-hangs": """
        world: {io_timeout: 2s, vm_boot: 30s}
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
# With the times of VMs that are resumed from a saved state, and room for one that boots.
COMMON = {**common.SCENES, **common.VM_SCENES, **common.SANLOCK_SCENES}
COMMON_SPEED = min(SPEED, 4.0)


@pytest.mark.parametrize("name", SCENES)
def test_a_rehearsal_shows_what_the_simulator_predicts(name: str) -> None:
    assert rehearsed_as_predicted(scenario_of(SCENES[name]), SPEED, backend=LIBVIRT) == ""


@pytest.mark.long
@pytest.mark.parametrize("name", LONG_SCENES)
def test_whatever_fails_a_rehearsal_shows_what_the_simulator_predicts(name: str) -> None:
    assert rehearsed_as_predicted(scenario_of(LONG_SCENES[name]), SPEED, backend=LIBVIRT) == ""


@pytest.mark.long
@pytest.mark.parametrize("name", COMMON)
def test_what_is_true_of_vms_of_qemu_is_true_of_domains(name: str) -> None:
    assert rehearsed_as_predicted(scenario_of(COMMON[name]), COMMON_SPEED, backend=LIBVIRT) == ""


@pytest.mark.long
def test_a_target_whose_source_loses_its_power_does_not_wait_for_ever() -> None:
    """Here libvirt at the target hears nothing either: its connection to the source stays."""
    scenario = scenario_of(common.SOURCE_SILENT)
    assert rehearsed_as_predicted(scenario, SPEED, backend=LIBVIRT, in_order=False) == ""
