"""A simulated host's renewals: how they end, go on or begin anew, and what becomes of its VM."""

from __future__ import annotations

from he_fsm.simulate.happenings import hypervisor
from he_fsm.simulate.host import RUNS, SimHost
from he_fsm.simulate.world import World

# A daemon that wakes up finds that its leases have run out, and kills their holders (measured).
_THAW_KILL_S = 0.1


def end(world: World, host: SimHost) -> None:
    """The host can no longer renew: its VM is killed in time, its leases run out."""
    member = host.member
    host.lapse += 1
    lapse = host.lapse
    if not (member.is_joined and member.renews):
        return
    lapse_lease(world, host)
    killed_at = max(world.now, _killed_at(world, host))
    world.at_awake(host, killed_at, lambda: _lost(world, host, lapse))


def _killed_at(world: World, host: SimHost) -> float:
    """Return when the host's own daemon gives up, by what has been until now."""
    renewed_at = host.member.renewed_at
    slept_s = host.clock.slept_s(renewed_at, world.now)
    return renewed_at + world.policy.lease_kill_s / host.clock.rate + slept_s


def lapse_lease(world: World, host: SimHost) -> None:
    """Expire the leases of a host."""
    member = host.member
    world.lockspace.lapse(member, world.now)
    over_at = member.renewed_at + host.policy.lease_expiry_s
    world.at(max(world.now, over_at), world.mark_truth)


def _lost(
    world: World,
    host: SimHost,
    lapse: int,
    why: str = "its lease could not be renewed, sanlock killed it",
) -> None:
    """sanlock's recovery: what holds a lease of this host is killed."""
    # A daemon that stands still does nothing; when it wakes up, `resume` knows what.
    stands_still = not host.runs or host.sanlock != RUNS
    if host.lapse != lapse or host.member.renews or stands_still:
        return
    host.member.is_joined = False
    vm = world.engine.on(host)
    if vm is not None:
        hypervisor.end(world, vm, why)
    world.wake(host)


def begin(world: World, host: SimHost) -> None:
    """The storage answers again: renewals go on, or the host joins anew."""
    host.lapse += 1
    member = host.member
    if not host.runs or host.sanlock != RUNS:
        return
    if member.is_joined and not member.renews:
        world.lockspace.resume(member, world.now)
        _pay_release(world, host)
        world.mark_truth()
        world.wake(host)
    elif not member.is_joined and not member.has_left:
        join_later(world, host)


def _pay_release(world: World, host: SimHost) -> None:
    if host.owes_release and world.lockspace.owner is host.member:
        world.lockspace.set_owner(None, world.now)
    host.owes_release = False


def join_later(world: World, host: SimHost) -> None:
    """Join after the time that a free id is watched for (sanlock: 2 x io_timeout + 1 s)."""
    joining = host.joining = host.boot, host.lapse

    def watched() -> None:
        if host.joining != joining:
            return
        host.joining = None
        is_same = (host.boot, host.lapse) == joining
        if is_same and host.runs and host.can_renew and not host.member.is_joined:
            join(world, host)

    world.at_awake(host, world.now + 2 * world.policy.io_timeout_s + 1.0, watched)


def join(world: World, host: SimHost) -> None:
    """Try to acquire a host's id."""
    if world.lockspace.join(host.member, world.now):
        host.owes_release = False
        world.mark_truth()
        world.wake(host)


def resume(world: World, host: SimHost) -> None:
    """A daemon that stood still goes on: it renews, or finds that it is too late for that."""
    member = host.member
    killed_at = _killed_at(world, host)
    expired = world.now >= killed_at
    if member.is_joined and (expired or not host.storage_answers):
        lapse = host.lapse
        if expired:
            killed_at = world.now + _THAW_KILL_S
        world.at_awake(host, killed_at, lambda: _lost(world, host, lapse))
        if host.storage_answers:
            world.at_awake(host, killed_at, lambda: join_later(world, host))
    elif host.storage_answers:
        begin(world, host)


def go_on(world: World, host: SimHost) -> None:
    """A daemon on a host that was suspended goes on: by its own clock no time has passed."""
    member = host.member
    holder = world.lockspace.holders.get(host.host_id)
    if host.sanlock != RUNS:
        return
    resume(world, host)
    if holder is not None and holder is not member and not holder.has_left:
        # It finds that with its next renewal.
        why = "its host id is another host's, sanlock killed it"
        lapse = host.lapse
        world.at_awake(host, world.now + _THAW_KILL_S, lambda: _lost(world, host, lapse, why))


def ask_to_join(world: World, host: SimHost) -> None:
    """Acquire the host id again for an agent that has lost it; not beside an earlier VM."""
    is_under_way = host.joining == (host.boot, host.lapse)
    # safety: a new generation frees the lease of a VM that runs here.
    if not is_under_way and world.engine.on(host) is None:
        join_later(world, host)
