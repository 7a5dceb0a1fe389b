"""
The daemons beside a simulated agent: its host's broker, and its host's sanlock.

Without its broker an agent sees neither whiteboard nor leases, and its readings grow old; sanlock
goes on renewing. Without sanlock nobody renews the host's leases, and nobody ends its VM in time
but the agent's guard (`he_fsm.runtime.leases.sanlock.watching.guard`) and the watchdog.
Measured on the real daemon: docs/sanlock.md.
"""

from __future__ import annotations

from he_fsm.simulate.happenings import guard, power, renewals, restarts
from he_fsm.simulate.host import BROKER, FROZEN, KILLED, RUNS, SimHost
from he_fsm.simulate.world import World

# The broker.


def broker(world: World, host: SimHost, word: str) -> None:
    """Do one of the words of the verb `broker`."""
    if not host.runs:
        return
    if word == "crash":
        restarts.crash_broker(world, host)
        return
    if word in ("kill", "start"):
        host.restarts_at.pop(BROKER, None)
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
        host.doomed_until = guard.last_moment(world, host, renewed_at)
        world.at_awake(host, host.doomed_until, lambda: _reset(world, host, boot))
    guard.look_after_vm(world, host)
    _notify_agent(world, host)


def _start(world: World, host: SimHost) -> None:
    host.sanlock = RUNS
    host.lapse += 1
    guard.look_after_vm(world, host)
    _notify_agent(world, host)


def _freeze(world: World, host: SimHost) -> None:
    renewed_at = host.member.last_renewal(world.now)
    host.sanlock = FROZEN
    host.daemon += 1
    renewals.end(world, host)
    _notify_agent(world, host)
    if not host.member.is_joined:
        return
    daemon, boot = host.daemon, host.boot

    def still_frozen() -> bool:
        return (host.boot, host.daemon, host.sanlock) == (boot, daemon, FROZEN)

    def fires() -> None:
        if still_frozen():
            guard.look_after_vm(world, host)
            if host.config.watchdog:
                _reset(world, host, boot)

    world.at_awake(host, guard.last_moment(world, host, renewed_at), fires)


def _reset(world: World, host: SimHost, boot: int) -> None:
    if host.boot == boot:
        power.watchdog_resets(world, host)


def _notify_agent(world: World, host: SimHost) -> None:
    """Notify the agent that the lease manager has stopped answering, or answers again."""

    def hear() -> None:
        if host.sees_storage:
            world.wake(host)

    world.at(world.now + world.policy.lease_news_s, hear)
