"""Two hosts with a lab's vdsm and a sanlock daemon each, on this machine's own network."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Optional

import attrs
import pytest

from he_fsm.errors import HypervisorError
from he_fsm.lab.guest.build import double_on, make_disk
from he_fsm.lab.guest.saved import guest_vm, page, resting, say
from he_fsm.lab.ovirt.daemon import VdsmProcess
from he_fsm.lab.ovirt.definition import VM_ID, vm_conf
from he_fsm.lab.site import lasting_port
from he_fsm.runtime.config.plain import plain
from he_fsm.runtime.hypervisors.daemon_vm import DaemonVm
from he_fsm.runtime.hypervisors.qemu.section import MoveConfig, VmConfig
from he_fsm.runtime.hypervisors.vdsm.access import VdsmVm
from he_fsm.runtime.hypervisors.vdsm.here import VdsmSettings
from he_fsm.runtime.hypervisors.vdsm.hypervisor import VdsmHypervisor
from he_fsm.runtime.hypervisors.vdsm.kind import connects
from he_fsm.runtime.hypervisors.vdsm.section import VdsmConfig, VdsmMigrateConfig
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.sanlock.sight import SanlockSight
from he_fsm.runtime.ports import Hypervisor, LeasePlace, Peer
from he_fsm.snapshot import VmState
from he_fsm.testing.hypervisors import MigrationContract
from he_fsm.testing.leases import joins
from he_fsm.testing.vm_hosts import VmHosts
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.qemu.qemu_hosts import PAGE_S, Prepared, prepare, short_folder
from tests.runtime.leases.sanlock.sanlock_lab import WHY_NOT as NO_SANLOCK
from tests.runtime.leases.sanlock.sanlock_lab import SanlockLab

IDS = (1, 2)
NEEDS_VDSM = [
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(NO_SANLOCK), reason=NO_SANLOCK or "sanlock is here"),
]


class VdsmDaemon(VdsmProcess):
    """A lab's vdsm with its VM, on this machine's own network."""

    def __init__(self, folder: Path, vm: VmConfig, sanlock: SanlockSettings, host_id: int) -> None:
        super().__init__(folder, lasting_port(), peers={})
        self.host_id = host_id
        self.vm = vm
        self.move = MoveConfig(peers=f"unix:{folder.parent}/{{id}}/m.sock")
        self._sanlock = sanlock

    def begin(self, recovery_s: float = 0.0) -> None:
        """Start it as it is configured now."""
        self.start(self.config(), recovery_s)

    def config(self) -> dict[str, Any]:
        sanlock = self._sanlock
        return {
            "host": {"id": self.host_id},
            "run_dir": str(self.run_dir),
            "state_dir": str(self.state_dir),
            "storage": {"path": str(self.folder)},
            "leases": "sanlock",
            "sanlock": {
                "lockspace": sanlock.lockspace,
                "path": sanlock.path,
                "resource": sanlock.resource,
                "resource_path": sanlock.resource_path,
                "resource_offset": sanlock.resource_offset,
                "run_dir": sanlock.run_dir,
                "clock_rate": sanlock.clock_rate,
            },
            "hypervisor": {"kind": "qemu", "vm": plain(self.vm), "move": plain(self.move)},
            "engine": {"health": {"url": "http://127.0.0.1/"}},
            "monitors": {"network": {"test": "none"}},
            "policy": {
                "io_timeout_s": SanlockLab.io_timeout_s,
                "watchdog_s": SanlockLab.watchdog_s,
                "kill_grace_s": 4.0,
            },
            "ovirt": "none",
        }


class VdsmLab:
    """The daemons; tests begin with no VM, and leave none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prepared: Prepared = prepare(folder)
        self.disk = folder / "disk"
        make_disk(self.disk)
        (folder / "sanlock").mkdir()
        self.sanlock = SanlockLab(folder / "sanlock", folder / "leases")
        self.ports = {host_id: lasting_port() for host_id in IDS}
        self.leases: dict[int, Any] = {}
        self.daemons: dict[int, VdsmDaemon] = {}

    def set_up(self, *, are_joined: bool = True) -> None:
        for host_id in IDS:
            host = self.sanlock.add(host_id, f"host{host_id}")
            self.leases[host_id] = host.client
            folder = self.folder / str(host_id)
            settings = self.sanlock.at(host_id).settings
            self.daemons[host_id] = VdsmDaemon(folder, self.vm(host_id), settings, host_id)
        for host_id in IDS:
            if are_joined:
                until(lambda host_id=host_id: joins(self.leases[host_id]))
            daemon = self.daemons[host_id]
            daemon.peers = {f"127.0.0.{other}:{self.daemons[other].port}": other for other in IDS}
            daemon.begin()

    @property
    def rules(self) -> Rules:
        return Rules(io_timeout_s=self.sanlock.io_timeout_s, watchdog_s=self.sanlock.watchdog_s)

    def vm(self, host_id: int) -> VmConfig:
        guest = resting(self.prepared.guest)
        vm = guest_vm(guest, self.disk, self.ports[host_id], accel="tcg")
        return attrs.evolve(vm, saved_state=self.prepared.saved)

    def place(self) -> LeasePlace:
        return SanlockHolder(settings=self.sanlock.at(1).settings, host_id=1).place

    def close(self) -> None:
        for host_id, daemon in self.daemons.items():
            daemon.kill()
            # A test that failed may have left a VM, which outlives its daemon.
            access = DaemonVm(self.folder, self.vm(host_id).name, daemon.pid_dir)
            vm = access.identity()
            if vm is not None:
                access.kill_now(vm)
        self.sanlock.close()


