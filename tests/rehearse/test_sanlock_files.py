"""
Scenarios of the repository on real sanlock daemons and VMs: what the simulator predicts happens.

On each host the same edges in the same order, each within a time that real-lab's figures explain.
"""

from __future__ import annotations

import functools
from pathlib import Path

import attrs
import pytest

from he_fsm.lab.sanlock.needs import missing
from he_fsm.rehearse.backends import SANLOCK
from he_fsm.rehearse.cannot import sanlock_cannot
from he_fsm.rehearse.compare import Pair
from he_fsm.scenario import Scenario, load_scenarios
from he_fsm.simulate import simulate
from tests.rehearse.telling import rehearsed_as_predicted

ROOT = Path(__file__).parents[2]
SPEED = 10.0
WHY_NOT = "; ".join(missing(SPEED))
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]
# Not those that are about the middle of a boot or of a stop: a real guest is through it sooner.
FILES = {
    "examples/real.yaml": ("real-cluster",),
    "examples/talk.yaml": (
        *("gateway-failure", "host-crash", "vm-crash", "three-failed-starts", "local-maintenance"),
        *("global-maintenance", "engine-hung", "agent-killed", "storage-cut"),
    ),
    "tests/scenarios/decisions.yaml": ("a-guest-that-says-that-it-is-dead",),
    "tests/scenarios/edges.yaml": (
        *("moved-by-restart", "paused-while-it-boots", "watching-host-loses-storage"),
        *("migration-fails", "never-healthy"),
    ),
    "tests/scenarios/lessons.yaml": (
        "lesson-b21-a-paused-vm-is-restarted-after-a-short-limit",
        "lesson-b28-power-loss-of-everything",
    ),
}
# What real VMs take at this speed: resumed from a saved state in 0.23 s, moved in 0.3 s, and a
# power cut waits for 8 x 2 + 60 s of sanlock's. Source: real-lab.md, sections 1 to 3.
IO_TIMEOUT_S = 2.0
REAL = {
    "io_timeout_s": IO_TIMEOUT_S,
    "vm_start_s": 2.0,
    "vm_boot_s": 5.0,
    "vm_shutdown_s": 5.0,
    "migration_s": 5.0,
}
# A rehearsal's first fault comes after so long, and its end after the last edge that is predicted.
BEFORE_S = 10.0
REST_S = 40.0
# In seconds of the scenario; longer ones are for `make rehearsals`.
LONG_S = 80.0
# An agent looks somewhere within its loop and jitter, in the simulator as here.
LOOP_S = 11.0
# A fault falls anywhere between two renewals, and others see it with one of their own: 2 x
# io_timeout each. Source: real-lab.md, "Time-outs", the difference of formula and measurement.
RENEWALS_S = 4 * IO_TIMEOUT_S
# A process, a mount or a page takes some tenths of a real second, whatever the speed.
MACHINE_S = 10.0


def real(scenario: Scenario) -> Scenario:
    """Return the scenario with real VMs' times, without the expectations that other times made."""
    return attrs.evolve(
        scenario,
        world=attrs.evolve(scenario.world, **REAL),
        policy=attrs.evolve(scenario.policy, io_timeout_s=IO_TIMEOUT_S),
        expect=(),
    )


def cut_short(scenario: Scenario) -> Scenario:
    """Make the scenario begin just before its first fault, and end after its last prediction."""
    early_s = min(entry.at for entry in scenario.timeline if not entry.since) - BEFORE_S
    moved = [
        entry if entry.since else attrs.evolve(entry, at=entry.at - max(0.0, early_s))
        for entry in scenario.timeline
    ]
    scenario = attrs.evolve(scenario, timeline=tuple(moved))
    events = simulate(scenario).events
    last = max(event.t for event in events if event.kind in ("state", "vm", "fault"))
    return attrs.evolve(scenario, until=min(scenario.until, last + REST_S))


def scenarios() -> list[Scenario]:
    """Return those of `FILES`, as they are played here."""
    found = []
    for file, names in FILES.items():
        chosen = [each for each in load_scenarios(ROOT / file) if each.name in names]
        assert {each.name for each in chosen} == set(names)
        is_real = file == "examples/real.yaml"
        found.extend(each if is_real else cut_short(real(each)) for each in chosen)
    return found


SCENARIOS = scenarios()


def out_of_time(scenario: Scenario, pairs: tuple[Pair, ...]) -> list[str]:
    """
    Say which edges were earlier or later than their tolerance.

    Each edge since the last fault may have waited for one more look.
    """
    faults = sorted(entry.at for entry in scenario.timeline if not entry.since)
    reasons = []
    for pair in pairs:
        if pair.late_s is None:
            continue
        t = pair.event.t
        began = max((at for at in faults if at <= t), default=0.0)
        looks = sum(1 for each in pairs if began <= each.event.t <= t)
        tolerance_s = MACHINE_S + RENEWALS_S + LOOP_S * looks
        if abs(pair.late_s) > tolerance_s:
            edge = f"{pair.event.details['from']} -> {pair.event.details['to']}"
            reasons.append(
                f"{edge} at {t:.1f} s on host {pair.event.host}: {pair.late_s:+.1f} s, not within "
                f"{tolerance_s:g} s"
            )
    return reasons


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
