"""An agent's process: how it starts, what it leaves on its host's disk, how it ends."""

from __future__ import annotations

from he_fsm.memory import Memory
from he_fsm.simulate.facts import facts_of
from he_fsm.simulate.happenings import guard
from he_fsm.simulate.host import AGENT, Agent, SimHost
from he_fsm.simulate.publish import publish_stopped
from he_fsm.simulate.schedule import LoopTimes
from he_fsm.simulate.world import World


def start(world: World, host: SimHost, *, after_boot: bool = False) -> None:
    """Start a host's agent; failed starts and the like survived on its disk."""
    host.restarts_at.pop(AGENT, None)
    host.restarts += 1
    now = host.clock.monotonic(world.now)
    memory = _memory_from_disk(host, world.now, after_boot=after_boot)
    seed = f"{world.seed}/{host.name}/{host.restarts}"
    loops = LoopTimes(now, world.times.loop_s, world.times.jitter_s, seed)
    host.agent = Agent(memory, loops, alive=frozenset((host.host_id,)), began_at=world.now)
    world.truth.show(world.now, "state", host.name, memory.state.value)
    world.note(host, "agent", "the agent starts")
    guard.look_after_vm(world, host)
    world.wake(host)


def _memory_from_disk(host: SimHost, time: float, *, after_boot: bool) -> Memory:
    """Return what an agent knows when it starts: what its predecessor left on disk."""
    now = host.clock.monotonic(time)
    if after_boot:
        off_s = host.clock.wall(time) - host.saved_wall
        return host.saved.after_boot(now, host.saved_at, off_s)
    return host.saved.after_restart(now)


def save(world: World, host: SimHost, memory: Memory) -> None:
    """Write to a host's disk what its next agent is to know."""
    host.saved = memory
    host.saved_at = host.clock.monotonic(world.now)
    host.saved_wall = host.clock.wall(world.now)


def kill(world: World, host: SimHost) -> None:
    """End the agent's process for good; its VM runs on."""
    host.restarts_at.pop(AGENT, None)
    world.idle.end(host)
    if host.agent is not None:
        save(world, host, host.agent.memory)
        host.agent = None
        world.truth.show(world.now, "state", host.name, None)
        key = ("state", host.name)
        if key in world.judge.wanted:
            world.judge.observe(world.now, key, None)
    if host.goes_down is not None:
        # The host waited for nobody else.
        world.at(world.now, host.goes_down)


def stop(world: World, host: SimHost, agent: Agent) -> None:
    """Stop the agent cleanly: set the stopped flag, give the host id back if no VM needs it."""
    world.idle.end(host)
    if host.can_write:
        facts = facts_of(world, host, agent, host.clock.monotonic(world.now))
        publish_stopped(world, host, agent, facts)
    world.note(host, "agent", "the agent has stopped cleanly")
    kill(world, host)
    can_leave = host.sees_leases and host.holds_id
    if can_leave and world.engine.on(host) is None:
        world.lockspace.leave(host.member, world.now)
        world.mark_truth()
