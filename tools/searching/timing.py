"""
Whether each recovery is as quick as `he-fsm timing` says it is at worst.

One fault strikes a cluster at rest, under a policy and in surroundings drawn at random of which all
inequalities hold. The scenario's name is that of the recovery.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Optional

from he_fsm.errors import PolicyError, ScenarioError
from he_fsm.report.outcome import Outcome
from he_fsm.scenario.model import Scenario
from he_fsm.simulate import simulate
from he_fsm.timing import Recovery, Surroundings, inequalities, recoveries
from searching.draw import Spec, read

_FAULT_S = 300.0
# What rounding between two clocks may add, in seconds.
_ROUNDING_S = 1e-3
# The fault of each recovery, and the event by which the machine has acted.
_CUT = {"storage": "cut"}
_FAULTS: dict[str, tuple[list[Spec], Spec]] = {
    "host crash": ([{"host": 1, "power": "off"}], {"vm": "starting"}),
    "storage cut": ([{"host": 1, **_CUT}], {"vm": "starting"}),
    "VM crash": ([{"engine": "kill"}], {"vm": "starting"}),
    "VM paused": ([{"engine": "pause"}], {"vm": "starting"}),
    "hung engine": ([{"engine": "hang"}], {"vm": "starting"}),
    "agent and VM death": ([{"host": 1, "agent": "kill"}, {"engine": "kill"}], {"vm": "starting"}),
    "gateway lost": ([{"host": 1, "set": {"gateway": 0}}], {"to": "EngineMigratingAway"}),
    "agent death": ([{"host": 1, "agent": "kill"}], {"word": "silent", "slot": 1}),
    "cold start": ([], {"vm": "starting"}),
}


def one_fault(draw: random.Random) -> Spec:
    """Draw a recovery with a policy and surroundings that fit each other."""
    while True:
        spec = _any_times(draw)
        try:
            scenario = read(spec)
        except (ScenarioError, PolicyError):
            continue
        if all(rule.holds for rule in inequalities(scenario.policy, _around(scenario))):
            return spec


def _any_times(draw: random.Random) -> Spec:
    name = draw.choice(list(_FAULTS))
    loop_s = draw.choice([1, 2, 5, 10, 10, 20, 30])
    io_timeout_s = draw.choice([1, 2, 5, 10, 10, 15, 20])
    count = draw.choice([2, 2, 3, 3, 4, 7])
    # Where host 1 is a little worse than the others another one has to act.
    hosts: list[Spec] = [{"id": host_id} for host_id in range(1, count + 1)]
    if draw.random() < 0.5:
        hosts[0]["cpu_load"] = 0.9
    policy = {
        "base": "talk",
        "dead_after_s": _around_of(draw, 60),
        "settle_loops": draw.choice([0, 1, 2, 3]),
        "stagger_s": draw.choice([0, 0.5, 2, 5]),
        "stagger_total_s": draw.choice([0, 5, 20, 40]),
        "lease_claim_s": draw.choice([0, 1, 10, 20, 30]),
        "lease_settle_s": draw.choice([5, 10, 20]),
        "bad_health_s": _around_of(draw, 300),
        "paused_limit_s": _around_of(draw, 60),
        "stop_timeout_s": _around_of(draw, 300),
        "migration_hold_s": _around_of(draw, 30),
        "watchdog_s": draw.choice([45, 60, 60, 90]),
        "start_timeout_s": draw.choice([600, 600, 900]),
    }
    world = {
        "loop": loop_s,
        "jitter": draw.choice([0, 0.1, 1, loop_s / 2, loop_s]),
        "storage_latency": draw.choice([0, 0.01, 0.01, 0.5, 1, 2, 3, 4, 7, 11]),
        "io_timeout": io_timeout_s,
        "vm_start": draw.choice([0.5, 5, 5, 20]),
        "vm_boot": draw.choice([5, 55, 55, 200]),
        "vm_shutdown": draw.choice([1, 20, 100]),
        "migration": draw.choice([1, 15, 60]),
        "cold": name == "cold start",
    }
    faults = [{"at": _FAULT_S, **fault} for fault in _FAULTS[name][0]]
    engine = {} if name == "cold start" else {"engine": {"running_on": 1}}
    return {
        "name": name,
        "seed": draw.randrange(1_000_000),
        "policy": policy,
        "world": world,
        "hosts": hosts,
        **engine,
        "timeline": faults,
        "until": 3000,
    }


def _around_of(draw: random.Random, usual_s: float) -> float:
    return draw.choice([usual_s, usual_s, usual_s / 2, usual_s * 1.5, usual_s + 0.7])


def _around(scenario: Scenario) -> Surroundings:
    times = scenario.world
    return Surroundings(
        jitter_s=times.jitter_s,
        storage_latency_s=times.storage_latency_s,
        vm_start_s=times.vm_start_s,
        vm_boot_s=times.vm_boot_s,
        vm_shutdown_s=times.vm_shutdown_s,
        migration_s=times.migration_s,
        hosts=len(scenario.hosts),
    )


def exceeded(scenario: Scenario) -> Iterator[str]:
    """Play the fault of a recovery; say which of its figures does not hold."""
    found = recoveries(scenario.policy, _around(scenario))
    worst = next(each for each in found if each.name == scenario.name)
    outcome = simulate(scenario)
    for failure in outcome.failures:
        yield f"{failure.expected} broken: {failure.seen}"
    yield from _compared(worst, outcome)


def _compared(worst: Recovery, outcome: Outcome) -> Iterator[str]:
    since = 0.0 if worst.name == "cold start" else _FAULT_S
    acts_s = _first(outcome, since, _FAULTS[worst.name][1])
    good = {"done": True} if worst.name == "gateway lost" else {"vm": "good"}
    figures: dict[str, tuple[Optional[float], float]] = {"acts": (acts_s, worst.acts_s)}
    if worst.name != "agent death":
        figures["good"] = (_first(outcome, since, good), worst.good_s)
    for name, (seen_s, limit_s) in figures.items():
        if seen_s is None:
            yield f"{worst.name} {name}: never; timing says {limit_s:g} s"
        elif seen_s > limit_s + _ROUNDING_S:
            yield f"{worst.name} {name}: {seen_s:.3f} s, timing says {limit_s:.3f} s"
    downtime_s = float(outcome.totals["downtime"])
    if downtime_s > worst.downtime_s + _ROUNDING_S:
        yield f"{worst.name} downtime: {downtime_s:.3f} s, timing says {worst.downtime_s:.3f} s"


def _first(outcome: Outcome, since: float, details: Spec) -> Optional[float]:
    """Return how long after the fault the first event with these details was; None: never."""
    for event in outcome.events:
        if event.t >= since and details.items() <= event.details.items():
            return event.t - since
    return None
