"""The sanlock back end: real sanlock daemons, real VMs under QEMU, a mount for each host."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.errors import HeFsmError
from he_fsm.rehearse import host_network, lease_sight, netns, watchdog
from he_fsm.rehearse.guest.build import (
    HEALTH_PAGE,
    MEMORY_MIB,
    Guest,
    build,
    double_on,
    make_disk,
    wrote_to,
)
from he_fsm.rehearse.guest.kernel import find_kernel
from he_fsm.rehearse.guest.saved import guest_vm, resting, saved_state
from he_fsm.rehearse.guest_files import GuestFiles, Origin
from he_fsm.rehearse.host import LabHost
from he_fsm.rehearse.host_network import HostNetwork
from he_fsm.rehearse.lab import Lab
from he_fsm.rehearse.lab_network import LabNetwork
from he_fsm.rehearse.lease_sight import LeaseSight
from he_fsm.rehearse.mount import way
from he_fsm.rehearse.move_vm import Mover
from he_fsm.rehearse.sanlock_process import SanlockProcess
from he_fsm.rehearse.shared_mounts import SharedMounts
from he_fsm.rehearse.vm_faults import VmFaults
from he_fsm.rehearse.vm_sight import VmSight
from he_fsm.rehearse.watchdog import Watchdog
from he_fsm.runtime.config import MoveConfig, VmConfig
from he_fsm.runtime.config.plain import plain
from he_fsm.runtime.hypervisors.qemu import QemuHypervisor
from he_fsm.runtime.hypervisors.qemu_accel import TCG, usable_accel
from he_fsm.runtime.hypervisors.qemu_command import binary_of
from he_fsm.runtime.hypervisors.qemu_host import QemuSettings
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord
from he_fsm.runtime.hypervisors.vm_process import has_ended
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock_hold import SanlockHolder
from he_fsm.runtime.leases.sanlock_settings import SanlockSettings
from he_fsm.scenario.model import Host, Scenario, Verb

_LEASES: Final = "sanlock"
_DISK: Final = "engine.raw"
_LOCKSPACE: Final = "he-fsm"
_RESOURCE: Final = "engine"
# A guest's boot where it is emulated: one that should be quicker is resumed instead (seconds).
_BOOT_S: Final = 5.0
_STARTS_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.02
_STOPPED: Final = "T"
# Share of a (scaled) loop within which storage and sanlock have to answer.
_DEADLINE_SHARE: Final = 0.8
_ORDERS: Final = {"shutdown": "system_powerdown", "pause": "stop", "resume": "cont"}
_GUEST_WORDS: Final = {"hang": "sick", "heal": "well", "crash": "crash"}


class SanlockHost(LabHost):
    """A host with a sanlock daemon, a way to the storage and a QEMU of its own."""

    lab: SanlockLab

    def __init__(self, lab: SanlockLab, config: Host) -> None:
        """Make the folder; nothing runs yet."""
        super().__init__(lab, config)
        self.network = host_network.made(lab.network, lab.scenario, config.name, lab.speed)
        # Each look at the leases is three commands, and what they need of a busy machine is not
        # shorter by the speed.
        self.deadline_s = lab.policy.loop_s * _DEADLINE_SHARE
        self.mount = way(lab.shared, self.storage)
        self.guest_files = GuestFiles(self.folder / "guest")
        self.daemon: Optional[SanlockProcess] = None
        self._mover: Optional[Mover] = None
        self._watchdog: Optional[Watchdog] = None
        self._sight: Optional[VmSight] = None

    @property
    def host_id(self) -> int:
        """sanlock's number for this host."""
        return self.config.id

    # The configuration.

    def own_config(self) -> Mapping[str, Any]:
        """Give sanlock's section and QEMU's."""
        lab, pages = self.lab, self.network.pages
        return {
            "leases": "sanlock",
            "sanlock": {
                "lockspace": _LOCKSPACE,
                "resource": _RESOURCE,
                "run_dir": str(self._sanlock_dir),
                "clock_rate": lab.speed,
            },
            "hypervisor": {"kind": "qemu", "vm": plain(self._vm), "move": plain(self._move)},
            "engine": {
                "memory": lab.scenario.engine.memory,
                "health": {
                    "url": f"http://{pages.address}:{pages.port}{HEALTH_PAGE}",
                    "timeout": self.network.page_timeout_s,
                },
            },
        }

    @property
    def _sanlock_dir(self) -> Path:
        return self.folder / "sanlock"

    @property
    def _vm(self) -> VmConfig:
        return self.guest_files.begins(self.lab.vm(self.storage / _DISK, self.network))

    @property
    def _move(self) -> MoveConfig:
        return MoveConfig(peers=f"unix:{self.lab.folder}/by-id/{{id}}/migrate.sock")

    def monitors_config(self) -> dict[str, Any]:
        """Say what the monitors look at: the network, where it is real."""
        return {**super().monitors_config(), **self.network.monitors_config()}

    def write_monitors(self, **values: float) -> tuple[str, ...]:
        """Let the monitors see these values from their next look on; say what changed for it."""
        return super().write_monitors(**values) + self.network.show(self.monitors)

    def within(self, words: list[str]) -> list[str]:
        """Give the command that runs *words* in this host's network."""
        return self.network.within(words)

    # What runs beside the daemons of ours.

    @property
    def has_watchdog(self) -> bool:
        """Whether a stand-in for wdmd is behind sanlock."""
        return self.config.watchdog and not watchdog.why_not()

    @property
    def was_reset(self) -> bool:
        """Whether the stand-in has killed all that ran here."""
        return self._watchdog is not None and self._watchdog.has_fired

    def start_services(self) -> None:
        """Mount the storage, and start the watchdog and sanlock."""
        self.mount.mount()
        if self.has_watchdog:
            self._watchdog = Watchdog(self._watchdog_dir, self.lab.speed, self._cut_power)
        self.start_sanlock()
        if self._sight is None:
            name = self.config.hostname
            self._sight = VmSight(self.run_dir, self.vm_file, self.network.pages, name)

    def start_sanlock(self) -> None:
        """Start the daemon, as an init system does with one that has ended."""
        self.daemon = SanlockProcess(
            self._sanlock_dir,
            self.config.hostname,
            self.lab.speed,
            has_watchdog=self.has_watchdog,
            within=self._behind_watchdog,
        )

    def _behind_watchdog(self, words: list[str]) -> list[str]:
        if self.has_watchdog:
            words = watchdog.behind(self._watchdog_dir, words)
        return self.within(words)

    @property
    def _watchdog_dir(self) -> Path:
        return self.folder / "wdmd"

    def _cut_power(self) -> None:
        """
        Kill everything here; called by the watchdog, in its thread.

        safety: others may have the lease some seconds of sanlock's clock later, so this does not
        wait until the rehearsal looks at the host.
        """
        self.stop_all()
        self.signal_all(signal.SIGKILL)

    def kill_sanlock(self) -> None:
        """Kill the daemon alone."""
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon = None
            self.frozen.discard("sanlock")

    def daemon_process(self, name: str) -> Optional[subprocess.Popen[bytes]]:
        """Give the process of `agent`, `broker` or `sanlock`; None: it does not run."""
        if name == "sanlock":
            return None if self.daemon is None else self.daemon.process
        return super().daemon_process(name)

    def services(self) -> Iterator[subprocess.Popen[bytes]]:
        """Give sanlock's process and the mount's."""
        # The watchdog's thread asks as well, at any moment.
        daemon, mount, mover = self.daemon, self.mount.process, self._mover
        if daemon is not None:
            yield daemon.process
        if mount is not None:
            yield mount
        if mover is not None:
            yield mover.process

    def end_services(self) -> None:
        """Remove sanlock's files, the watchdog and the mount."""
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None
        if self.daemon is not None:
            self.daemon.clean_up()
        self.mount.unmount()

    def close(self) -> None:
        """Look at the VM no more."""
        if self._mover is not None:
            self._mover.close()
        if self._sight is not None:
            self._sight.close()

    # The VM.

    @property
    def has_named(self) -> bool:
        """Whether a VM here was told to let its witness write."""
        return self._sight is not None and self._sight.has_named

    def start_vm(self) -> int:
        """Start the VM while no agent runs; give its process's number when it executes."""
        settings = QemuSettings(host_id=self.config.id, run_dir=self.run_dir, vm=self._vm)
        leases = self.lab.leases(self.storage, self._sanlock_dir, self.state_dir / "engine.lock")
        # Its threads, and what they start, belong where it is made.
        with netns.inside(self.network.pages.namespace):
            hypervisor = QemuHypervisor(
                settings, SanlockHolder(settings=leases, host_id=self.config.id)
            )
        try:
            hypervisor.start()
            until = time.monotonic() + _STARTS_WITHIN_S
            while (record := self.vm()) is None or record.phase is not Phase.RUNNING:
                if time.monotonic() > until:
                    why = [result.detail for result in hypervisor.results()]
                    msg = f"the VM does not start on host {self.name}: {why}"
                    raise HeFsmError(msg)
                time.sleep(_LOOK_S)
        finally:
            hypervisor.close()
        return record.pid

    def is_paused(self, record: VmRecord) -> bool:
        """Whether the VM is stopped, and not because it moves."""
        if record.process_state == _STOPPED:
            return True
        return not record.is_leaving and not self.executes(record)

    def executes(self, record: VmRecord) -> bool:
        """Ask QEMU."""
        return self._sight is not None and self._sight.executes(record)

    def page_is_good(self, record: VmRecord) -> bool:
        """Whether this host's own way to the page finds it good."""
        return self._sight is not None and self._sight.page_is_good(record)

    def order_engine(self, word: str) -> None:
        """Press the power button, stop or continue the VM, or let its page go bad."""
        if self._sight is None:
            return
        if word in _ORDERS:
            self._sight.order(_ORDERS[word])
        else:
            self._sight.say(_GUEST_WORDS[word])

    def migrate_engine(self, target: int) -> None:
        """Let a process of this host that is no agent move the VM."""
        if self._sight is not None and (self._mover is None or not self._mover.is_busy):
            self._mover = Mover(self.folder / "config.yaml", target, self._sight)

    def lead_storage(self, word: str) -> None:
        """Kill, stop or start the process behind this host's mount."""
        if word == "cut":
            self.mount.cut()
        elif word == "hang":
            self.mount.hang()
        else:
            self.mount.restore()

    def set_faults(self, **words: str) -> None:
        """Let starts, boots or migrations fail."""
        self.lab.set_faults(self.name, words)


