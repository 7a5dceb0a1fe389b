"""The comparison of a rehearsal with the simulator's prediction, and its report for people."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from he_fsm.lab.mount import NO_MOUNT
from he_fsm.rehearse.backends import EMBEDDED, Backend
from he_fsm.rehearse.compare import Pair, compare, differences
from he_fsm.rehearse.run import rehearse
from he_fsm.report.outcome import Outcome
from he_fsm.scenario import Scenario
from he_fsm.simulate import simulate

# `make true-clock` sets it to 1.
REAL_SPEED = float(os.environ.get("HE_FSM_REAL_SPEED", "10"))


def rehearsed_as_predicted(
    scenario: Scenario,
    speed: float,
    *,
    in_order: bool = True,
    backend: Backend = EMBEDDED,
    in_time: Callable[[tuple[Pair, ...]], list[str]] = lambda _: [],
) -> str:
    """
    Rehearse a scenario; give what is not as predicted, nothing if all is.

    What was late because the machine had other things to do weighs half at half the speed, so that
    it is tried there once more; what really differs does so at any speed. *in_time* says of the
    edges, predicted and seen, which were too early or too late. What only root can do is skipped
    for others.
    """
    for why in backend.cannot(scenario, speed):
        if NO_MOUNT in why:
            pytest.skip(why)
    predicted = simulate(scenario)
    assert predicted.passed, told(predicted)
    reasons = []
    # sanlock can't be slower than the clock.
    for each in (speed, max(speed / 2, 1.0)):
        seen = rehearse(scenario, backend=backend, speed=each)
        doubles = [failure for failure in seen.failures if "two-engines" in failure.expected]
        assert doubles == [], told(seen)
        pairs = compare(predicted, seen)
        strays = [*alone(pairs), *in_time(pairs)] if in_order else []
        if seen.passed and not strays:
            return ""
        reasons.append("\n".join([f"at speed {each:g}:", *strays, told(seen)]))
    return "\n".join(reasons)


def told(outcome: Outcome) -> str:
    events = (f"{e.t:8.2f} {e.host} {e.kind} {e.text()}" for e in outcome.events)
    return "\n".join([*map(str, outcome.failures), *events])


def alone(pairs: tuple[Pair, ...]) -> list[str]:
    return [
        f"{'predicted' if pair.predicted else 'seen'} only: {pair.event.t:.1f} s, host "
        f"{pair.event.host}: {pair.event.details['from']} -> {pair.event.details['to']}"
        for pair in differences(pairs)
    ]
