"""Guards that several states share, and what they say."""

from __future__ import annotations

from typing import Final

from he_fsm.crowd import unlike_the_crowd
from he_fsm.effects import MigrateVm
from he_fsm.remembered import VmWatch
from he_fsm.snapshot import Outcome, OwnerState, VmState
from he_fsm.states.view import View
from he_fsm.words import span_text

# What is said of a VM that ended while it ran here.
VM_GONE: Final = (
    "the VM is gone: it died or shut itself down, a bad ending, or was moved; it is started "
    "again by score"
)


def is_superseded(view: View) -> bool:
    """A newer release's record is intact, and its timestamp keeps growing."""
    # With hundreds of hosts a list takes half the time of `any`.
    return True in [seen.is_newer for seen in unlike_the_crowd(view.memory.sightings).values()]


def is_superseded_with_vm(view: View) -> bool:
    """A newer release has taken over, and the VM is here: the VM is shut down first."""
    return view.vm_is_here and is_superseded(view)


def is_superseded_without_vm(view: View) -> bool:
    """A newer release has taken over, and no VM is here."""
    return view.vm is VmState.ABSENT and is_superseded(view)


def facts_are_missing(view: View) -> bool:
    """Storage, lease manager or hypervisor can't be read."""
    return view.vm is VmState.UNKNOWN or not view.can_read


def hypervisor_is_silent(view: View) -> bool:
    """The hypervisor does not answer."""
    return view.vm is VmState.UNKNOWN


def sight_is_lost(view: View) -> bool:
    """A fact can't be read, or this host was suspended, so that what it knew may be out of date."""
    return view.vm is VmState.UNKNOWN or not view.can_read or view.slept_s > 0.0


def what_is_missing(view: View) -> str:
    """Say what can't be read."""
    if view.slept_s > 0.0:
        slept = span_text(round(view.slept_s))
        return f"this host was suspended for {slept}: nothing that it knew is trusted"
    if view.vm is VmState.UNKNOWN:
        return "the hypervisor does not answer"
    if view.snapshot.whiteboard is None:
        return "the storage can't be read"
    if view.snapshot.leases is None:
        return "the lease manager does not answer"
    if view.snapshot.leases.held_by_other:
        return f"host id {view.snapshot.host_id} is held by another host"
    return "this host does not hold its host id"


def global_maintenance_is_set(view: View) -> bool:
    """Slot 0 says maintenance, or has never been readable."""
    return view.memory.global_maintenance is not False


def why_global_maintenance(view: View) -> str:
    """Say whether the flag is set, or only unreadable."""
    if view.memory.global_maintenance is None:
        problem = view.memory.global_problem
        word = problem.value if problem is not None else "never read"
        return f"slot 0 has never been readable ({word}): as in global maintenance"
    until, offset_s = view.memory.global_until, view.snapshot.wall_offset_s
    if until is None or offset_s is None:
        return "global maintenance is set"
    left_s = max(0.0, until - offset_s - view.now)
    return f"global maintenance is set; {span_text(round(left_s))} left until it ends by itself"


def host_is_taken_out(view: View) -> bool:
    """The administrator took this host out, or it is about to be shut down."""
    return view.is_taken_out


def why_taken_out(view: View) -> str:
    """Say whether the administrator took this host out, or it is about to be shut down."""
    return _TAKEN_OUT if view.snapshot.local_maintenance else _LEAVES


_TAKEN_OUT: Final = "local maintenance is set"
_LEAVES: Final = "this host is about to be shut down"


def vm_is_here(view: View) -> bool:
    """An engine VM is here: starting, up, paused, stopping or leaving."""
    return view.vm_is_here


def vm_is_gone(view: View) -> bool:
    """No engine VM is here (one that arrives by migration does not execute yet)."""
    return view.vm is VmState.ABSENT or view.vm is VmState.ARRIVING


def why_gone(view: View) -> str:
    """Say why the VM is gone, as far as that is known."""
    reported = view.result(Outcome.GUEST_DIED)
    if reported is not None:
        return f"{reported}: a bad ending; the VM is started again by score"
    return VM_GONE


def health_is_good(view: View) -> bool:
    """The VM is up and its health page is good."""
    return view.vm is VmState.UP and _watched_good(view)


def _watched_good(view: View) -> bool:
    watch = view.memory.vm
    if watch is None or not watch.was_good:
        return False
    return watch.bad_since is None and not watch.bad_before_s


def vm_is_leaving(view: View) -> bool:
    """A live migration away from here is under way, whoever ordered it."""
    return view.vm is VmState.LEAVING


def arrival_is_lost(view: View) -> bool:
    """
    A VM is to arrive here by migration, and does not come.

    Either its source is dead, so that nobody has the engine and the lease can be acquired, or the
    migration takes longer than any source lets it take.
    """
    since = view.memory.arriving_since
    if view.vm is not VmState.ARRIVING or since is None:
        return False
    if _source_is_dead(view) and view.due(since + view.policy.gap_s):
        return True
    return view.due(since + view.policy.arrival_limit_s)


