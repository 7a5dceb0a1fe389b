"""
A host that is suspended to memory, and goes on.

Everything on it stands still, and does not notice: the clocks that agent and sanlock go by do not
count that time, and its watchdog does not either. So when it goes on, its sanlock renews its host
id as if nothing had been, if nobody else has that; and its VM goes on, although its lease may be
another host's by then. Only the boot clock tells.
"""

from __future__ import annotations

from he_fsm.simulate.happenings import guard, migrations, renewals
from he_fsm.simulate.host import SimHost
from he_fsm.simulate.world import World


def suspend(world: World, host: SimHost) -> None:
    """Suspend a host: everything on it stops, and its clocks with it."""
    if not host.runs:
        return
    world.idle.end(host)
    host.is_frozen = True
    host.clock.suspend(world.now)
    if host.member.renews:
        renewals.end(world, host)
    world.mark_truth()
    migrations.source_changed(world, host)
    if world.engine.on(host) is not None:
        world.note(host, "vm", "the VM stands still with its host", vm="paused")


def resume(world: World, host: SimHost) -> None:
    """
    Resume a suspended host.

    Its agent looks at this very moment. (A real one looks when the rest of its loop is over.)
    """
    if not host.clock.is_suspended:
        return
    host.clock.resume(world.now)
    host.is_frozen = False
    world.mark_truth()
    migrations.source_changed(world, host)
    renewals.go_on(world, host)
    deferred, host.deferred = host.deferred, []
    for action in deferred:
        world.at(world.now, action)
    guard.look_after_vm(world, host)
    world.wake(host)