@contextmanager
def set_up() -> Iterator[VdsmLab]:
    """Yield a lab that is set up."""
    with short_folder() as folder:
        lab = VdsmLab(folder)
        try:
            lab.set_up()
            yield lab
        finally:
            lab.close()


class VdsmHosts(VmHosts):
    """Two agents' adapters on a lab."""

    def __init__(self, folder: Path, lab: VdsmLab) -> None:
        self.lab = lab
        # Hosts whose vdsm is another than the lab's usual one.
        self.changed: set[int] = set()
        self.conf = folder / "vm.conf"
        self.write_conf(lab.place())
        self.configs = {
            host_id: VdsmConfig(
                host="127.0.0.1",
                port=daemon.port,
                tls=False,
                conf=self.conf,
                name=daemon.vm.name,
                pid_dir=daemon.pid_dir,
                driver_conf=daemon.driver_conf,
                deadline_s=2.0,
                migrate=VdsmMigrateConfig(peers="{address}"),
            )
            for host_id, daemon in lab.daemons.items()
        }
        super().__init__(folder, lab.sanlock.io_timeout_s)

    def write_conf(self, place: Optional[LeasePlace]) -> None:
        """Write a definition with the lease at *place*; None: it has none."""
        vm = self.lab.vm(1)
        self.conf.write_text(vm_conf(place, vm.name, vm.memory))

    def join_all(self) -> dict[int, Any]:
        return self.lab.leases

    def sight(self, host_id: int) -> SanlockSight:
        return SanlockSight(self.lab.sanlock.at(host_id).settings, host_id, self.lab.rules)

    def make(self, host_id: int) -> Hypervisor:
        settings = VdsmSettings(
            host_id=host_id,
            run_dir=self.run_dir(host_id),
            vm_id=VM_ID,
            config=self.configs[host_id],
            lease_wait_s=10.0,
        )
        return VdsmAt(settings, self.sight(host_id), self.lab)

    def access(self, host_id: int) -> VdsmVm:
        config = self.configs[host_id]
        return VdsmVm(self.run_dir(host_id), config, VM_ID, connects(config))

    def change(self, host_id: int, **settings: Any) -> None:
        """Set another configuration for the next agent of a host."""
        self.configs[host_id] = attrs.evolve(self.configs[host_id], **settings)
        self.restart_agent(host_id)

    def page(self) -> Optional[int]:
        """Return the page of the one that executes: one that arrives accepts, and says nothing."""
        statuses = [page(self.lab.ports[each], timeout_s=PAGE_S) for each in self.running()]
        return next((status for status in statuses if status is not None), None)

    def say(self, host_id: int, word: str) -> Optional[str]:
        return say(self.lab.ports[host_id], word, timeout_s=5.0)

    def by_hand(self, host_id: int, method: str, **params: Any) -> Any:
        """Do something to the VM as a person does, by vdsm."""
        client = connects(self.configs[host_id])(None)
        try:
            return client.call(method, {"vmID": VM_ID, **params}, 10.0)
        finally:
            client.close()

    def pause(self, host_id: int) -> None:
        self.by_hand(host_id, "VM.pause")

    def resume(self, host_id: int) -> None:
        self.by_hand(host_id, "VM.cont")

    def starts_slowly(self, host_id: int) -> None:
        slow = self.folder / "slow-qemu"
        slow.write_text('#!/bin/sh\nsleep 1\nexec qemu-system-x86_64 "$@"\n')
        slow.chmod(0o755)
        self.change_daemon(host_id, vm=attrs.evolve(self.lab.vm(host_id), binary=slow))

    def shuts_down_slowly(self, host_id: int) -> None:
        """A guest's shut down takes 0.05 s and more."""

    def migrates_slowly(self, host_id: int) -> None:
        self.change_daemon(host_id, move=attrs.evolve(self.lab.daemons[host_id].move, bandwidth=1))

    def change_daemon(self, host_id: int, **parts: Any) -> None:
        """Start vdsm anew, with other parts."""
        daemon = self.lab.daemons[host_id]
        daemon.end()
        for name, part in parts.items():
            setattr(daemon, name, part)
        daemon.begin()
        self.changed.add(host_id)

    def tear_down(self) -> None:
        """End everything; fails where two guests executed or something is left."""
        for host_id in self.ids:
            self.restart_agent(host_id)
            daemon = self.lab.daemons[host_id]
            daemon.go_on()
            if daemon.process is None or host_id in self.changed:
                move = attrs.evolve(daemon.move, bandwidth=0)
                usual = {"vm": self.lab.vm(host_id), "move": move, "certificates": None}
                self.change_daemon(host_id, **usual)
                self.change(host_id, tls=False)
        for host_id in self.ids:
            with suppress(HypervisorError):
                self.by_hand(host_id, "VM.destroy")
            until(lambda host_id=host_id: self.access(host_id).identity() is None)
        until(lambda: self.owner() is None)
        assert double_on(self.lab.disk) is None
        for host_id in self.ids:
            left = {path.name for path in self.run_dir(host_id).iterdir()}
            assert left <= {"vm.lock", "vm.json"}

    def freeze(self, host_id: int) -> None:
        """Stop the VM's process as a whole."""
        os.kill(self.pid(host_id), signal.SIGSTOP)


class VdsmAt(VdsmHypervisor):
    """The adapter, told by tests where peers are that have an id alone."""

    def __init__(self, settings: VdsmSettings, sight: SanlockSight, lab: VdsmLab) -> None:
        self._lab = lab
        super().__init__(settings, sight, connects(settings.config))

    def migrate(self, peer: Peer) -> None:
        port = self._lab.daemons[peer.host_id].port
        super().migrate(Peer(peer.host_id, address=f"127.0.0.{peer.host_id}:{port}"))


class VdsmContract(MigrationContract):
    """What the back end keeps."""

    def test_from_the_order_on_a_vm_is_leaving(self, hosts: VmHosts) -> None:
        """vdsm tells that a VM has moved a moment after it executes on the other host."""
        hosts.start(1)
        hosts.hypervisor(2)
        hosts.hypervisor(1).migrate(Peer(2))
        assert hosts.state(1) is VmState.LEAVING
        until(lambda: hosts.is_good_on(2))
        hosts.reaches(1, VmState.ABSENT)
