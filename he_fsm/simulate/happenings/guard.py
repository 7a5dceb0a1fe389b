"""
An agent's guard, which ends a VM whose lease nobody keeps, and the watchdog's last moment.

A real guard is `he_fsm.runtime.leases.sanlock.watching.guard`. Measured on the real daemon:
docs/sanlock.md.
"""

from __future__ import annotations

from he_fsm.simulate.happenings import hypervisor
from he_fsm.simulate.host import FROZEN, SimHost
from he_fsm.simulate.world import World

# At this share of the watchdog's time after 8 x io_timeout the agent's guard ends a VM, and the
# watchdog resets the machine: before the end of it, when others may take the lease.
LAST_MOMENT = 5 / 6


def last_moment(world: World, host: SimHost, renewed_at: float) -> float:
    """Return when a host's watchdog fires that was last told of a renewal at *renewed_at*."""
    counted_s = host.policy.lease_kill_s + host.policy.watchdog_s * LAST_MOMENT
    return renewed_at + counted_s + host.clock.slept_s(renewed_at, world.now)


def look_after_vm(world: World, host: SimHost) -> None:
    """End the VM here, if an agent runs that finds nobody to keep its lease."""
    agent, vm = host.agent, world.engine.on(host)
    if vm is None or agent is None or agent.is_frozen or not host.runs:
        return
    if not vm.is_kept:
        why = "the sanlock daemon behind its lease has ended, the agent killed it"
        hypervisor.end(world, vm, why)
    elif host.sanlock == FROZEN:
        # Of a daemon that does not answer an agent knows what it was told, or its own beginning.
        known_at = max(host.member.renewed_at, agent.began_at)
        ends_at = last_moment(world, host, known_at)
        if world.now >= ends_at:
            hypervisor.end(world, vm, "its lease was not renewed, the agent killed it")
        else:
            world.at_awake(host, ends_at, lambda: look_after_vm(world, host))
