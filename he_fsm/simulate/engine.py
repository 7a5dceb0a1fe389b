"""The engine VM in a simulated cluster: what really runs, whatever hosts believe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional

from he_fsm.simulate.host import SimHost
from he_fsm.snapshot import Health, LocalVm, Outcome, Result, VmState

if TYPE_CHECKING:
    from he_fsm.simulate.world import World


class Migration:
    """A live migration under way; `ours`: an agent ordered it."""

    def __init__(self, target: SimHost, *, ours: bool, fails: bool, hangs: bool) -> None:
        """Begin to move to *target*."""
        self.target = target
        self.ours = ours
        self.fails = fails
        self.hangs = hangs


class Vm:
    """One engine VM process. `phase`: starting, running or stopping."""

    def __init__(self, host: SimHost, phase: str = "starting") -> None:
        """Begin as a process on *host*."""
        self.host = host
        self.phase = phase
        self.is_booted = False
        self.was_good = False
        self.is_sick = False
        self.is_paused = False
        self.is_gone = False
        # The daemon that gave it its lease lives.
        self.is_kept = True
        # What its guest was about to do when it was paused.
        self.waiting: list[Callable[[], None]] = []
        self.migration: Optional[Migration] = None

    @property
    def executes(self) -> bool:
        """Whether its processors run."""
        return self.phase != "starting" and not self.is_paused and self.host.runs

    @property
    def page_is_good(self) -> bool:
        """Whether its health page answers well."""
        return self.executes and self.phase == "running" and self.is_booted and not self.is_sick

    @property
    def word(self) -> str:
        """The truth about it, in the scenario language's words."""
        if self.migration is not None and self.executes:
            return "migrating"
        if self.phase != "running":
            return self.phase
        if not self.executes:
            return "paused"
        if self.page_is_good:
            return "good"
        return "bad" if self.was_good else "starting"


