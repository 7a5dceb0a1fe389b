"""
An orderly shutdown or reboot of a host, as systemd does it.

The host waits for its agent, which holds a delay inhibitor of logind, until that lets go or
`world.shutdown_delay` has passed. Then all that runs on the host ends as by SIGTERM: the agent
writes its last record, a VM that is still there ends and its lease is released. A host without an
agent, or whose agent dies meanwhile, waits for nobody.
"""

from __future__ import annotations

from he_fsm.simulate.happenings import agent_process, hypervisor, power
from he_fsm.simulate.host import SimHost
from he_fsm.simulate.world import World


def begin(world: World, host: SimHost, *, reboots: bool) -> None:
    """Begin the shutdown of a host that runs; one that is under way goes on."""
    if not host.runs or host.leaves_at is not None:
        return
    leaves_at = host.leaves_at = world.now + world.times.shutdown_delay_s

    def goes_down() -> None:
        if host.leaves_at == leaves_at:
            _go_down(world, host, reboots=reboots)

    host.goes_down = goes_down
    if host.agent is None:
        goes_down()
        return
    world.at_awake(host, leaves_at, goes_down)
    world.wake(host)


def call_off(world: World, host: SimHost) -> None:
    """Call a shutdown off that is under way: systemd refuses it, say."""
    if host.leaves_at is not None:
        host.leaves_at = host.goes_down = None
        world.wake(host)


def let_go(world: World, host: SimHost) -> None:
    """The agent stands in the way no longer: the host goes down now."""
    if host.goes_down is not None:
        world.note(host, "agent", "the agent lets the host go down")
        host.goes_down()


def _go_down(world: World, host: SimHost, *, reboots: bool) -> None:
    host.leaves_at = host.goes_down = None
    boots_again, host.boots_again = reboots or host.boots_again, False
    agent = host.agent
    if agent is not None and not agent.is_frozen:
        agent_process.stop(world, host, agent)
    vm = world.engine.on(host)
    if vm is not None:
        hypervisor.end(world, vm, "its host shuts down")
    power.off(world, host)
    world.note(host, "fault", "the host has gone down in order")
    if boots_again:
        power.on(world, host)
