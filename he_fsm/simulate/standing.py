"""A simulated cluster after some loops: what each host remembers and sees, to ask `step` about."""

from __future__ import annotations

import attrs

from he_fsm.scenario.model import Scenario
from he_fsm.score import Score
from he_fsm.simulate.facts import facts_of
from he_fsm.simulate.run import Run
from he_fsm.tick import rate_host, snapshot_of
from he_fsm.why.outlook import Case


@attrs.frozen(kw_only=True)
class Standing:
    """One host: what it decides from, and its score with its parts."""

    name: str
    case: Case
    score: Score


def standing(scenario: Scenario) -> dict[int, Standing]:
    """Play a scenario to its end, and return the hosts whose agents run, by their ids."""
    run = Run(scenario, scenario.seed, skips_idle_time=False)
    run.play()
    world, found = run.world, {}
    for host in world.hosts.values():
        agent = host.agent
        if agent is None or agent.is_frozen or not host.runs:
            continue
        facts = facts_of(world, host, agent, host.clock.monotonic(world.now))
        board = run.skipper.read(host, None) if host.sees_storage else None
        snapshot = snapshot_of(facts, agent.own, board, host.identity)
        found[host.host_id] = Standing(
            name=host.name,
            case=Case(memory=agent.memory, snapshot=snapshot, policy=host.policy),
            score=rate_host(agent.memory, facts, host.identity, host.policy),
        )
    return found