def _source_is_dead(view: View) -> bool:
    return (
        view.can_read
        and view.placement.engine_on is None
        and not view.liveness.pending
        and view.lease_can_be_taken
    )


def why_arrival_is_lost(view: View) -> str:
    """Say why an arrival is given up."""
    if _source_is_dead(view):
        return "the VM that was to arrive here does not come: its source is dead"
    since = view.memory.arriving_since
    waited_s = 0.0 if since is None else view.now - since
    return f"the VM that was to arrive here has not come within {waited_s:.0f} s"


def paused_too_long(view: View) -> bool:
    """The VM has been paused for longer than the limit."""
    watch = view.memory.vm
    return (
        watch is not None
        and watch.paused_since is not None
        and view.paused_for(view.policy.paused_limit_s)
    )


def why_paused(view: View) -> str:
    """Say for how long the VM has been paused."""
    return f"paused for {view.policy.paused_limit_s:g} s: power off, start again by score"


def starts_are_blocked(view: View) -> bool:
    """Too many starts failed here; the block has not expired."""
    return view.is_blocked


def blocked_until(view: View) -> str:
    """Say how many runs ended badly here, and for how long the score is 0."""
    failed = view.memory.failed
    left = failed.last_at + view.policy.blocked_s(failed.count) - view.now
    return f"{failed.count} failed starts or bad endings: score 0 for {span_text(round(left))}"


def moves_live(view: View) -> bool:
    """The policy moves the engine while it executes."""
    return view.policy.live_migration and not view.policy.move_by_restart


def moves_never(view: View) -> bool:
    """The engine can't move while it executes, and the policy does not stop it for a move."""
    return not view.policy.live_migration and not view.policy.move_by_restart


def can_evacuate(view: View) -> bool:
    """The engine should leave this host, another can take it, and the policy moves by migration."""
    return (
        view.must_leave
        and moves_live(view)
        and view.vm is VmState.UP
        and view.next_target() is not None
        and view.due(view.wait_after_failure())
    )


def can_restart_elsewhere(view: View) -> bool:
    """The engine should leave this host, another can take it, and the policy moves by restart."""
    return (
        view.must_leave
        and view.policy.move_by_restart
        and (view.vm is VmState.UP or view.vm is VmState.STARTING)
        and view.next_target() is not None
    )


def migrate_to_best(view: View) -> tuple[MigrateVm, ...]:
    """Order a migration to the best other host, or to the next one if that host has refused."""
    best = view.next_target()
    return () if best is None else (MigrateVm(best[0]),)


def why_evacuate(view: View) -> str:
    """Say why the engine leaves this host, and where it goes."""
    best = view.next_target()
    where = "nowhere" if best is None else f"host {best[0]}, score {best[1]}"
    if view.snapshot.local_maintenance:
        return f"local maintenance: the engine moves to {where} first"
    if view.is_leaving:
        return f"{_LEAVES}: the engine moves to {where} first"
    return f"{view.leases.doom}: the engine moves to {where}"


def why_restart_elsewhere(view: View) -> str:
    """Say why the engine leaves this host, and where it is likely to be started."""
    return f"{why_evacuate(view)}; this policy stops it here and starts it there"


def what_the_drain_waits_for(view: View) -> str:
    """Say why the engine is still here although another host could take it."""
    if view.vm is VmState.UP:
        return "the next migration may be tried soon"
    return f"the VM is {view.vm.value}, and can't be migrated so"


def lease_is_elsewhere(view: View) -> bool:
    """
    A VM executes here, and its lease is known to be another host's, or lost.

    Three cases are excepted. What is known of the lease may be older than a VM that has just come.
    A VM that leaves has handed its lease over, and no longer executes here. A VM that starts may
    still be acquiring the lease of a dead owner. After a suspension the last two are no excuse:
    the VM had its lease before, and lost it. It has lost it even if nobody owns the lease now,
    since only another host can have released it.
    """
    owner = view.leases.owner
    watch = view.memory.vm
    if owner == view.snapshot.host_id or watch is None or not view.leases.joined:
        return False
    if (owner is None and not watch.has_slept) or not _may_execute(view, watch):
        return False
    if not view.due(watch.since + view.policy.lease_settle_s):
        return False
    ordered_at = watch.power_off_at
    return ordered_at is None or view.due(ordered_at + view.policy.power_off_retry_s)


def _may_execute(view: View, watch: VmWatch) -> bool:
    """Return whether the VM here may execute, now or soon, without the lease that it had."""
    if view.vm is VmState.STARTING:
        return watch.has_slept or view.leases.owner_state is OwnerState.LIVE
    if view.vm is VmState.LEAVING:
        return watch.has_slept
    return view.vm in (VmState.UP, VmState.PAUSED, VmState.STOPPING)


def why_lease_is_elsewhere(view: View) -> str:
    """Say who holds the lease."""
    if view.leases.owner is None:
        why = "the lease of the VM that runs here was lost while this host was suspended"
        return f"{why}: power off at once"
    return f"host {view.leases.owner} holds the lease of the VM that runs here: power off at once"
