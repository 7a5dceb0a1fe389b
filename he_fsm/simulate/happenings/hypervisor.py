"""What hypervisors do with the engine's VM when agents ask for it, and what befalls it."""

from __future__ import annotations

from typing import Callable

from he_fsm.simulate.engine import Vm
from he_fsm.simulate.host import SimHost
from he_fsm.simulate.world import World
from he_fsm.snapshot import Outcome, Result

# What agents order.


def start(world: World, host: SimHost) -> None:
    """Take the lease and start the VM on *host*; without the lease nothing starts."""
    lockspace, engine = world.lockspace, world.engine
    if host.name in engine.vms or host.name in engine.waiting:
        return
    if not lockspace.can_take(host.member, world.now):
        owner = lockspace.owner
        holder = "nobody: the lockspace is not joined" if owner is None else f"host {owner.name}"
        world.count("refused_starts", host)
        world.note(host, "start", f"start refused, the lease is held by {holder}", refused=True)
        world.tell(host, Result(Outcome.START_REFUSED, f"the lease is held by {holder}"))
        return
    lockspace.set_owner(host.member, world.now)
    vm = Vm(host, world.now)
    engine.vms[host.name] = vm
    world.count("starts", host)
    world.note(host, "vm", "lease taken, the VM starts", vm="starting")
    fails = host.starts.fails_now()
    world.after(vm, world.times.vm_start_s, lambda: _started(world, vm, fails=fails))
    world.touch(host)


def _started(world: World, vm: Vm, *, fails: bool) -> None:
    if fails:
        world.tell(vm.host, Result(Outcome.START_FAILED, "the VM did not come up"))
        if vm.host.agent is None:
            # With nobody there to count it, it failed all the same.
            world.count("failed_starts", vm.host)
        end(world, vm, "the VM did not come up")
        return
    vm.phase = "running"
    host = vm.host
    world.note(host, "vm", "the VM runs, its engine boots", vm="running")
    mode, seconds = host.boots
    if mode == "die":
        world.after(vm, seconds, lambda: end(world, vm, "the VM died"))
    if mode != "never":
        _guest(world, vm, world.times.vm_boot_s, lambda: _booted(world, vm))
    world.touch(host)


def continue_deed(world: World, vm: Vm, deed: str, for_s: float) -> None:
    """Continue what a VM that is there at time 0 has been doing for so long."""
    times = world.times
    if deed == "starting":
        vm.is_booted = vm.was_good = False
        left_s = times.vm_start_s - for_s
        if left_s > 0:
            vm.phase = "starting"
            world.after(vm, left_s, lambda: _started(world, vm, fails=False))
        else:
            _guest(world, vm, max(0.0, times.vm_boot_s + left_s), lambda: _booted(world, vm))
    elif deed == "stopping":
        vm.phase = "stopping"
        left_s = max(0.0, times.vm_shutdown_s - for_s)
        _guest(world, vm, left_s, lambda: end(world, vm, "the guest has shut down"))


def _guest(world: World, vm: Vm, delay_s: float, action: Callable[[], None]) -> None:
    """End the guest's own work after *delay_s*, or when the guest is no longer paused."""

    def act() -> None:
        if vm.is_paused:
            vm.waiting.append(act)
        else:
            action()

    world.after(vm, delay_s, act)


def _booted(world: World, vm: Vm) -> None:
    # A VM that has moved meanwhile boots on where it is; one that shuts down no longer does.
    if vm.phase == "running":
        vm.is_booted = True
        page_changed(world, vm)


def page_changed(world: World, vm: Vm) -> None:
    """Note what became of the health page, and the first moment at which it is good."""
    if vm.page_is_good and not vm.was_good:
        vm.was_good = True
        world.note(vm.host, "vm", "the engine's health page is good", vm="good")
    world.page_changed(vm.host)


def shut_down(world: World, host: SimHost) -> None:
    """Ask the guest on *host* to shut down; a paused one can't."""
    vm = world.engine.on(host)
    if vm is None or vm.phase == "stopping":
        return
    world.note(host, "vm", "the guest is asked to shut down", vm="stopping")
    if vm.is_paused:
        return
    vm.phase = "stopping"
    shutdown_s = world.times.vm_shutdown_s
    _guest(world, vm, shutdown_s, lambda: end(world, vm, "the guest has shut down"))
    world.touch(host)


