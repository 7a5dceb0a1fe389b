"""The worst cases of `he_fsm.timing`, confirmed by the simulator over many phases."""

from __future__ import annotations

import pytest

from he_fsm import parse_scenarios, simulate
from he_fsm.policy import TALK, Policy
from he_fsm.simulate import Outcome
from he_fsm.timing import Recovery, Surroundings, inequalities, recoveries

FAULT_S = 300.0
SEEDS = 60
# Host 1 is a little worse than the others (for its load), so that another one has to act.
WORSE = "{id: 1, cpu_load: 0.9}, {id: 2}, {id: 3}"
EQUAL = "{id: 1}, {id: 2}, {id: 3}"
POLICIES = {
    "talk": ("policy: talk", ""),
    "short": ("policy: talk", "world: {io_timeout: 2s, loop: 5s, jitter: 500ms}"),
}


def _around(world: str) -> tuple[Policy, Surroundings]:
    text = f"scenarios: [{{name: x, hosts: 3, {world + ', ' if world else ''}until: 1s}}]"
    scenario = parse_scenarios(text, "x")[0]
    times = scenario.world
    return scenario.policy, Surroundings(
        jitter_s=times.jitter_s,
        storage_latency_s=times.storage_latency_s,
        vm_start_s=times.vm_start_s,
        vm_boot_s=times.vm_boot_s,
        vm_shutdown_s=times.vm_shutdown_s,
        migration_s=times.migration_s,
        hosts=3,
    )


def _worst(name: str, world: str) -> Recovery:
    policy, around = _around(world)
    return next(each for each in recoveries(policy, around) if each.name == name)


def _runs(hosts: str, timeline: str, world: str) -> list[Outcome]:
    text = f"""
scenarios:
  - name: x
    {world}
    hosts: [{hosts}]
    engine: {{running_on: 1}}
    timeline: [{timeline}]
    until: 25m
"""
    scenario = parse_scenarios(text, "x")[0]
    return [simulate(scenario, seed=seed) for seed in range(1, SEEDS + 1)]


def _first(outcome: Outcome, **details: object) -> float:
    """Return how long after the fault the first event with these details was."""
    for event in outcome.events:
        if event.t >= FAULT_S and details.items() <= event.details.items():
            return event.t - FAULT_S
    msg = f"no event with {details}"
    raise AssertionError(msg)


def _confirm(found: list[float], worst: float, slack_s: float) -> None:
    """No run is slower than the figure, which is no more than *slack_s* above the slowest."""
    assert max(found) <= worst + 0.05
    assert max(found) >= worst - slack_s


