"""
The engine VM in a simulated cluster: what really runs, whatever hosts believe.

This is plain state. What changes it is in `happenings`: `hypervisor` and `migrations`.
"""

from __future__ import annotations

from typing import Callable, Optional

from he_fsm.simulate.host import SimHost
from he_fsm.snapshot import Health, LocalVm, VmState


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

    def __init__(self, host: SimHost, time: float, phase: str = "starting") -> None:
        """Begin as a process on *host*."""
        self.host = host
        self.phase = phase
        # When it came to this host, and for how long its hosts before this one were suspended.
        self._came_at = time
        self._slept_before_s = 0.0
        self.is_booted = False
        self.was_good = False
        self.is_sick = False
        self.is_paused = False
        # Its lease was released when it was paused, in this version (`Lockspace.version`).
        self.gave_lease_away: Optional[int] = None
        self.is_gone = False
        # The daemon that gave it its lease lives.
        self.is_kept = True
        # What its guest was about to do when it was paused.
        self.waiting: list[Callable[[], None]] = []
        self.migration: Optional[Migration] = None

    def slept_s(self, time: float) -> float:
        """Return for how long it has stood still on suspended hosts in all its life."""
        return self._slept_before_s + self.host.clock.slept_s(self._came_at, time)

    def move(self, host: SimHost, time: float) -> None:
        """Go on on another host."""
        self._slept_before_s = self.slept_s(time)
        self._came_at = time
        self.host = host

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

    def __init__(self) -> None:
        """Begin with none."""
        self.vms: dict[str, Vm] = {}
        # The hosts that wait for a VM whose source has fallen silent, and until when (true time).
        self.waiting: dict[str, float] = {}

    def on(self, host: SimHost) -> Optional[Vm]:
        """Return the VM whose process is on *host*."""
        return self.vms.get(host.name)

    @property
    def main(self) -> Optional[Vm]:
        """The one VM that people mean: one that executes, else one whose host runs, else any."""
        vms = sorted(self.vms.values(), key=lambda vm: (not vm.executes, not vm.host.runs))
        return vms[0] if vms else None

    def place(self, host: SimHost, time: float, *, is_sick: bool, is_paused: bool) -> Vm:
        """Make an engine that has been running on *host* for long at *time*; return its VM."""
        vm = Vm(host, time, "running")
        vm.is_booted = vm.was_good = True
        vm.is_sick, vm.is_paused = is_sick, is_paused
        self.vms[host.name] = vm
        return vm

    def as_seen_by(self, host: SimHost) -> LocalVm:
        """Return what the hypervisor of *host* says, and what the health page answers."""
        if host.hypervisor_is_lost:
            return LocalVm(VmState.UNKNOWN)
        vm = self.vms.get(host.name)
        if vm is None:
            arriving = host.name in self.waiting or any(
                other.migration is not None
                and other.migration.target is host
                # A source that is suspended sends nothing.
                and not other.host.clock.is_suspended
                for other in self.vms.values()
            )
            return LocalVm(VmState.ARRIVING if arriving else VmState.ABSENT)
        health = Health.GOOD if vm.page_is_good else Health.SILENT
        if vm.phase == "starting":
            return LocalVm(VmState.STARTING, health)
        if vm.migration is not None:
            return LocalVm(VmState.LEAVING, health)
        if vm.is_paused:
            return LocalVm(VmState.PAUSED, health)
        return LocalVm(VmState.UP if vm.phase == "running" else VmState.STOPPING, health)
