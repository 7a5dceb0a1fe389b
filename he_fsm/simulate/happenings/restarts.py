"""
What systemd does for a daemon that has died: by the shipped units it is started again.

The units have `Restart=on-failure` and no start limit, so a daemon that dies again and again is
started again each time. What an operator kills for good, or stops, stays dead.
"""

from __future__ import annotations

from typing import Callable

from he_fsm.simulate.happenings import agent_process
from he_fsm.simulate.host import AGENT, BROKER, KILLED, RUNS, SimHost
from he_fsm.simulate.world import World


def crash_agent(world: World, host: SimHost) -> None:
    """Kill the agent; systemd starts it again."""
    if host.agent is None or not host.runs:
        return
    agent_process.kill(world, host)

    def start() -> None:
        agent_process.start(world, host)

    _start_later(world, host, AGENT, world.times.agent_restart_s, start)


def crash_broker(world: World, host: SimHost) -> None:
    """Kill the broker; systemd starts it again."""
    if host.broker == KILLED:
        return
    host.broker = KILLED

    def start() -> None:
        host.broker = RUNS
        world.note(host, "agent", "systemd starts the broker again")
        world.wake(host)

    _start_later(world, host, BROKER, world.times.broker_restart_s, start)


def _start_later(
    world: World, host: SimHost, name: str, delay_s: float, start: Callable[[], None]
) -> None:
    starts_at = host.restarts_at[name] = world.now + delay_s

    def act() -> None:
        if host.restarts_at.get(name) != starts_at:
            # Somebody was faster, or does not want it to run.
            return
        if host.is_frozen:
            host.deferred.append(act)
            return
        del host.restarts_at[name]
        start()

    world.at_awake(host, starts_at, act)
