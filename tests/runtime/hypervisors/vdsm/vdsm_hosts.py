"""Two hosts with a lab's vdsm and a sanlock daemon each, on this machine's own network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Optional

import attrs
import pytest
import yaml

from he_fsm.errors import HypervisorError
from he_fsm.lab.guest.build import double_on, make_disk
from he_fsm.lab.guest.saved import guest_vm, page, resting, say
from he_fsm.lab.ovirt.definition import VM_ID, vm_conf
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
from he_fsm.runtime.vdsm.tls import Certificates
from he_fsm.snapshot import VmState
from he_fsm.testing.hypervisors import MigrationContract
from he_fsm.testing.leases import joins
from he_fsm.testing.vm_hosts import VmHosts, free_port
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


class VdsmProcess:
    """A lab's vdsm; its VM outlives it."""

    def __init__(self, folder: Path, vm: VmConfig, sanlock: SanlockSettings, host_id: int) -> None:
        self.folder = folder
        self.host_id = host_id
        self.vm = vm
        self.move = MoveConfig(peers=f"unix:{folder.parent}/{{id}}/m.sock")
        self.port = free_port()
        self.peers: dict[str, int] = {}
        # None: no TLS.
        self.certificates: Optional[Certificates] = None
        self.pid_dir = folder / "pids"
        self.driver_conf = folder / "qemu.conf"
        self._sanlock = sanlock
        self.process: Optional[subprocess.Popen[str]] = None
        (folder / "run").mkdir(parents=True)
        (folder / "state").mkdir()
        # The lab's VM takes its lease from sanlock, as libvirt's plug-in does.
        self.driver_conf.write_text('lock_manager = "sanlock"\n')

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    def write_config(self) -> Path:
        sanlock = self._sanlock
        path = self.folder / "vdsm.yaml"
        config = {
            "host": {"id": self.host_id},
            "run_dir": str(self.run_dir),
            "state_dir": str(self.folder / "state"),
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
        path.write_text(yaml.safe_dump(config))
        return path

    def start(self, recovery_s: float = 0.0) -> None:
        words = [sys.executable, "-m", "he_fsm.lab.vdsm", str(self.write_config())]
        words += ["--vm-id", VM_ID, "--pid-dir", str(self.pid_dir), "--port", str(self.port)]
        words += ["--recovery", str(recovery_s)]
        if self.certificates is not None:
            files = self.certificates
            words += ["--key", str(files.key), "--cert", str(files.certificate)]
            words += ["--ca", str(files.ca)]
        for address, host_id in self.peers.items():
            words += ["--peer", f"{address}={host_id}"]
        with (self.folder / "vdsm.log").open("ab") as log:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said == f"ready {self.port}\n", (self.folder / "vdsm.log").read_text()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            with self.process:
                self.process.send_signal(number)
                # One that was stopped as a whole has to go on to end.
                self.process.send_signal(signal.SIGCONT)
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)


class VdsmLab:
    """The daemons; tests begin with no VM, and leave none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prepared: Prepared = prepare(folder)
        self.disk = folder / "disk"
        make_disk(self.disk)
        (folder / "sanlock").mkdir()
        self.sanlock = SanlockLab(folder / "sanlock", folder / "leases")
        self.ports = {host_id: free_port() for host_id in IDS}
        self.leases: dict[int, Any] = {}
        self.daemons: dict[int, VdsmProcess] = {}

    def set_up(self, *, are_joined: bool = True) -> None:
        for host_id in IDS:
            host = self.sanlock.add(host_id, f"host{host_id}")
            self.leases[host_id] = host.client
            folder = self.folder / str(host_id)
            settings = self.sanlock.at(host_id).settings
            self.daemons[host_id] = VdsmProcess(folder, self.vm(host_id), settings, host_id)
        for host_id in IDS:
            if are_joined:
                until(lambda host_id=host_id: joins(self.leases[host_id]))
            daemon = self.daemons[host_id]
            daemon.peers = {f"127.0.0.{other}:{self.daemons[other].port}": other for other in IDS}
            daemon.start()

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
        daemon.stop()
        for name, part in parts.items():
            setattr(daemon, name, part)
        daemon.start()
        self.changed.add(host_id)

    def tear_down(self) -> None:
        """End everything; fails where two guests executed or something is left."""
        for host_id in self.ids:
            self.restart_agent(host_id)
            daemon = self.lab.daemons[host_id]
            daemon.thaw()
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