class SanlockLab(Lab):
    """A cluster whose leases are sanlock's, and whose engine is the tiny guest."""

    hosts: Mapping[str, SanlockHost]
    # The guest's memory; its saved states are of one size.
    memory_mib = MEMORY_MIB

    def __init__(self, scenario: Scenario, speed: float, folder: Path) -> None:
        """Make the folders; nothing runs yet."""
        names = [host.name for host in scenario.hosts]
        self.network = None if netns.why_not() else LabNetwork(names)
        super().__init__(scenario, speed, folder)
        self._mounts = SharedMounts(folder / "hosts")
        self._guest: Optional[Guest] = None
        self._saved: Optional[Path] = None
        self._accel = TCG
        self._vm_faults: Optional[VmFaults] = None
        self._outsider: Optional[SanlockProcess] = None
        self._sight: Optional[LeaseSight] = None
        # VMs that this process has started: it has to ask for their status.
        self._started: list[int] = []

    def make_host(self, config: Host) -> SanlockHost:
        """Make one host."""
        return SanlockHost(self, config)

    def set_up(self) -> None:
        """Make the network, leases, disk and guest, and let somebody look at the leases."""
        if self.network is not None or not watchdog.why_not():
            self._mounts.begin()
        if self.network is not None:
            self.network.set_up()
        make_disk(self.shared / _DISK)
        self._make_guest()
        run_dir = self.folder / "outsider"
        settings = self.leases(self.shared, run_dir, run_dir / "engine.lock")
        io_timeout = settings.daemon_io_timeout(self.policy.io_timeout_s)
        self._outsider = SanlockProcess(run_dir, "outsider", self.speed)
        lease_sight.set_up(settings, io_timeout)
        lease_sight.join(settings, io_timeout)
        rules = Rules(io_timeout_s=self.policy.io_timeout_s, watchdog_s=self.policy.watchdog_s)
        self._sight = LeaseSight(settings, rules)

    def _make_guest(self) -> None:
        """Build the guest, and a sick one beside it where the scenario wants one."""
        kernel, sick = find_kernel(), None
        guest = build(self.folder, kernel)
        if any(entry.verb is Verb.BOOTS for entry in self.scenario.timeline):
            sick = _origin(build(self.folder, kernel, is_sick=True))
        is_resumed = self.scenario.world.vm_boot_s / self.speed < _BOOT_S
        self._guest = resting(guest) if is_resumed else guest
        if is_resumed:
            network = next(iter(self.hosts.values())).network
            vm = self.vm(self.shared / _DISK, network)
            self._saved = self._state(vm, network)
            if sick is not None:
                sick = attrs.evolve(sick, saved_state=self._state(vm, network, is_sick=True))
        else:
            # Tried here: an agent's own trial would take seconds of its first start.
            self._accel = usable_accel(binary_of(guest_vm(guest, self.shared / _DISK, 0)))
        well = attrs.evolve(_origin(guest), saved_state=self._saved)
        self._vm_faults = VmFaults(self.hosts, well, sick)

    @staticmethod
    def _state(vm: VmConfig, network: HostNetwork, *, is_sick: bool = False) -> Path:
        pages = network.pages
        with netns.inside(pages.namespace):
            return saved_state(vm, pages.port, pages.address, is_sick=is_sick)

    def set_faults(self, name: str, words: Mapping[str, str]) -> None:
        """Let starts, boots or migrations of a host fail."""
        if self._vm_faults is not None:
            self._vm_faults.set(name, words)

    def vm(self, disk: Path, network: HostNetwork) -> VmConfig:
        """Describe the engine's VM as a host has it."""
        if self._guest is None:
            msg = "the lab is not set up"
            raise HeFsmError(msg)
        vm = network.vm(guest_vm(self._guest, disk, network.pages.port, accel=self._accel))
        return attrs.evolve(vm, saved_state=self._saved, memory=self.memory_mib)

    def leases(self, storage: Path, run_dir: Path, vm_lock: Path) -> SanlockSettings:
        """Say where the leases are on somebody's way to the storage."""
        path = str(storage / _LEASES)
        return SanlockSettings(
            lockspace=_LOCKSPACE,
            path=path,
            resource=_RESOURCE,
            resource_path=path,
            run_dir=str(run_dir),
            vm_lock=str(vm_lock),
            clock_rate=self.speed,
        )

    def start_engine(self, host: LabHost) -> None:
        """Start the VM, and wait until it executes."""
        self._started.append(self.hosts[host.name].start_vm())

    def lease_owner(self) -> Optional[int]:
        """Ask the outsider's daemon."""
        if self._sight is None:
            return None
        return self._sight.owner()

    def doubles(self) -> list[str]:
        """Give the verdict of the guests' own witness, which has to have written."""
        disk = self.shared / _DISK
        found = double_on(disk)
        if found is not None:
            return [f"the guest's witness saw two engine VMs execute: {found}"]
        if any(host.has_named for host in self.hosts.values()) and not wrote_to(disk):
            return ["the guest's witness has written nothing: it can't tell whether two executed"]
        return []

    def own_pids(self) -> set[int]:
        """Give the daemon of who looks from outside."""
        return set() if self._outsider is None else {self._outsider.process.pid}

    def left_behind(self) -> Iterator[str]:
        """Give a sentence for each thing of the lab that is still there when it was closed."""
        yield from super().left_behind()
        if self.network is not None:
            yield from (f"the namespace {name} is still there" for name in self.network.left())

    def release(self) -> None:
        """End who looks from outside, take the status of VMs started here, remove the network."""
        with contextlib.ExitStack() as ends:
            # From the last to the first, each of them even where another fails.
            ends.callback(self._mounts.end)
            if self.network is not None:
                ends.callback(self.network.remove)
            for pid in self._started:
                ends.callback(has_ended, pid)
            if self._outsider is not None:
                ends.callback(self._outsider.kill)
            if self._sight is not None:
                ends.callback(self._sight.close)
            for host in self.hosts.values():
                ends.callback(host.close)
            if self._vm_faults is not None:
                ends.callback(self._vm_faults.close)


def _origin(guest: Guest) -> Origin:
    return Origin(kernel=guest.kernel, initrd=guest.initrd)
