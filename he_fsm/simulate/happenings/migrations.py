"""Live migrations of the engine's VM: how they begin, succeed, fail and are cancelled."""

from __future__ import annotations

from typing import Optional

from he_fsm.simulate.engine import Migration, Vm
from he_fsm.simulate.host import SimHost
from he_fsm.simulate.world import World
from he_fsm.snapshot import Outcome, Result


def begin(world: World, host: SimHost, target: Optional[SimHost], *, ours: bool) -> None:
    """
    Begin a live migration; it ends when the world's time for one has passed.

    *ours*: an agent has ordered it, and is told how it ends.
    """
    vm = world.engine.on(host)
    can_move = world.times.live_migration and vm is not None and _is_ready(vm)
    if target is None or vm is None or not can_move:
        if ours:
            world.tell(host, Result(Outcome.MIGRATION_FAILED, "the VM can't be migrated now"))
        return
    trial = host.migrations
    hangs = trial.mode == "hang"
    migration = Migration(target, ours=ours, fails=trial.fails_now(), hangs=hangs)
    vm.migration = migration
    by = "" if ours else " by somebody outside"
    world.note(
        host, "migration", f"live migration to host {target.name} begins{by}", to=target.name
    )
    world.after(vm, world.times.migration_s, lambda: _switch_over(world, vm, migration))
    world.touch(host)
    world.touch(target)


def _is_ready(vm: Vm) -> bool:
    return vm.phase == "running" and vm.migration is None


def _switch_over(world: World, vm: Vm, migration: Migration) -> None:
    source, target = vm.host, migration.target
    if vm.migration is not migration or migration.hangs:
        return
    why = _why_not(world, source, target, migration)
    if why:
        _fail(world, vm, why)
        return
    # The lease is handed over at the switch-over: paused, released, acquired, continued.
    world.lockspace.set_owner(target.member, world.now)
    vm.migration = None
    del world.engine.vms[source.name]
    vm.move(target, world.now)
    world.engine.vms[target.name] = vm
    world.count("migrations", source)
    world.note(
        source, "migration", f"the VM runs on host {target.name} now", done=True, to=target.name
    )
    if source.agent is not None:
        world.tell(source, Result(Outcome.MIGRATION_DONE, f"to host {target.name}"))
    world.touch(source)
    world.touch(target)


def _why_not(world: World, source: SimHost, target: SimHost, migration: Migration) -> str:
    """Return why the VM cannot go on on the target; empty: it can."""
    engine = world.engine
    if migration.fails:
        return "it was refused"
    if target is source or target.name in engine.vms or target.name in engine.waiting:
        return f"host {target.name} has the VM already"
    if not target.runs or target.hypervisor_is_lost:
        return f"host {target.name} does not answer"
    if world.lockspace.owner is not source.member:
        return f"host {source.name} no longer has the lease"
    for host in (source, target):
        if not host.holds_id:
            return f"host {host.name} can't reach the lease"
    return ""


def _fail(world: World, vm: Vm, why: str) -> None:
    migration, source = vm.migration, vm.host
    if migration is None:
        return
    vm.migration = None
    world.count("failed_migrations", source)
    world.note(source, "migration", f"the migration failed: {why}", failed=True)
    if source.agent is not None:
        world.tell(source, Result(Outcome.MIGRATION_FAILED, why))
    world.touch(source)
    world.touch(migration.target)


def cancel(world: World, host: SimHost) -> None:
    """Cancel the migration away from *host*."""
    vm = world.engine.on(host)
    if vm is not None:
        _fail(world, vm, "cancelled")


def give_up_arrival(world: World, host: SimHost) -> None:
    """End the wait for a VM that is to arrive on *host*; one whose source lives stays there."""
    if world.engine.waiting.pop(host.name, None) is not None:
        world.note(host, "migration", "the VM that was to arrive is given up")
        world.touch(host)
    for vm in tuple(world.engine.vms.values()):
        if vm.migration is not None and vm.migration.target is host:
            _fail(world, vm, f"host {host.name} has given it up")


def source_changed(world: World, host: SimHost) -> None:
    """Note that a host falls silent, or speaks again: the target of its VM sees that."""
    vm = world.engine.on(host)
    if vm is not None and vm.migration is not None:
        world.touch(vm.migration.target)
