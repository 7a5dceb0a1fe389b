"""Scenarios of the repository for back ends with real VMs: with their times, and judged by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from he_fsm.rehearse.compare import Pair
from he_fsm.scenario import Scenario, load_scenarios
from he_fsm.simulate import simulate

ROOT = Path(__file__).parents[2]
# Not those that are about the middle of a boot or of a stop: a real guest is through it sooner.
FILES: dict[str, tuple[str, ...]] = {
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
    "tests/scenarios/shutdowns.yaml": (
        # A boot of real daemons takes longer than the rest that such a run has.
        *("orderly-shutdown-of-the-engines-host", "shutdown-with-policy-stop"),
    ),
    "tests/scenarios/lessons.yaml": (
        "lesson-b21-a-paused-vm-is-restarted-after-a-short-limit",
        "lesson-b28-power-loss-of-everything",
    ),
}
IO_TIMEOUT_S = 2.0
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


def real(scenario: Scenario, times: dict[str, float]) -> Scenario:
    """Return the scenario with real VMs' times, without the expectations that other times made."""
    return attrs.evolve(
        scenario,
        world=attrs.evolve(scenario.world, **times, io_timeout_s=IO_TIMEOUT_S),
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


def scenarios(times: dict[str, Any]) -> list[Scenario]:
    """Return those of `FILES`, as they are played here with real VMs of these times."""
    found = []
    for file, names in FILES.items():
        chosen = [each for each in load_scenarios(ROOT / file) if each.name in names]
        assert {each.name for each in chosen} == set(names)
        is_real = file == "examples/real.yaml"
        found.extend(each if is_real else cut_short(real(each, times)) for each in chosen)
    return found


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
