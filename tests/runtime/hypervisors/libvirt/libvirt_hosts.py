"""Two hosts with a libvirt daemon and a sanlock daemon each, in a network of namespaces."""

from __future__ import annotations

import functools
import importlib.util
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Optional, TypeVar

import attrs
import pytest

from he_fsm.errors import HypervisorError
from he_fsm.lab import netns
from he_fsm.lab.guest.build import Guest, build, double_on, make_disk
from he_fsm.lab.guest.kernel import find_kernel
from he_fsm.lab.guest.saved import page, say
from he_fsm.lab.libvirt import daemon
from he_fsm.lab.libvirt.daemon import LibvirtProcess
from he_fsm.lab.libvirt.domain import NAME, domain_xml
from he_fsm.lab.network import ENGINE, LabNetwork
from he_fsm.runtime.hypervisors.libvirt.access import LibvirtVm
from he_fsm.runtime.hypervisors.libvirt.holder.settings import HolderSettings
from he_fsm.runtime.hypervisors.libvirt.section import HOLDER, PLUGIN, LibvirtConfig, MigrateConfig
from he_fsm.runtime.hypervisors.vm_file import STATE
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
from he_fsm.runtime.leases.sanlock.kind import KIND as SANLOCK
from he_fsm.runtime.leases.sanlock.sight import SanlockSight
from he_fsm.runtime.ports import Hypervisor, LeasePlace, Peer
from he_fsm.snapshot import VmState
from he_fsm.testing.hypervisors import MigrationContract
from he_fsm.testing.leases import joins
from he_fsm.testing.vm_hosts import VmHosts
from he_fsm.testing.waiting import until
from tests.lab.guest import skipped_without_packages
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder
from tests.runtime.leases.sanlock.sanlock_lab import WHY_NOT as NO_SANLOCK
from tests.runtime.leases.sanlock.sanlock_lab import SanlockLab

HTTP = 80
CONSOLE = "guest.console"
PAGE_S = 1.0
IDS = (1, 2)


def _why_not() -> str:
    if importlib.util.find_spec("libvirt") is None:
        return "libvirt's Python module is not installed (libvirt-python)"
    return NO_SANLOCK or daemon.why_not() or netns.why_not()


WHY_NOT = _why_not()
NEEDS_LIBVIRT = [
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "libvirt is here"),
]


LabKind = TypeVar("LabKind", bound="LibvirtLab")


class LibvirtLab:
    """The daemons and the network; tests begin with no VM, and leave none."""

    # Whether libvirt's plug-in takes the lease, or a holder does.
    is_plugin = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with skipped_without_packages():
            self.guest: Guest = build(folder, find_kernel())
        self.disk = folder / "disk"
        make_disk(self.disk)
        self.network = LabNetwork([str(host_id) for host_id in IDS])
        self.sanlock = SanlockLab(folder / "sanlock", folder / "leases")
        self.leases: dict[int, Any] = {}
        self.daemons: dict[int, LibvirtProcess] = {}

    def set_up(self) -> None:
        (self.folder / "sanlock").mkdir()
        self.network.set_up()
        for host_id in IDS:
            host = self.sanlock.add(host_id, f"host{host_id}")
            self.leases[host_id] = host.client
            self.daemons[host_id] = LibvirtProcess(
                self.folder / f"libvirt{host_id}",
                Path(host.settings.run_dir),
                f"10.99.1.{host_id}",
                within=functools.partial(self.network.within, str(host_id)),
                has_lock_manager=self.is_plugin,
            )
            self.daemons[host_id].start()
        for host_id in IDS:
            until(functools.partial(joins, self.leases[host_id]))
            self.define(host_id, self.xml())

    def place(self) -> LeasePlace:
        return SanlockHolder(settings=self.sanlock.at(1).settings, host_id=1).place

    def xml(self, place: Optional[LeasePlace] = None) -> str:
        usual = self.place() if self.is_plugin else None
        return domain_xml(self.guest, self.disk, place or usual)

    def define(self, host_id: int, xml: str) -> None:
        with self.domain(host_id) as connection:
            connection.raw.defineXML(xml)

    @contextmanager
    def domain(self, host_id: int) -> Iterator[Any]:
        """Return a connection of a person's, not the agent's."""
        from he_fsm.runtime.hypervisors.libvirt.connection import Connection

        connection = Connection.opened(self.daemons[host_id].uri, 10.0)
        try:
            yield connection
        finally:
            connection.close()

    @staticmethod
    def peer(host_id: int) -> Peer:
        return Peer(host_id)

    def joins(self, host_id: int) -> bool:
        return joins(self.leases[host_id])

    def close(self) -> None:
        for each in self.daemons.values():
            # A test that failed may have left a domain, which outlives its daemon.
            access = LibvirtVm(self.folder, LibvirtConfig(pid_dir=each.pid_dir))
            vm = access.identity()
            if vm is not None:
                access.kill_now(vm)
            each.close()
        self.sanlock.close()
        self.network.remove()


@contextmanager
def set_up(kind: type[LabKind]) -> Iterator[LabKind]:
    """Yield a lab that is set up."""
    with short_folder() as folder:
        lab = kind(folder)
        try:
            lab.set_up()
            yield lab
        finally:
            lab.close()


