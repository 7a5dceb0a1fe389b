"""A cluster with real sanlock daemons and real VMs; a back end adds what runs the VMs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Optional

from he_fsm.lab import lease_sight, watchdog
from he_fsm.lab.guest.build import double_on, wrote_to
from he_fsm.lab.host import LabHost
from he_fsm.lab.lab import Lab
from he_fsm.lab.lease_sight import LeaseSight
from he_fsm.lab.network import LabNetwork
from he_fsm.lab.sanlock.host import SanlockHost
from he_fsm.lab.sanlock.site import SanlockSite
from he_fsm.lab.sanlock_process import SanlockProcess
from he_fsm.lab.shared_mounts import SharedMounts
from he_fsm.lab.spec import LabSpec
from he_fsm.runtime.hypervisors.vm_process import has_ended
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings


class SanlockLab(Lab):
    """A cluster whose leases are sanlock's, and whose engine is the tiny guest."""

    hosts: Mapping[str, SanlockHost]

    def __init__(self, spec: LabSpec, site: SanlockSite) -> None:
        """Make the hosts; nothing runs yet."""
        self._site = site
        super().__init__(spec, site)
        self._mounts = SharedMounts(site.folder / "hosts")
        self._outsider: Optional[SanlockProcess] = None
        self._sight: Optional[LeaseSight] = None
        # VMs that this process has started: it has to ask for their status.
        self._started: list[int] = []

    @property
    def network(self) -> Optional[LabNetwork]:
        """The hosts' network of namespaces; None: this machine can't have one."""
        return self._site.network

    def set_up(self) -> None:
        """Make the network, leases, disk and guest, and let somebody look at the leases."""
        if self.network is not None or not watchdog.why_not():
            self._mounts.begin()
        if self.network is not None:
            self.network.set_up()
        self._site.prepare(self.hosts)
        run_dir = self.folder / "outsider"
        settings = self.leases(self.shared, run_dir, run_dir / "engine.lock")
        io_timeout = settings.daemon_io_timeout(self.policy.io_timeout_s)
        self._outsider = SanlockProcess(run_dir, "outsider", self.speed)
        lease_sight.set_up(settings, io_timeout)
        lease_sight.join(settings, io_timeout)
        rules = Rules(io_timeout_s=self.policy.io_timeout_s, watchdog_s=self.policy.watchdog_s)
        self._sight = LeaseSight(settings, rules)

    def leases(self, storage: Path, run_dir: Path, vm_lock: Path) -> SanlockSettings:
        """Return where the leases are on the path to the storage of one host."""
        return self._site.leases(storage, run_dir, vm_lock)

    def start_engine(self, host: LabHost) -> None:
        """Start the VM, and wait until it executes."""
        self._started.append(self.hosts[host.name].start_vm())

    def lease_owner(self) -> Optional[int]:
        """Read the lease's owner from the outsider's daemon."""
        if self._sight is None:
            return None
        return self._sight.owner()

    def doubles(self) -> list[str]:
        """Return the verdict of the guests' own witness, which has to have written."""
        disk = self._site.disk
        found = double_on(disk)
        if found is not None:
            return [f"the guest's witness saw two engine VMs execute: {found}"]
        if any(host.has_named for host in self.hosts.values()) and not wrote_to(disk):
            return ["the guest's witness has written nothing: it can't tell whether two executed"]
        return []

    def own_pids(self) -> set[int]:
        """Return the daemon of who looks from outside."""
        return set() if self._outsider is None else {self._outsider.process.pid}

    def left_behind(self) -> Iterator[str]:
        """Return a sentence for each thing of the lab that is still there when it was closed."""
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
            ends.callback(self._site.close)