def power_off(world: World, host: SimHost) -> None:
    """End the VM on *host* at once; one that is to arrive there is its source's."""
    vm = world.engine.on(host)
    if vm is not None:
        end(world, vm, "powered off")


# What befalls the VM.


def end(world: World, vm: Vm, why: str) -> None:
    """End the VM's process, and release its lease where its host can tell the storage."""
    host, migration = vm.host, vm.migration
    vm.is_gone, vm.migration = True, None
    del world.engine.vms[host.name]
    world.note(host, "vm", f"the VM is gone: {why}", vm="gone")
    if world.lockspace.owner is host.member:
        if host.runs and host.holds_id:
            world.lockspace.set_owner(None, world.now)
        else:
            host.owes_release = host.is_up
    world.touch(host)
    if migration is not None:
        world.touch(migration.target)


def panic(world: World, vm: Vm) -> None:
    """End the VM whose guest reports that it is dead; one that does not execute reports nothing."""
    if not vm.executes:
        return
    why = "the guest has panicked"
    end(world, vm, why)
    world.tell(vm.host, Result(Outcome.GUEST_DIED, why))


def lose_power(world: World, host: SimHost) -> None:
    """End all that is on *host*; no message about it leaves the host."""
    engine = world.engine
    engine.waiting.pop(host.name, None)
    vm = engine.on(host)
    if vm is None:
        return
    migration, timeout_s = vm.migration, world.times.arrival_timeout_s
    if migration is not None and migration.target.runs and timeout_s:
        _wait(world, migration.target, timeout_s)
    end(world, vm, "its host lost power")


def _wait(world: World, target: SimHost, timeout_s: float) -> None:
    """Leave the target of a migration waiting for a source that sends nothing any more."""
    waiting = world.engine.waiting
    until = waiting[target.name] = world.now + timeout_s

    def give_up() -> None:
        if waiting.get(target.name) == until:
            del waiting[target.name]
            text = "the source is silent: the VM that was to arrive is given up"
            world.note(target, "migration", text)
            world.touch(target)

    world.at_awake(target, until, give_up)


def pause(world: World, vm: Vm) -> None:
    """Stop the VM, as an I/O error does."""
    if vm.phase == "starting" or vm.is_paused:
        return
    vm.is_paused = True
    world.note(vm.host, "vm", "the VM is paused by an I/O error", vm="paused")
    if not world.times.pause_keeps_lease:
        give_lease_away(world, vm)
    world.touch(vm.host)


def give_lease_away(world: World, vm: Vm) -> None:
    """Release the lease of a paused VM, if its host can tell the storage."""
    lockspace, host = world.lockspace, vm.host
    if lockspace.owns(host.member) and host.runs and host.holds_id:
        vm.gave_lease_away = lockspace.version
        lockspace.set_owner(None, world.now)


def _takes_lease_back(world: World, vm: Vm) -> bool:
    """
    Acquire the lease again that a paused VM gave away; return whether it may run.

    If another host has had the lease meanwhile, the VM's memory does not fit its disk any more.
    """
    lockspace, host = world.lockspace, vm.host
    if vm.gave_lease_away is None:
        return True
    if not lockspace.can_take(host.member, world.now):
        owner = lockspace.owner
        why = "its host has no host id" if owner is None else f"host {owner.name} has its lease"
    elif lockspace.version != vm.gave_lease_away:
        why = "another host has had its lease meanwhile"
    else:
        vm.gave_lease_away = None
        lockspace.set_owner(host.member, world.now)
        return True
    world.note(host, "vm", f"the VM stays paused: {why}", vm="paused")
    return False


def resume(world: World, vm: Vm) -> None:
    """Resume a paused VM; a guest that was shutting down continues to do so."""
    if not vm.is_paused or not _takes_lease_back(world, vm):
        return
    vm.is_paused = False
    world.note(vm.host, "vm", "the VM runs again", vm="running")
    waiting, vm.waiting = vm.waiting, []
    for act in waiting:
        world.after(vm, 0.0, act)
    page_changed(world, vm)
    world.touch(vm.host)