class LibvirtHosts(VmHosts):
    """Two agents' adapters on a lab."""

    # Files in a run folder that outlive a domain, besides its record.
    may_leave: tuple[str, ...] = ()

    def __init__(self, folder: Path, lab: LibvirtLab) -> None:
        self.lab = lab
        self.configs = {
            host_id: LibvirtConfig(
                uri=lab.daemons[host_id].uri,
                pid_dir=lab.daemons[host_id].pid_dir,
                driver_conf=lab.daemons[host_id].driver_conf,
                lease=PLUGIN if lab.is_plugin else HOLDER,
                migrate=MigrateConfig(peers="qemu+tcp://10.99.1.{id}/system", unsafe=True),
            )
            for host_id in IDS
        }
        super().__init__(folder, lab.sanlock.io_timeout_s)

    def join_all(self) -> dict[int, Any]:
        return self.lab.leases

    def sight(self, host_id: int) -> SanlockSight:
        rules = Rules(io_timeout_s=self.io_timeout_s, watchdog_s=self.lab.sanlock.watchdog_s)
        return SanlockSight(self.lab.sanlock.at(host_id).settings, host_id, rules)

    def make(self, host_id: int) -> Hypervisor:
        from he_fsm.runtime.hypervisors.libvirt.here import LibvirtSettings
        from he_fsm.runtime.hypervisors.libvirt.hypervisor import LibvirtHypervisor

        state_dir = self.run_dir(host_id).with_name(f"state-{host_id}")
        state_dir.mkdir(exist_ok=True)
        settings = LibvirtSettings(
            host_id=host_id,
            run_dir=self.run_dir(host_id),
            config=self.configs[host_id],
            lease_wait_s=10.0,
            state_dir=state_dir,
            holder=self.holder(host_id),
        )
        return LibvirtHypervisor(settings, self.sight(host_id))

    def holder(self, host_id: int) -> Optional[HolderSettings]:
        """Return what keeps the lease of a host's domain; None: libvirt's plug-in does."""
        if self.configs[host_id].is_plugin:
            return None
        return HolderSettings(
            own=SANLOCK.own,
            lease=self.lab.sanlock.at(host_id).settings.to_text(),
            host_id=host_id,
            state=self.run_dir(host_id) / STATE,
        )

    def change(self, host_id: int, **settings: Any) -> None:
        """Set another configuration for the next agent of a host."""
        self.configs[host_id] = attrs.evolve(self.configs[host_id], **settings)
        self.restart_agent(host_id)

    def change_migrate(self, host_id: int, **settings: Any) -> None:
        before = self.configs[host_id].migrate
        self.change(host_id, migrate=attrs.evolve(before, **settings))

    def access(self, host_id: int) -> LibvirtVm:
        return LibvirtVm(self.run_dir(host_id), self.configs[host_id])

    def page(self) -> Optional[int]:
        with netns.inside(self.lab.network.namespace("1")):
            return page(HTTP, timeout_s=PAGE_S, address=ENGINE)

    def say(self, word: str) -> Optional[str]:
        with netns.inside(self.lab.network.namespace("1")):
            return say(HTTP, word, timeout_s=5.0, address=ENGINE)

    def by_hand(self, host_id: int, word: str, *arguments: Any) -> Any:
        """Do something to the domain as a person does, by the name of libvirt's own method."""
        with self.lab.domain(host_id) as connection:
            domain = connection.domain(NAME)
            return connection.call(word, lambda: getattr(domain, word)(*arguments), 30.0)

    def pause(self, host_id: int) -> None:
        self.by_hand(host_id, "suspend")

    def resume(self, host_id: int) -> None:
        self.by_hand(host_id, "resume")

    def start(self, host_id: int) -> None:
        """Start the VM, and wait until its page is good and its power button is seen to."""
        super().start(host_id)
        console = self.lab.daemons[host_id].folder / "log" / CONSOLE
        until(lambda: b"GUEST-UP" in console.read_bytes())

    def starts_slowly(self, host_id: int) -> None:
        """A start takes 0.4 s and more."""

    def shuts_down_slowly(self, host_id: int) -> None:
        """A guest's shut down takes 0.05 s and more."""

    def migrates_slowly(self, host_id: int) -> None:
        self.change_migrate(host_id, bandwidth=1)

    def tear_down(self) -> None:
        """End everything; fails where two guests executed or something is left."""
        for host_id in self.ids:
            self.restart_agent(host_id)
            self.lab.daemons[host_id].go_on()
        for host_id in self.ids:
            access = self.access(host_id)
            vm = access.identity()
            if vm is not None:
                access.kill_now(vm)
            until(lambda access=access: access.identity() is None)
            self.lab.define(host_id, self.lab.xml())
            with suppress(HypervisorError):
                self.by_hand(host_id, "destroy")
        until(lambda: self.owner() is None)
        assert double_on(self.lab.disk) is None
        for host_id in self.ids:
            left = {path.name for path in self.run_dir(host_id).iterdir()}
            assert left <= {"vm.lock", "vm.json", *self.may_leave}

    def freeze(self, host_id: int) -> None:
        """Stop the domain's process as a whole."""
        self.signal(host_id, signal.SIGSTOP)


class LibvirtContract(MigrationContract):
    """What the back end keeps, whoever takes the lease."""

    def test_from_the_order_on_a_vm_is_leaving(self, hosts: VmHosts) -> None:
        """libvirt forgets the domain a moment after it executes on the other host."""
        hosts.start(1)
        hosts.hypervisor(2)
        hosts.hypervisor(1).migrate(Peer(2))
        assert hosts.state(1) is VmState.LEAVING
        until(lambda: hosts.is_good_on(2))
        hosts.reaches(1, VmState.ABSENT)
