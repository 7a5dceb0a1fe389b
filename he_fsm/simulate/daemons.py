"""
The daemons beside a simulated agent: its host's broker, and its host's sanlock.

Without its broker an agent sees neither whiteboard nor leases, and its readings grow old; sanlock
goes on renewing. Without sanlock nobody renews the host's leases, and nobody ends its VM in time
but the agent's guard (`he_fsm.runtime.leases.sanlock_guard`) and the watchdog.
Measured on the real daemon: docs/sanlock.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from he_fsm.simulate import renewals
from he_fsm.simulate.host import FROZEN, KILLED, RUNS, SimHost

if TYPE_CHECKING:
    from he_fsm.simulate.world import World

# At this share of the watchdog's time after 8 x io_timeout the agent's guard ends a VM, and the
# watchdog resets the machine: before the end of it, when others may take the lease.
LAST_MOMENT = 5 / 6


# The broker.


def broker(world: World, host: SimHost, word: str) -> None:
    """Do one of the words of the verb `broker`."""
    if not host.runs:
        return
    if word == "kill":
        host.broker = KILLED
    elif word == "freeze" and host.broker == RUNS:
        host.broker = FROZEN
    elif host.broker == {"start": KILLED, "thaw": FROZEN}.get(word):
        host.broker = RUNS
        world.wake(host)


# sanlock.


def sanlock(world: World, host: SimHost, word: str) -> None:
    """Do one of the words of the verb `sanlock`."""
    if not host.runs:
        return
    if word == "kill" and host.sanlock != KILLED:
        _kill(world, host)
    elif word == "start" and host.sanlock == KILLED:
        _start(world, host)
    elif word == "freeze" and host.sanlock == RUNS:
        _freeze(world, host)
    elif word == "thaw" and host.sanlock == FROZEN:
        host.sanlock = RUNS
        renewals.resume(world, host)
        world.wake(host)


def _kill(world: World, host: SimHost) -> None:
    member = host.member
    was_joined = member.is_joined
    renewed_at = member.last_renewal(world.now)
    renewals.end(world, host)
    host.sanlock = KILLED
    host.daemon += 1
    member.is_joined = False
    vm = world.engine.on(host)
    if vm is not None:
        vm.is_kept = False
    if host.config.watchdog and was_joined:
        # A daemon that comes back does not take this back: wdmd goes on counting for the one that
        # has gone without a word.
        boot = host.boot
        world.at(_last_moment(world, renewed_at), lambda: _reset(world, host, boot))
    look_after_vm(world, host)
    world.hear_of_the_lease_manager(host)


def _start(world: World, host: SimHost) -> None:
    host.sanlock = RUNS
    host.lapse += 1
    look_after_vm(world, host)
    world.hear_of_the_lease_manager(host)


def _freeze(world: World, host: SimHost) -> None:
    renewed_at = host.member.last_renewal(world.now)
    host.sanlock = FROZEN
    host.daemon += 1
    renewals.end(world, host)
    world.hear_of_the_lease_manager(host)
    if not host.member.is_joined:
        return
    daemon, boot = host.daemon, host.boot

    def still_frozen() -> bool:
        return (host.boot, host.daemon, host.sanlock) == (boot, daemon, FROZEN)

    def fires() -> None:
        if still_frozen():
            look_after_vm(world, host)
            if host.config.watchdog:
                _reset(world, host, boot)

    world.at(_last_moment(world, renewed_at), fires)


def _last_moment(world: World, renewed_at: float) -> float:
    return renewed_at + world.policy.lease_kill_s + world.policy.watchdog_s * LAST_MOMENT


def _reset(world: World, host: SimHost, boot: int) -> None:
    if host.boot == boot:
        world.watchdog_resets(host)


# The agent's guard.


def look_after_vm(world: World, host: SimHost) -> None:
    """End the VM here, if an agent runs that finds nobody to keep its lease."""
    agent, vm = host.agent, world.engine.on(host)
    if vm is None or agent is None or agent.is_frozen or not host.runs:
        return
    if not vm.is_kept:
        world.engine.end(vm, "the sanlock daemon behind its lease has ended, the agent killed it")
    elif host.sanlock == FROZEN:
        # Of a daemon that does not answer an agent knows what it was told, or its own beginning.
        known_at = max(host.member.renewed_at, agent.began_at)
        ends_at = _last_moment(world, known_at)
        if world.now >= ends_at:
            world.engine.end(vm, "its lease was not renewed, the agent killed it")
        else:
            world.at(ends_at, lambda: look_after_vm(world, host))


def ask_to_join(world: World, host: SimHost) -> None:
    """Let an agent that finds its host id lost take it anew; not beside an earlier VM."""
    is_under_way = host.joining == (host.boot, host.lapse)
    # safety: a new generation frees the lease of a VM that runs here.
    if not is_under_way and world.engine.on(host) is None:
        renewals.join_later(world, host)