RESTARTS = {
    "host crash": (EQUAL, "{at: 300s, host: 1, power: off}"),
    "storage cut": (EQUAL, "{at: 300s, host: 1, storage: cut}"),
    "VM crash": (WORSE, "{at: 300s, engine: kill}"),
    "guest panic": (WORSE, "{at: 300s, engine: panic}"),
    "VM paused": (WORSE, "{at: 300s, engine: pause}"),
    "hung engine": (WORSE, "{at: 300s, engine: hang}"),
    "agent and VM death": (
        EQUAL,
        "{at: 300s, host: 1, agent: kill}, {at: 300s, engine: kill}",
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("world", [text for _, text in POLICIES.values()], ids=list(POLICIES))
@pytest.mark.parametrize("name", list(RESTARTS))
def test_a_restart_takes_no_longer_than_its_worst_case(name: str, world: str) -> None:
    hosts, timeline = RESTARTS[name]
    worst = _worst(name, world)
    runs = _runs(hosts, timeline, world)
    # Seeds need not meet the worst phase of every host at once; nor is the last turn always due.
    slack_s = 12.0
    _confirm([_first(run, vm="starting") for run in runs], worst.acts_s, slack_s)
    _confirm([_first(run, vm="good") for run in runs], worst.good_s, slack_s)
    assert max(float(run.totals["downtime"]) for run in runs) <= worst.downtime_s + 0.05


@pytest.mark.parametrize("world", [text for _, text in POLICIES.values()], ids=list(POLICIES))
def test_a_lost_gateway_moves_the_engine_within_its_worst_case(world: str) -> None:
    worst = _worst("gateway lost", world)
    runs = _runs(EQUAL, "{at: 300s, host: 1, set: {gateway: 0}}", world)
    _confirm([_first(run, to="EngineMigratingAway") for run in runs], worst.acts_s, 2.0)
    _confirm([_first(run, done=True) for run in runs], worst.good_s, 2.0)
    assert {run.totals["downtime"] for run in runs} == {0}


PROGRAM = "world: {live_migration: no, vm_start: 1s, vm_boot: 4s, vm_shutdown: 5s}"
BY_RESTART = "policy: {base: talk, move_by_restart: yes}"


@pytest.mark.once
def test_a_program_moves_by_a_restart_within_its_worst_case() -> None:
    worst = _worst("gateway lost", f"{BY_RESTART}, {PROGRAM}")
    assert "move_by_restart" in worst.parts
    timeline = "{at: 300s, host: 1, set: {gateway: 0}}"
    runs = _runs(EQUAL, timeline, f"{BY_RESTART}\n    {PROGRAM}")
    assert {run.totals["migrations"] for run in runs} == {0}
    _confirm([_first(run, to="EngineStopping") for run in runs], worst.acts_s, 2.0)
    _confirm([_first(run, vm="good") for run in runs], worst.good_s, 12.0)
    assert max(float(run.totals["downtime"]) for run in runs) <= worst.downtime_s + 0.05


def test_a_program_that_the_policy_does_not_restart_stays() -> None:
    worst = _worst("gateway lost", PROGRAM)
    assert (worst.acts_s, worst.good_s, worst.downtime_s) == (0.0, 0.0, 0.0)
    assert worst.parts.startswith("no move")
    [run, *_] = _runs(EQUAL, "{at: 300s, host: 1, set: {gateway: 0}}", PROGRAM)
    assert (run.totals["migrations"], run.totals["shutdowns"]) == (0, 0)


@pytest.mark.parametrize("world", [text for _, text in POLICIES.values()], ids=list(POLICIES))
def test_a_dead_agent_is_reported_silent_within_the_worst_case_and_nothing_else_happens(
    world: str,
) -> None:
    worst = _worst("agent death", world)
    runs = _runs(EQUAL, "{at: 300s, host: 1, agent: kill}", world)
    _confirm([_first(run, word="silent", slot=1) for run in runs], worst.acts_s, 12.0)
    assert {run.totals["downtime"] for run in runs} == {0}
    assert {run.totals["starts"] for run in runs} == {0}


@pytest.mark.parametrize(
    "world", ["world: {cold: true}", "world: {cold: true, loop: 5s, io_timeout: 2s}"]
)
def test_a_cold_start_takes_no_longer_than_its_worst_case(world: str) -> None:
    worst = _worst("cold start", world)
    text = f"scenarios: [{{name: x, {world}, hosts: 3, until: 5m}}]"
    scenario = parse_scenarios(text, "x")[0]
    starts = []
    for seed in range(1, SEEDS + 1):
        events = simulate(scenario, seed=seed).events
        starts.append(next(event.t for event in events if event.details.get("vm") == "starting"))
    _confirm(starts, worst.acts_s, 2.0)


def test_the_policies_times_fit_each_other() -> None:
    assert all(rule.holds for rule in inequalities(TALK, Surroundings()))


@pytest.mark.parametrize(
    ("around", "rule"),
    [
        (Surroundings(jitter_s=55), "heartbeat-within-liveness"),
        (Surroundings(jitter_s=25), "hold-outlasts-a-look"),
        (Surroundings(vm_boot_s=590), "boot-within-start-timeout"),
        (Surroundings(vm_shutdown_s=300), "shutdown-within-stop-timeout"),
        (Surroundings(migration_s=300), "migration-within-its-timeout"),
    ],
)
def test_times_that_do_not_fit_are_named(around: Surroundings, rule: str) -> None:
    failing = {each.name for each in inequalities(TALK, around) if not each.holds}
    assert rule in failing


SHUTDOWNS = {
    "migrate": "",
    "stop": "policy: {base: talk, on_shutdown: stop}",
    "freeze": "policy: {base: talk, on_shutdown: freeze}",
}


@pytest.mark.parametrize("how", list(SHUTDOWNS))
def test_an_orderly_reboot_costs_no_more_than_its_worst_case(how: str) -> None:
    world = SHUTDOWNS[how]
    worst = _worst("orderly reboot", world)
    runs = _runs(WORSE, "{at: 300s, host: 1, power: reboot}", world)
    down = [float(run.totals["downtime"]) for run in runs]
    assert max(down) <= worst.downtime_s + 0.05
    if how == "migrate":
        assert worst.downtime_s == 0
        _confirm([_first(run, to="EngineMigratingAway") for run in runs], worst.acts_s, 0.1)
    else:
        assert max(down) >= worst.downtime_s - 12.0


def test_a_maintenance_that_is_over_is_over_for_all_within_its_worst_case() -> None:
    worst = _worst("maintenance over", "")
    runs = _runs(EQUAL, "{at: 200s, maintenance: global, for: 100s}", "")
    for run in runs:
        ended = [event.t for event in run.events if event.details.get("edge") == "maintenance_over"]
        assert len(ended) == len(run.start)
        # The end is a whole second of the wall clock.
        assert max(ended) - 300.0 <= worst.acts_s + 1.0
