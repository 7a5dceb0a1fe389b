"""A host of a sanlock lab: its daemon, its way to the storage, its QEMU."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab import host_network, netns, watchdog
from he_fsm.lab.guest.build import HEALTH_PAGE
from he_fsm.lab.guest_files import GuestFiles
from he_fsm.lab.host import LabHost
from he_fsm.lab.mount import way
from he_fsm.lab.move_vm import Mover
from he_fsm.lab.sanlock.site import DISK, LOCKSPACE, RESOURCE, SanlockSite
from he_fsm.lab.sanlock_process import SanlockProcess
from he_fsm.lab.spec import HostSpec
from he_fsm.lab.vm_sight import VmSight
from he_fsm.lab.watchdog import Watchdog
from he_fsm.runtime.config.plain import plain
from he_fsm.runtime.hypervisors.qemu.host import QemuSettings
from he_fsm.runtime.hypervisors.qemu.hypervisor import QemuHypervisor
from he_fsm.runtime.hypervisors.qemu.section import MoveConfig, VmConfig
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
from he_fsm.runtime.leases.sanlock.section import DOOM_NOTE

_STARTS_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.02
_STOPPED: Final = "T"
# Share of a (scaled) loop within which storage and sanlock have to answer.
_DEADLINE_SHARE: Final = 0.8
_ORDERS: Final = {"shutdown": "system_powerdown", "pause": "stop", "resume": "cont"}
_GUEST_WORDS: Final = {"hang": "sick", "heal": "well", "crash": "crash", "panic": "panic"}


# Where migrations are waited for whose packets can be dropped: an address of each host's bridge.
_PEER: Final = "10.99.250.{id}"
_PEERS: Final = f"tcp:{_PEER}:7000"


class SanlockHost(LabHost):
    """A host with a sanlock daemon, a way to the storage and a QEMU of its own."""

    site: SanlockSite

    def __init__(self, site: SanlockSite, spec: HostSpec) -> None:
        """Make the folder; nothing runs yet."""
        super().__init__(site, spec)
        self.network = host_network.made(site.network, spec, site.speed)
        # Each look at the leases is three commands, and what they need of a busy machine is not
        # shorter by the speed.
        self.deadline_s = site.policy.loop_s * _DEADLINE_SHARE
        self.mount = way(site.shared, self.storage)
        self.guest_files = GuestFiles(self.folder / "guest")
        self.daemon: Optional[SanlockProcess] = None
        self._mover: Optional[Mover] = None
        self._watchdog: Optional[Watchdog] = None
        self._sight: Optional[VmSight] = None

    # The configuration.

    def own_config(self) -> Mapping[str, Any]:
        """Return sanlock's section and QEMU's."""
        site, pages = self.site, self.network.pages
        return {
            "leases": "sanlock",
            "sanlock": {
                "lockspace": LOCKSPACE,
                "resource": RESOURCE,
                "run_dir": str(self._sanlock_dir),
                "clock_rate": site.speed,
            },
            "hypervisor": {"kind": "qemu", "vm": plain(self._vm), "move": plain(self._move)},
            "engine": {
                "memory": site.memory_mib,
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
        return self.guest_files.begins(self.site.vm(self.storage / DISK, self.network))

    @property
    def _move(self) -> MoveConfig:
        if not self.site.loses_power_silently:
            return MoveConfig(peers=f"unix:{self.site.by_id}/{{id}}/migrate.sock")
        return MoveConfig(peers=_PEERS, secret_file=self.site.move_secret)

    def monitors_config(self) -> dict[str, Any]:
        """Return the monitors' section: the network, where it is real."""
        return {**super().monitors_config(), **self.network.monitors_config()}

    def write_monitors(self, **values: float) -> tuple[str, ...]:
        """Set what the monitors read from now on; return what was changed for that."""
        return super().write_monitors(**values) + self.network.show(self.readings)

    def within(self, words: list[str]) -> list[str]:
        """Return the command that runs *words* in this host's network."""
        return self.network.within(words)

    # Services beside the daemons.

    @property
    def has_watchdog(self) -> bool:
        """Whether a stand-in for wdmd is behind sanlock."""
        return self.spec.has_watchdog and not watchdog.why_not()

    @property
    def was_reset(self) -> bool:
        """Whether the stand-in has killed all that ran here."""
        return self._watchdog is not None and self._watchdog.has_fired

    def start_services(self) -> None:
        """Mount the storage, and start the watchdog and sanlock."""
        if self.site.loses_power_silently:
            self.network.reach_by(_PEER.format(id=self.spec.host_id))
            self.network.speak_again()
        self.mount.mount()
        if self.has_watchdog:
            self._watchdog = Watchdog(self._watchdog_dir, self.site.speed, self._cut_power)
        self.start_sanlock()
        if self._sight is None:
            name = self.hostname
            self._sight = VmSight(self.run_dir, self.vm_file, self.network.pages, name)

    def start_sanlock(self) -> None:
        """Start the daemon, as an init system does with one that has ended."""
        self.daemon = SanlockProcess(
            self._sanlock_dir,
            self.hostname,
            self.site.speed,
            has_watchdog=self.has_watchdog,
            within=self._behind_watchdog,
        )

    def _behind_watchdog(self, words: list[str]) -> list[str]:
        folder = self._watchdog_dir if self.has_watchdog else None
        timeout = round(self.site.policy.watchdog_s * self.site.speed)
        etc = None
        if timeout != watchdog.FIRE_TIMEOUT:
            etc = watchdog.configure(self.folder / "etc", timeout)
        if folder is not None or etc is not None:
            words = watchdog.behind(folder, words, etc)
        return self.within(words)

    @property
    def _watchdog_dir(self) -> Path:
        return self.folder / "wdmd"

    def _cut_power(self) -> None:
        """
        Kill everything here; called by the watchdog, in its thread.

        safety: others may have the lease some seconds of sanlock's clock later, so this does not
        wait until somebody looks at the host.
        """
        self.stop_all()
        self.signal_all(signal.SIGKILL)

    def power_off(self) -> None:
        """Kill everything of this host at once, and tell nobody where power is lost silently."""
        if self.site.loses_power_silently:
            self.network.fall_silent()
        super().power_off()

    def kill_sanlock(self) -> None:
        """Kill the daemon alone."""
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon = None
            self.frozen.discard("sanlock")

    def daemon_process(self, name: str) -> Optional[subprocess.Popen[bytes]]:
        """Return the process of `agent`, `broker` or `sanlock`; None: it does not run."""
        if name == "sanlock":
            return None if self.daemon is None else self.daemon.process
        return super().daemon_process(name)

    def services(self) -> Iterator[subprocess.Popen[bytes]]:
        """Return sanlock's process and the mount's."""
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
        # As all that is about one boot, it lies where a machine that has no power keeps nothing.
        (self.run_dir / DOOM_NOTE).unlink(missing_ok=True)
        if self.daemon is not None:
            self.daemon.clean_up()
        self.mount.unmount()

    def close(self) -> None:
        """Stop observing the VM."""
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
        settings = QemuSettings(host_id=self.host_id, run_dir=self.run_dir, vm=self._vm)
        leases = self.site.leases(self.storage, self._sanlock_dir, self.state_dir / "engine.lock")
        # Its threads, and what they start, belong where it is made.
        with netns.inside(self.network.pages.namespace):
            hypervisor = QemuHypervisor(
                settings, SanlockHolder(settings=leases, host_id=self.host_id)
            )
        try:
            hypervisor.start()
            until = time.monotonic() + _STARTS_WITHIN_S
            while (record := self.vm()) is None or record.phase is not Phase.RUNNING:
                if time.monotonic() > until:
                    why = [result.detail for result in hypervisor.observe().results]
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
        """Return whether the VM executes, as QEMU reports it."""
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
        """Move the VM by a process of this host that is no agent."""
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
        """Make starts, boots or migrations fail."""
        self.site.set_faults(self.name, words)