class Engine:
    """All engine VMs of the cluster (never more than one that executes, if all is well)."""

    def __init__(self, world: World) -> None:
        """Begin with none."""
        self._world = world
        self.vms: dict[str, Vm] = {}

    def on(self, host: SimHost) -> Optional[Vm]:
        """Give the VM whose process is on *host*."""
        return self.vms.get(host.name)

    @property
    def main(self) -> Optional[Vm]:
        """The one VM that people mean: the one that executes, else any."""
        vms = self.vms.values()
        return next((vm for vm in vms if vm.executes), None) or next(iter(vms), None)

    def place(self, host: SimHost, *, is_sick: bool, is_paused: bool) -> None:
        """Let the engine have been running on *host* for a long time."""
        vm = Vm(host, "running")
        vm.is_booted = vm.was_good = True
        vm.is_sick, vm.is_paused = is_sick, is_paused
        self.vms[host.name] = vm

    def as_seen_by(self, host: SimHost) -> LocalVm:
        """Give what the hypervisor of *host* says, and what the health page answers."""
        if host.hypervisor_is_lost:
            return LocalVm(VmState.UNKNOWN)
        vm = self.vms.get(host.name)
        if vm is None:
            arriving = any(
                other.migration is not None and other.migration.target is host
                for other in self.vms.values()
            )
            return LocalVm(VmState.ARRIVING if arriving else VmState.ABSENT)
        health = Health.GOOD if vm.page_is_good else Health.BAD
        if vm.phase == "starting":
            return LocalVm(VmState.STARTING, health)
        if vm.migration is not None:
            return LocalVm(VmState.LEAVING, health)
        if vm.is_paused:
            return LocalVm(VmState.PAUSED, health)
        return LocalVm(VmState.UP if vm.phase == "running" else VmState.STOPPING, health)

    # What agents order.

    def start(self, host: SimHost) -> None:
        """Take the lease and start the VM on *host*; without the lease nothing starts."""
        world = self._world
        lockspace = world.lockspace
        if host.name in self.vms:
            return
        if not lockspace.can_take(host.member, world.now):
            owner = lockspace.owner
            holder = (
                "nobody: the lockspace is not joined" if owner is None else f"host {owner.name}"
            )
            world.count("refused_starts", host)
            world.note(host, "start", f"start refused, the lease is held by {holder}", refused=True)
            world.tell(host, Result(Outcome.START_REFUSED, f"the lease is held by {holder}"))
            return
        lockspace.set_owner(host.member, world.now)
        vm = Vm(host)
        self.vms[host.name] = vm
        world.count("starts", host)
        world.note(host, "vm", "lease taken, the VM starts", vm="starting")
        fails = host.starts.fails_now()
        world.after(vm, world.times.vm_start_s, lambda: self._started(vm, fails=fails))
        world.touch(host)

    def _started(self, vm: Vm, *, fails: bool) -> None:
        if fails:
            self._world.tell(vm.host, Result(Outcome.START_FAILED, "the VM did not come up"))
            if vm.host.agent is None:
                # With nobody there to count it, it failed all the same.
                self._world.count("failed_starts", vm.host)
            self.end(vm, "the VM did not come up")
            return
        vm.phase = "running"
        host = vm.host
        self._world.note(host, "vm", "the VM runs, its engine boots", vm="running")
        mode, seconds = host.boots
        if mode == "die":
            self._world.after(vm, seconds, lambda: self.end(vm, "the VM died"))
        if mode != "never":
            self._guest(vm, self._world.times.vm_boot_s, lambda: self._booted(vm))
        self._world.touch(host)

    def _guest(self, vm: Vm, delay_s: float, action: Callable[[], None]) -> None:
        """Let the guest's own work end after *delay_s*, or when it is no longer paused."""

        def act() -> None:
            if vm.is_paused:
                vm.waiting.append(act)
            else:
                action()

        self._world.after(vm, delay_s, act)

    def _booted(self, vm: Vm) -> None:
        # A VM that has moved meanwhile boots on where it is; one that shuts down no longer does.
        if vm.phase == "running":
            vm.is_booted = True
            self.page_changed(vm)

    def page_changed(self, vm: Vm) -> None:
        """Note what became of the health page, and the first moment at which it is good."""
        if vm.page_is_good and not vm.was_good:
            vm.was_good = True
            self._world.note(vm.host, "vm", "the engine's health page is good", vm="good")
        self._world.page_changed(vm.host)

    def shut_down(self, host: SimHost) -> None:
        """Ask the guest on *host* to shut down; a paused one can't."""
        vm = self.vms.get(host.name)
        if vm is None or vm.phase == "stopping":
            return
        self._world.note(host, "vm", "the guest is asked to shut down", vm="stopping")
        if vm.is_paused:
            return
        vm.phase = "stopping"
        shutdown_s = self._world.times.vm_shutdown_s
        self._guest(vm, shutdown_s, lambda: self.end(vm, "the guest has shut down"))
        self._world.touch(host)

    def power_off(self, host: SimHost) -> None:
        """End the VM on *host* at once."""
        vm = self.vms.get(host.name)
        if vm is not None:
            self.end(vm, "powered off")

    def migrate(self, host: SimHost, target: Optional[SimHost], *, ours: bool) -> None:
        """Begin a live migration; it ends when the world's time for one has passed."""
        world = self._world
        vm = self.vms.get(host.name)
        if vm is None or vm.phase != "running" or vm.migration is not None or target is None:
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
        world.after(vm, world.times.migration_s, lambda: self._switch_over(vm, migration))
        world.touch(host)
        world.touch(target)

    def _switch_over(self, vm: Vm, migration: Migration) -> None:
        world = self._world
        source, target = vm.host, migration.target
        if vm.migration is not migration or migration.hangs:
            return
        why = self._why_not(source, target, migration)
        if why:
            self._migration_fails(vm, why)
            return
        # The lease is handed over at the switch-over: paused, released, acquired, continued.
        world.lockspace.set_owner(target.member, world.now)
        vm.migration = None
        del self.vms[source.name]
        vm.host = target
        self.vms[target.name] = vm
        world.count("migrations", source)
        world.note(
            source, "migration", f"the VM runs on host {target.name} now", done=True, to=target.name
        )
        if source.agent is not None:
            world.tell(source, Result(Outcome.MIGRATION_DONE, f"to host {target.name}"))
        world.touch(source)
        world.touch(target)

    def _why_not(self, source: SimHost, target: SimHost, migration: Migration) -> str:
        if migration.fails:
            return "it was refused"
        if target is source or target.name in self.vms:
            return f"host {target.name} has the VM already"
        if not target.runs or target.hypervisor_is_lost:
            return f"host {target.name} does not answer"
        for host in (source, target):
            if not host.holds_id:
                return f"host {host.name} can't reach the lease"
        return ""

    def _migration_fails(self, vm: Vm, why: str) -> None:
        world = self._world
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

    def cancel_migration(self, host: SimHost) -> None:
        """Give up the migration away from *host*."""
        vm = self.vms.get(host.name)
        if vm is not None:
            self._migration_fails(vm, "cancelled")

    # What befalls it.

    def end(self, vm: Vm, why: str) -> None:
        """The VM's process ends, and its lease with it where the storage can be told."""
        world = self._world
        host, migration = vm.host, vm.migration
        vm.is_gone, vm.migration = True, None
        del self.vms[host.name]
        world.note(host, "vm", f"the VM is gone: {why}", vm="gone")
        if world.lockspace.owner is host.member:
            if host.runs and host.holds_id:
                world.lockspace.set_owner(None, world.now)
            else:
                host.owes_release = host.is_up
        world.touch(host)
        if migration is not None:
            world.touch(migration.target)

    def pause(self, vm: Vm) -> None:
        """An I/O error stops it."""
        if vm.phase == "starting" or vm.is_paused:
            return
        vm.is_paused = True
        self._world.note(vm.host, "vm", "the VM is paused by an I/O error", vm="paused")
        self._world.touch(vm.host)

    def resume(self, vm: Vm) -> None:
        """It runs again; a guest that was shutting down goes on to."""
        if not vm.is_paused:
            return
        vm.is_paused = False
        self._world.note(vm.host, "vm", "the VM runs again", vm="running")
        waiting, vm.waiting = vm.waiting, []
        for act in waiting:
            self._world.after(vm, 0.0, act)
        self.page_changed(vm)
        self._world.touch(vm.host)
