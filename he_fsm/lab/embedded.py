"""The embedded back end: kernel locks for leases, processes with a health page for VMs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Optional

import urllib3

from he_fsm.errors import HeFsmError
from he_fsm.lab.host import ENDS_WITHIN_S, LabHost
from he_fsm.lab.lab import Lab
from he_fsm.lab.site import Site, free_port
from he_fsm.lab.spec import HostSpec, LabSpec
from he_fsm.lab.witness import doubles
from he_fsm.runtime.config.settings import HEALTH_PAGE
from he_fsm.runtime.hypervisors.process.faults import Faults
from he_fsm.runtime.hypervisors.process.hypervisor import EmbeddedHypervisor, EmbeddedSettings
from he_fsm.runtime.hypervisors.process.kind import WITNESS
from he_fsm.runtime.hypervisors.vm_file import VmRecord
from he_fsm.runtime.leases.files.hold import EmbeddedHolder
from he_fsm.runtime.leases.files.lockspace import EmbeddedLeases
from he_fsm.runtime.leases.files.records import create_lockspace
from he_fsm.runtime.ports import Peer
from he_fsm.snapshot import OwnerState

_PAGE_TIMEOUT_S: Final = 0.5
# An id that no host of a lab has: who looks at the leases from outside takes none.
_OUTSIDER: Final = 2000
_NO_SANLOCK: Final = "embedded leases have no sanlock"
_STOPPED: Final = "T"
_LOOK_S: Final = 0.002
_STOPPED_AFTER: Final = {"pause": True, "resume": False}
_SIGNALS: Final = {
    "shutdown": signal.SIGTERM,
    "panic": signal.SIGABRT,
    "hang": signal.SIGUSR1,
    "heal": signal.SIGUSR2,
    "pause": signal.SIGSTOP,
    "resume": signal.SIGCONT,
}


class EmbeddedSite(Site):
    """What the hosts share: one port for the engine's health page, wherever its VM runs."""

    def __init__(self, spec: LabSpec, folder: Path) -> None:
        """Make the folders, and take a port."""
        super().__init__(spec, folder)
        self.port = free_port()
        self._pages = urllib3.PoolManager(retries=False, timeout=_PAGE_TIMEOUT_S)

    def page_is_good(self) -> bool:
        """Ask the health page."""
        url = f"http://127.0.0.1:{self.port}{HEALTH_PAGE}"
        try:
            answer = self._pages.request("GET", url)
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status == HTTPStatus.OK and b"DB Up" in answer.data

    def close(self) -> None:
        """Close the connections to the page."""
        self._pages.clear()


