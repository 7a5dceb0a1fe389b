"""Running scenarios, and what came out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from he_fsm.report.outcome import HostView, Outcome
from he_fsm.scenario.judge import Failure
from he_fsm.scenario.model import Scenario
from he_fsm.simulate.world import World

Trace = Callable[[dict[str, object]], None]


def simulate(
    scenario: Scenario,
    *,
    seed: Optional[int] = None,
    trace: Optional[Trace] = None,
    skips_idle_time: bool = True,
) -> Outcome:
    """
    Run one scenario in memory.

    Args:
        seed: other loop and lease-renewal phases; the scenario's own where not given.
        trace: called with every look of every agent, as a plain object.
        skips_idle_time: False steps through quiet hours too; the events are the same.
    """
    world = World(
        scenario,
        scenario.seed if seed is None else seed,
        skips_idle_time=skips_idle_time and trace is None,
    )
    world.trace = trace
    start = _views(world)
    world.run()
    verdict = world.judge.finish(scenario.until)
    rules = tuple(
        Failure(
            place=scenario.place,
            expected=f"rule {broken.rule}",
            seen=broken.seen,
            at=broken.at,
        )
        for broken in world.rules.broken.values()
    )
    vm = world.engine.main
    return Outcome(
        scenario=scenario,
        seed=world.seed,
        failures=rules + verdict.failures,
        totals=verdict.totals,
        events=tuple(world.events),
        changes=tuple(world.truth.changes),
        engine_on=None if vm is None else vm.host.name,
        engine="down" if vm is None else vm.word,
        versions=max(host.identity.version for host in world.hosts.values()),
        start=start,
        end=_views(world),
    )


def simulate_all(scenarios: Iterable[Scenario], **options: Any) -> tuple[Outcome, ...]:
    """Run several scenarios, one after the other."""
    return tuple(simulate(scenario, **options) for scenario in scenarios)


def _views(world: World) -> tuple[HostView, ...]:
    views = []
    for host in world.hosts.values():
        agent = host.agent
        block = world.storage.latest(host.host_id)
        views.append(
            HostView(
                name=host.name,
                host_id=host.host_id,
                hostname=host.identity.hostname,
                state=None if agent is None else agent.memory.state.value,
                score=host.written_score,
                writes=agent is not None and host.runs and not agent.is_frozen,
                block=block,
            )
        )
    return tuple(views)
