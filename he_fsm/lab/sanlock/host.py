"""A host of a sanlock lab: its daemon, its storage, its network; a back end adds what runs VMs."""

from __future__ import annotations

import signal
import subprocess
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Optional

from he_fsm.lab import host_network, watchdog
from he_fsm.lab.guest.build import HEALTH_PAGE
from he_fsm.lab.guest_files import GuestFiles
from he_fsm.lab.host import LabHost
from he_fsm.lab.mount import way
from he_fsm.lab.sanlock.site import LOCKSPACE, RESOURCE, SanlockSite
from he_fsm.lab.sanlock_process import SanlockProcess
from he_fsm.lab.spec import HostSpec
from he_fsm.lab.vm_sight import VmSight
from he_fsm.lab.watchdog import Watchdog
from he_fsm.runtime.hypervisors.vm_file import VmRecord
from he_fsm.runtime.leases.sanlock.section import DOOM_NOTE

_STOPPED: Final = "T"
# Share of a (scaled) loop within which storage and sanlock have to answer.
_DEADLINE_SHARE: Final = 0.8
_GUEST_WORDS: Final = {"hang": "sick", "heal": "well", "crash": "crash", "panic": "panic"}
# Where migrations are waited for whose packets can be dropped: an address of each host's bridge.
PEER: Final = "10.99.250.{id}"


class SanlockHost(LabHost):
    """A host with a sanlock daemon and a way to the storage of its own."""

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
        self._watchdog: Optional[Watchdog] = None
        self.sight: Optional[VmSight] = None

    # The configuration.

    def own_config(self) -> Mapping[str, Any]:
        """Return sanlock's section, the hypervisor's, and where the health page is."""
        site, pages = self.site, self.network.pages
        return {
            "leases": "sanlock",
            "sanlock": {
                "lockspace": LOCKSPACE,
                "resource": RESOURCE,
                "run_dir": str(self.sanlock_dir),
                "clock_rate": site.speed,
            },
            "hypervisor": self.hypervisor_config(),
            "engine": {
                "memory": site.memory_mib,
                "health": {
                    "url": f"http://{pages.address}:{pages.port}{HEALTH_PAGE}",
                    "timeout": self.network.page_timeout_s,
                },
            },
        }

    @abstractmethod
    def hypervisor_config(self) -> Mapping[str, Any]:
        """Return the hypervisor's section."""

    @property
    def sanlock_dir(self) -> Path:
        """The run folder of the host's sanlock."""
        return self.folder / "sanlock"

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
        """Mount the storage, and start the watchdog, sanlock, and what the VM needs."""
        if self.site.loses_power_silently:
            self.network.reach_by(PEER.format(id=self.spec.host_id))
            self.network.speak_again()
        self.mount.mount()
        if self.has_watchdog:
            self._watchdog = Watchdog(self._watchdog_dir, self.site.speed, self._cut_power)
        self.start_sanlock()
        self.start_hypervisor()
        if self.sight is None:
            self.sight = self.make_sight()

    def start_hypervisor(self) -> None:
        """Start the daemon that runs VMs here."""

    def make_sight(self) -> VmSight:
        """Make what looks at the VMs of this host."""
        return VmSight(self.run_dir, self.last_record, self.network.pages, self.hostname)

    def start_sanlock(self) -> None:
        """Start the daemon, as an init system does with one that has ended."""
        self.daemon = SanlockProcess(
            self.sanlock_dir,
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
        daemon, mount = self.daemon, self.mount.process
        if daemon is not None:
            yield daemon.process
        if mount is not None:
            yield mount

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
        if self.sight is not None:
            self.sight.close()

    # The VM.

    @property
    def has_named(self) -> bool:
        """Whether a VM here was told to let its witness write."""
        return self.sight is not None and self.sight.has_named

    @abstractmethod
    def start_vm(self) -> int:
        """Start the VM while no agent runs; return its process's number when it executes."""

    def is_paused(self, record: VmRecord) -> bool:
        """Whether the VM is stopped, and not because it moves."""
        if record.process_state == _STOPPED:
            return True
        return not record.is_leaving and not self.executes(record)

    def executes(self, record: VmRecord) -> bool:
        """Return whether the VM executes, as QEMU reports it."""
        return self.sight is not None and self.sight.executes(record)

    def page_is_good(self, record: VmRecord) -> bool:
        """Whether this host's own way to the page finds it good."""
        return self.sight is not None and self.sight.page_is_good(record)

    def order_engine(self, word: str) -> None:
        """Press the power button, stop or continue the VM, or let its page go bad."""
        if self.sight is None:
            return
        if word in _GUEST_WORDS:
            self.sight.say(_GUEST_WORDS[word])
        else:
            self.order_vm(self.sight, word)

    @abstractmethod
    def order_vm(self, sight: VmSight, word: str) -> None:
        """Have the hypervisor `shutdown`, `pause` or `resume` the VM that *sight* looks at."""

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
