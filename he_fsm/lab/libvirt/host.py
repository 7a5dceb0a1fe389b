"""A host of a sanlock lab with a libvirt daemon of its own, which runs the VM."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, Optional

import libvirt
import psutil

from he_fsm.errors import HeFsmError, HypervisorError
from he_fsm.lab import own_view
from he_fsm.lab.libvirt.daemon import SOCKET, LibvirtProcess
from he_fsm.lab.libvirt.domain import NAME
from he_fsm.lab.libvirt.sight import DomainSight
from he_fsm.lab.libvirt.site import LibvirtSite
from he_fsm.lab.sanlock.host import PEER, SanlockHost
from he_fsm.lab.spec import HostSpec
from he_fsm.lab.vm_sight import VmSight
from he_fsm.runtime.config.plain import plain
from he_fsm.runtime.hypervisors.libvirt.access import LibvirtVm
from he_fsm.runtime.hypervisors.libvirt.connection import Connection
from he_fsm.runtime.hypervisors.libvirt.deeds.moving import parameters
from he_fsm.runtime.hypervisors.libvirt.section import LibvirtConfig, MigrateConfig
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord
from he_fsm.runtime.ports import Peer

_STARTS_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.02
# Within it a daemon does what it is told by hand, or it hangs (seconds).
_ORDER_S: Final = 2.0
_ORDERS: Final = {"shutdown": "shutdown", "pause": "suspend", "resume": "resume"}
# A move by hand has no limit but this (seconds).
_MOVED_S: Final = 600.0
_BY_HAND: Final = (
    libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_UNSAFE
)
# In a second: a guest's memory takes some seconds, so that a fault finds the move under way.
_SLOWLY_MIB: Final = 4
# What the daemon is called among the host's daemons that stand still.
LIBVIRTD: Final = "libvirtd"


class LibvirtHost(SanlockHost):
    """A host whose VM is a domain; libvirt takes its lease from the host's sanlock."""

    site: LibvirtSite

    def __init__(self, site: LibvirtSite, spec: HostSpec) -> None:
        """Make the folders; nothing runs yet."""
        super().__init__(site, spec)
        self.libvirt = LibvirtProcess(
            self.folder / "libvirt",
            self.sanlock_dir,
            PEER.format(id=self.host_id) if site.loses_power_silently else None,
            within=self.within,
        )
        self._move: Optional[threading.Thread] = None
        # The other hosts of the lab.
        self.others: tuple[LibvirtHost, ...] = ()

    # The configuration.

    @property
    def storage_place(self) -> str:
        """Where the host's own processes find the storage: at one path on all hosts."""
        return str(self.site.storage)

    def within(self, words: list[str]) -> list[str]:
        """Return the command that runs *words* in this host's network, with its own files."""
        return super().within(own_view.words(words, {self.folder: self.site.here}))

    def hypervisor_config(self) -> Mapping[str, Any]:
        """Return libvirt's section."""
        section: Mapping[str, Any] = plain(self._section)
        return section

    @property
    def _section(self) -> LibvirtConfig:
        return LibvirtConfig(
            uri=self.libvirt.uri,
            domain=NAME,
            definition=self.site.definition,
            pid_dir=self.libvirt.pid_dir,
            driver_conf=self.libvirt.driver_conf,
            migrate=self._migrate,
        )

    @property
    def _migrate(self) -> MigrateConfig:
        if self.site.loses_power_silently:
            peers = f"qemu+tcp://{PEER}/system"
            return MigrateConfig(peers=peers, unsafe=True, bandwidth=_SLOWLY_MIB)
        # By sockets of this machine: the gateway's link is not the way of migrations.
        other = f"{self.site.by_id}/{{id}}"
        return MigrateConfig(
            peers=f"qemu+unix:///system?socket={other}/../libvirt/run/{SOCKET}",
            data=f"unix://{other}/migrate.sock",
            unsafe=True,
        )

    # Services beside the daemons.

    def start_hypervisor(self) -> None:
        """Start libvirt's daemon, as an init system does with one that has ended."""
        self.frozen.discard(LIBVIRTD)
        self.libvirt.start()

    def services(self) -> Iterator[subprocess.Popen[bytes]]:
        """Return the processes of a host with sanlock, and the parents of libvirt's."""
        yield from super().services()
        yield from tuple(self.libvirt.views)

    def processes(self) -> Iterator[psutil.Process]:
        """Return every living process of this host, libvirt's and what that has started too."""
        yield from super().processes()
        for view in tuple(self.libvirt.views):
            with suppress(psutil.NoSuchProcess):
                yield from psutil.Process(view.pid).children(recursive=True)

    def frozen_pids(self) -> set[int]:
        """Return the processes that stand still by themselves."""
        pid = self.libvirt.pid if LIBVIRTD in self.frozen else None
        return super().frozen_pids() | ({pid} if pid is not None else set())

    def end_services(self) -> None:
        """Forget what a machine without power forgets."""
        super().end_services()
        self.libvirt.forget_boot()

    # The VM.

    def make_sight(self) -> VmSight:
        """Make what looks at the domain here, and knows the other hosts'."""
        access = LibvirtVm(self.run_dir, self._section)
        return DomainSight(self.run_dir, access, self.network.pages, self.hostname, self._sights)

    def _sights(self) -> Iterator[tuple[int, DomainSight]]:
        for other in self.others:
            if isinstance(other.sight, DomainSight):
                yield other.host_id, other.sight

    def last_record(self) -> Optional[VmRecord]:
        """Return what was seen of the last process of the domain here."""
        return self.sight.record() if isinstance(self.sight, DomainSight) else None

    def lease_is_taken(self) -> bool:
        """Return whether the last domain here has ever executed: libvirt takes the lease then."""
        record = self.last_record()
        return record is not None and record.phase not in (Phase.STARTING, Phase.ARRIVING)

    @contextmanager
    def by_hand(self) -> Iterator[Connection]:
        """Return a connection to the daemon, as a person has one; raises `HypervisorError`."""
        connection = Connection.opened(self.libvirt.uri, _ORDER_S)
        try:
            yield connection
        finally:
            connection.close()

    def start_vm(self) -> int:
        """Start the domain while no agent runs; return its process's number when it executes."""
        with self.by_hand() as connection:
            domain = connection.define(self.site.xml())
            connection.call("start the domain", domain.create, _STARTS_WITHIN_S)
        until = time.monotonic() + _STARTS_WITHIN_S
        while (record := self.vm()) is None or record.phase is not Phase.RUNNING:
            if time.monotonic() > until:
                msg = f"the domain does not start on host {self.name}"
                raise HeFsmError(msg)
            time.sleep(_LOOK_S)
        return record.pid

    def order_vm(self, sight: VmSight, word: str) -> None:  # noqa: ARG002 - libvirt has the lease
        """Have libvirt do it; by QEMU's monitor a VM would execute without its lease."""
        # A domain that is not there, or must not go on, is refused: that is no error here.
        with suppress(HypervisorError), self.by_hand() as connection:
            domain = connection.domain(NAME)
            if domain is not None:
                connection.call(word, getattr(domain, _ORDERS[word]), _ORDER_S)

    def migrate_engine(self, target: int) -> None:
        """Have libvirt move the domain, as a person does."""
        if self._move is None or not self._move.is_alive():
            self._move = threading.Thread(
                target=self._move_to, args=(target,), name="moved-by-hand", daemon=True
            )
            self._move.start()

    def _move_to(self, target: int) -> None:
        migrate, peer = self._section.migrate, Peer(target)
        uri, wanted = migrate.address_of(peer), parameters(migrate, peer)
        # One that comes to nothing is seen by what becomes of the domain.
        with suppress(HypervisorError), self.by_hand() as connection:
            domain = connection.domain(NAME)
            if domain is not None:
                connection.call(
                    "move the domain",
                    lambda: domain.migrateToURI3(uri, wanted, _BY_HAND),
                    _MOVED_S,
                )

    def set_faults(self, **words: str) -> None:
        """Make starts, boots or migrations fail, or the daemon stand still."""
        hypervisor = words.pop("hypervisor", None)
        if hypervisor == "lost":
            self.freeze_libvirt()
        elif hypervisor is not None:
            self.thaw_libvirt()
        super().set_faults(**words)

    def freeze_libvirt(self) -> None:
        """Stop libvirt's daemon until it is thawed; its VMs run on."""
        if self.is_powered and not self.is_frozen:
            self.libvirt.stop()
            self.frozen.add(LIBVIRTD)

    def thaw_libvirt(self) -> None:
        """Continue libvirt's daemon, unless the whole host stands still."""
        if LIBVIRTD in self.frozen:
            self.frozen.discard(LIBVIRTD)
            if not self.is_frozen:
                self.libvirt.go_on()

    def kill_libvirt(self) -> None:
        """Kill libvirt's daemon alone; its VMs run on."""
        self.libvirt.kill()
        self.frozen.discard(LIBVIRTD)

    def close(self) -> None:
        """Wait for a move by hand, which has ended with its daemon, and stop observing."""
        if self._move is not None:
            self._move.join(_STARTS_WITHIN_S)
        super().close()

    def domains(self) -> list[str]:
        """Return the names of the domains that have a process here, as libvirt says."""
        with self.by_hand() as connection:
            flags = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
            found = connection.call("list", lambda: connection.raw.listAllDomains(flags))
        return [domain.name() for domain in found]