class EmbeddedHost(LabHost):
    """A host whose way to the storage is a symbolic link, and whose VM is a process of ours."""

    site: EmbeddedSite

    def __init__(self, site: EmbeddedSite, spec: HostSpec) -> None:
        """Make the folder; nothing runs yet."""
        super().__init__(site, spec)
        self.storage.symlink_to(site.shared)
        self._faults = Faults(self.run_dir)

    def own_config(self) -> Mapping[str, Any]:
        """Return the VM's times; embedded leases need nothing."""
        times, speed = self.site.vm_times, self.site.speed
        return {
            "hypervisor": {
                "port": self.site.port,
                "start": times.start_s / speed,
                "boot": times.boot_s / speed,
                "shutdown": times.shutdown_s / speed,
                "migration": times.migration_s / speed,
                "hosts_dir": str(self.site.by_id),
            },
        }

    def is_paused(self, record: VmRecord) -> bool:
        """Whether the VM's process is stopped."""
        return record.process_state == _STOPPED

    def executes(self, record: VmRecord) -> bool:
        """Whether the VM's process is not stopped."""
        return not self.is_paused(record)

    def page_is_good(self, record: VmRecord) -> bool:  # noqa: ARG002 - they all have one port
        """Whether the one page of the engine is good."""
        return self.site.page_is_good()

    def order_engine(self, word: str) -> None:
        """Send the signal that the VM takes for the word."""
        record = self.vm()
        if record is None:
            return
        try:
            os.kill(record.pid, _SIGNALS[word])
        except ProcessLookupError:
            return
        if word in _STOPPED_AFTER:
            self._await_stopped(record, is_stopped=_STOPPED_AFTER[word])

    def _await_stopped(self, record: VmRecord, *, is_stopped: bool) -> None:
        """Wait until a signal has arrived: a process that gets no processor takes it later."""
        until = time.monotonic() + ENDS_WITHIN_S
        while record.is_here and self.is_paused(record) != is_stopped:
            if time.monotonic() > until:
                msg = f"the VM of host {self.name} does not take its signal"
                raise HeFsmError(msg)
            time.sleep(_LOOK_S)

    def migrate_engine(self, target: int) -> None:
        """Send the order to the VM's process itself."""
        hypervisor = self.hypervisor(boot_s=0.0)
        try:
            hypervisor.migrate(Peer(target))
        finally:
            hypervisor.close()

    def lead_storage(self, word: str) -> None:
        """Point the host's own path at nothing, at what never answers, or at the storage."""
        target = self.site.shared
        if word == "cut":
            target = self.folder / "no-such-storage"
        elif word == "hang":
            target = self.folder / "hung-storage"
            self._make_hung(target)
        new = self.storage.with_name("storage.new")
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        new.replace(self.storage)

    def _make_hung(self, folder: Path) -> None:
        """Make a folder whose files block every process that opens them."""
        leases = folder / "leases"
        if leases.is_dir():
            return
        leases.mkdir(parents=True)
        held = sorted((self.site.shared / "leases").iterdir())
        for name in ("whiteboard", *(f"leases/{path.name}" for path in held)):
            os.mkfifo(folder / name)

    def start_sanlock(self) -> None:
        """Refuse."""
        raise HeFsmError(_NO_SANLOCK)

    def kill_sanlock(self) -> None:
        """Refuse."""
        raise HeFsmError(_NO_SANLOCK)

    def set_faults(self, **words: str) -> None:
        """Throw the embedded hypervisor's switches."""
        self._faults.set(**words)

    def hypervisor(self, *, boot_s: float) -> EmbeddedHypervisor:
        """Return this host's hypervisor, for what no agent does."""
        site = self.site
        policy, times = site.policy, site.vm_times
        holder = EmbeddedHolder(
            folder=self.storage / "leases",
            host_id=self.host_id,
            io_timeout_s=policy.io_timeout_s,
            watchdog_s=policy.watchdog_s,
        )
        settings = EmbeddedSettings(
            host_id=self.host_id,
            run_dir=self.run_dir,
            hosts=str(site.by_id / "{id}"),
            leases=self.storage / "leases",
            witness=self.storage / WITNESS,
            port=site.port,
            io_timeout_s=policy.io_timeout_s,
            watchdog_s=policy.watchdog_s,
            start_s=0.0,
            boot_s=boot_s,
            shutdown_s=times.shutdown_s / site.speed,
            migration_s=times.migration_s / site.speed,
        )
        return EmbeddedHypervisor(settings, holder)


class EmbeddedLab(Lab):
    """A cluster with embedded leases; needs no root and nobody else's service."""

    hosts: Mapping[str, EmbeddedHost]

    def __init__(self, spec: LabSpec, folder: Path) -> None:
        """Make storage and hosts; nothing runs yet."""
        self._site = EmbeddedSite(spec, folder)
        # The process that started a VM has to collect its status when the VM has ended.
        self._starter: Optional[EmbeddedHypervisor] = None
        super().__init__(spec, self._site)
        create_lockspace(self.shared / "leases")
        self._leases = EmbeddedLeases(
            self.shared / "leases",
            _OUTSIDER,
            "rehearsal",
            self.policy.io_timeout_s,
            self.policy.watchdog_s,
        )

    def make_host(self, spec: HostSpec) -> EmbeddedHost:
        """Make one host."""
        return EmbeddedHost(self._site, spec)

    def start_engine(self, host: LabHost) -> None:
        """Start the VM without its boot."""
        self._starter = self.hosts[host.name].hypervisor(boot_s=0.0)
        self._starter.start()

    def lease_owner(self) -> Optional[int]:
        """Read the lease's file."""
        view = self._leases.status().view
        is_over = view.free_at is not None and time.monotonic() >= view.free_at
        return None if view.owner_state is OwnerState.FAILING and is_over else view.owner

    def doubles(self) -> list[str]:
        """Read the log of the witness file."""
        return doubles(self.shared)

    def release(self) -> None:
        """Release the first VM's start, and the health page."""
        if self._starter is not None:
            self._starter.close()
        self._site.close()
