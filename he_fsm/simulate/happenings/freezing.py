"""
A host that is frozen, and thaws.

Nothing on it makes progress: its agent does not look, its VM stands still, nobody renews its
leases. Its clocks go on, so all of it finds itself late when it thaws. Where it has a watchdog,
that resets it in time. (A host that is suspended, with its clocks, is `suspension`'s.)
"""

from __future__ import annotations

from he_fsm.simulate.happenings import guard, power, renewals
from he_fsm.simulate.host import RUNS, SimHost
from he_fsm.simulate.world import World


def freeze(world: World, host: SimHost) -> None:
    """Stop everything on a host; its watchdog, if it has one, resets it in time."""
    if not host.runs:
        return
    vm = world.engine.on(host)
    renewed_at = host.member.last_renewal(world.now)
    host.is_frozen = True
    if host.member.renews:
        renewals.end(world, host)
    world.mark_truth()
    if vm is not None:
        world.note(host, "vm", "the VM stands still with its host", vm="paused")
    if host.config.watchdog:
        # Without a lockspace there is no lease that its lease manager would wait for.
        if host.member.is_joined:
            fires_at = guard.last_moment(world, host, renewed_at)
        else:
            fires_at = world.now + host.policy.watchdog_s * guard.LAST_MOMENT
        boot = host.boot
        world.at_awake(host, fires_at, lambda: _watchdog_fires(world, host, boot))


def _watchdog_fires(world: World, host: SimHost, boot: int) -> None:
    if host.boot == boot and host.is_frozen and not host.member.renews:
        power.watchdog_resets(world, host)


def thaw(world: World, host: SimHost) -> None:
    """Thaw a frozen host: everything on it continues."""
    if not host.is_frozen or host.clock.is_suspended:
        return
    host.is_frozen = False
    world.mark_truth()
    deferred, host.deferred = host.deferred, []
    if host.sanlock == RUNS:
        renewals.resume(world, host)
    for action in deferred:
        world.at(world.now, action)
    guard.look_after_vm(world, host)
    world.wake(host)
