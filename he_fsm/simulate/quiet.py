"""
Skipping idle time: nothing is stepped while nothing can change.

A cluster is idle when every agent that runs has looked a few times and learnt nothing but that
the others' records grow, and nothing but agents' loops is due. What happens until the next
event is then known: heartbeats. The skip ends some loops before that event, so that every
ledger is made by real looks again when it matters.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

import attrs

from he_fsm.liveness import NEVER, grow_no_older
from he_fsm.memory import Memory

if TYPE_CHECKING:
    from he_fsm.simulate.host import Agent, SimHost
    from he_fsm.simulate.world import World

_CALM_TICKS = 3
# After the skip: enough for every host to write, and every other to see that it grew.
_LOOPS_AFTER = 3
# A damaged storage may show a copy of up to eight writes ago: let those be written too.
_LOOPS_FOR_COPIES = 10


def skip(world: World, ticks: list[tuple[float, int, SimHost, Agent]], next_event: float) -> None:
    """Skip to shortly before *next_event*, or before an agent's answer may change."""
    times = world.times
    loops_after = _LOOPS_FOR_COPIES if world.damages_slots else _LOOPS_AFTER
    loop_s = times.loop_s + times.jitter_s
    margin = loops_after * loop_s + times.storage_latency_s
    if next_event - world.now < margin + 2 * loop_s:
        return
    target = next_event
    # What was written or taken meanwhile is seen a latency later, however short the loops are.
    calm_ticks = _CALM_TICKS + math.ceil(times.storage_latency_s / times.loop_s)
    agents = []
    for host in world.hosts.values():
        agent = host.agent
        if agent is None:
            continue
        if agent.calm_ticks < calm_ticks or not _is_calm(host, agent):
            return
        agents.append((host, agent))
        if agent.idle_until != NEVER:
            target = min(target, host.clock.true_time(agent.idle_until))
    check = world.judge.next_check(world.now)
    if check is not None:
        target = min(target, check)
    target -= margin
    if target - world.now < 2 * loop_s or world.storage.is_masked or not _see_each_other(agents):
        return
    shift = target - world.now
    ticks.clear()
    for host, agent in agents:
        own_shift = shift * host.clock.rate
        agent.memory = _shifted(agent, own_shift)
        agent.loops.skip_to(host.clock.monotonic(target))
        agent.asked_for = agent.loops.next
        agent.calm_ticks = 0
        world.look_at(host, agent, host.clock.true_time(agent.loops.next))
    heapq.heapify(ticks)


def _is_calm(host: SimHost, agent: Agent) -> bool:
    return (
        agent.is_settled
        and not agent.is_frozen
        and host.runs
        and host.storage == "ok"
        and host.sees_leases
        and host.member.is_joined
    )


def _see_each_other(agents: list[tuple[SimHost, Agent]]) -> bool:
    """Whether everybody takes exactly those for alive that go on writing."""
    writers = frozenset(host.host_id for host, _ in agents)
    return all(agent.alive == writers for _, agent in agents)


def _shifted(agent: Agent, seconds: float) -> Memory:
    """Give the agent's memory as if the others' heartbeats had gone on."""
    memory = agent.memory
    living = {host_id: seen for host_id, seen in memory.sightings.items() if host_id in agent.alive}
    sightings = {**memory.sightings, **grow_no_older(living, seconds)}
    return attrs.evolve(memory, sightings=sightings)
