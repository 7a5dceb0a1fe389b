"""A simulated host's renewals: how they end, go on or begin anew, and what becomes of its VM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from he_fsm.simulate.host import RUNS, SimHost

if TYPE_CHECKING:
    from he_fsm.simulate.lockspace import Member
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
    killed_at = member.renewed_at + world.policy.lease_kill_s / host.clock.rate
    world.at(max(world.now, killed_at), lambda: _lost(world, host, lapse))


def lapse_lease(world: World, host: SimHost) -> None:
    """Let the leases of a host run out."""
    member = host.member
    world.lockspace.lapse(member, world.now)

    # Others see its lease fail, and then that its time is up.
    overdue_at = world.lockspace.overdue_at(member)
    world.at(
        max(world.now, overdue_at), lambda: _shows(world, member, is_over=False), is_local=True
    )
    tell_when_over(world, member)


def tell_when_over(world: World, member: Member) -> None:
    """Let those look who can see that a member's time is up: by a fast clock it is sooner."""
    for rate in sorted({1.0, *(host.clock.rate for host in world.hosts.values())}):
        over_at = member.renewed_at + world.policy.lease_expiry_s / rate
        world.at(
            max(world.now, over_at), lambda: _shows(world, member, is_over=True), is_local=True
        )


def _shows(world: World, member: Member, *, is_over: bool) -> None:
    world.mark_truth()
    if world.lockspace.owner is member or (is_over and world.is_believed(member.host_id)):
        world.disturb()


def _lost(world: World, host: SimHost, lapse: int) -> None:
    """sanlock's recovery: what holds a lease of this host is killed."""
    # A daemon that stands still does nothing; when it wakes up, `resume` knows what.
    stands_still = not host.runs or host.sanlock != RUNS
    if host.lapse != lapse or host.member.renews or stands_still:
        return
    host.member.is_joined = False
    vm = world.engine.on(host)
    if vm is not None:
        world.engine.end(vm, "its lease could not be renewed, sanlock killed it")
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

    world.at(world.now + 2 * world.policy.io_timeout_s + 1.0, watched)


def join(world: World, host: SimHost) -> None:
    """Let a host try to take its host id."""
    if world.lockspace.join(host.member, world.now):
        host.owes_release = False
        world.mark_truth()
        world.wake(host)


def resume(world: World, host: SimHost) -> None:
    """A daemon that stood still goes on: it renews, or finds that it is too late for that."""
    member = host.member
    expired = world.now >= member.renewed_at + world.policy.lease_kill_s / host.clock.rate
    if member.is_joined and (expired or not host.storage_answers):
        lapse = host.lapse
        killed_at = (
            world.now + _THAW_KILL_S
            if expired
            else member.renewed_at + (world.policy.lease_kill_s / host.clock.rate)
        )
        world.at(killed_at, lambda: _lost(world, host, lapse))
        if host.storage_answers:
            world.at(killed_at, lambda: join_later(world, host))
    elif host.storage_answers:
        begin(world, host)
