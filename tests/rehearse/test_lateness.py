"""A rehearsal on a machine that was too busy says so beside its failure."""

from __future__ import annotations

import time

import attrs
import pytest

from he_fsm.rehearse.lateness import Lateness, busy_text
from he_fsm.rehearse.run import Rehearsal, rehearse
from he_fsm.scenario import parse_scenarios
from he_fsm.simulate import simulate

(CALM,) = parse_scenarios("scenarios: [{name: calm, hosts: 1, until: 1m}]", "calm.yaml")


def test_a_look_is_late_by_what_it_comes_after_its_time() -> None:
    times = iter([0.0, 0.1, 0.2, 1.2, 1.25])
    lateness = Lateness(0.1, lambda: next(times))
    for _ in range(5):
        lateness.look()
    assert lateness.worst_s == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("late_s", "speed", "says"),
    [
        (1.0, 10.0, ""),
        (2.0, 10.0, ""),
        (9.0, 20.0, "looks up to 9 s late; try --speed 4"),
        (9.0, 2.0, "looks up to 9 s late; try --speed 1"),
        (9.0, 1.0, "looks up to 9 s late; try again when less runs here"),
    ],
)
def test_a_busy_machine_is_told_how_to_try_again(late_s: float, speed: float, says: str) -> None:
    outcome = attrs.evolve(simulate(CALM), late_s=late_s)
    text = busy_text(outcome, speed)
    assert text == (f"this machine was too busy: {says}" if says else "")


@pytest.mark.rehearsal
def test_a_rehearsal_measures_how_late_it_was() -> None:
    stalls = []

    def stall(rehearsal: Rehearsal) -> None:
        # Once, as on a machine that has other things to do for a second.
        if not stalls:
            stalls.append(rehearsal)
            time.sleep(1.0)

    text = "scenarios: [{name: calm, hosts: 1, world: {vm_boot: 5s}, until: 20s}]"
    (scenario,) = parse_scenarios(text, "calm.yaml")
    outcome = rehearse(scenario, speed=10.0, watch=stall)
    assert outcome.late_s > 9.0
    assert "this machine was too busy" in busy_text(outcome, 10.0)
