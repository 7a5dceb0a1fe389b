"""Hosts of this machine with a QEMU hypervisor each, whose VM is the tiny guest, for tests."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import attrs
import pytest
import yaml

from he_fsm.lab.guest.build import Guest, build, double_on, make_disk
from he_fsm.lab.guest.kernel import find_kernel
from he_fsm.lab.guest.saved import guest_vm, page, resting, saved_state, say
from he_fsm.runtime.config.plain import plain
from he_fsm.runtime.hypervisors.qemu.access import QemuVm
from he_fsm.runtime.hypervisors.qemu.command import MONITOR, SECOND_MONITOR, SERIAL, command
from he_fsm.runtime.hypervisors.qemu.host import QemuSettings
from he_fsm.runtime.hypervisors.qemu.hypervisor import QemuHypervisor
from he_fsm.runtime.hypervisors.qemu.monitor import Monitor
from he_fsm.runtime.hypervisors.qemu.section import MoveConfig
from he_fsm.runtime.hypervisors.vm_file import VmFile
from he_fsm.runtime.hypervisors.vm_process import has_ended, send_signal, spawn
from he_fsm.runtime.leases.files.movable import MovableEmbedded
from he_fsm.testing.vm_hosts import WATCHDOG_S, free_port
from he_fsm.testing.waiting import until
from tests.lab.guest import skipped_without_packages
from tests.runtime.hypervisors.vm_hosts import RecordedHosts

# A page of an emulated guest takes 20 ms.
PAGE_S = 1.0


@contextmanager
def short_folder() -> Iterator[Path]:
    """Return a folder whose sockets' paths stay below the 108 bytes that the kernel allows."""
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        yield Path(folder)


@attrs.frozen
class Prepared:
    """What the tests' VMs are made of; the saved state is of the guest that rests."""

    guest: Guest
    saved: Path


def prepare(folder: Path) -> Prepared:
    """Build the guest, or skip the test with what is missing."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not installed: qemu-system-x86")
    with skipped_without_packages():
        guest = build(folder, find_kernel())
    disk, port = folder / "disk", free_port()
    make_disk(disk)
    return Prepared(guest, saved_state(guest_vm(resting(guest), disk, port, accel="tcg"), port))


class QemuHosts(RecordedHosts):
    """Some hosts, their VMs resumed from a saved state unless they are told to boot."""

    def __init__(
        self, folder: Path, prepared: Prepared, io_timeout_s: float = 30.0, move: str = "unix"
    ) -> None:
        super().__init__(folder, io_timeout_s)
        self.prepared = prepared
        self._orphans: set[int] = set()
        self._outlaws: list[subprocess.Popen[bytes]] = []
        self.disk = folder / "disk"
        make_disk(self.disk)
        self.ports = {host_id: free_port() for host_id in self.ids}
        guest = resting(prepared.guest)
        self.settings = {
            host_id: QemuSettings(
                host_id=host_id,
                run_dir=self.run_dir(host_id),
                vm=attrs.evolve(
                    guest_vm(guest, self.disk, self.ports[host_id], accel="tcg"),
                    saved_state=prepared.saved,
                ),
                move=MoveConfig(peers=f"unix:{folder}/hosts/{{id}}/run/migrate.sock")
                if move == "unix"
                else MoveConfig(),
            )
            for host_id in self.ids
        }

    def change(self, host_id: int, **settings: Any) -> None:
        """Set another VM for the next agent of a host."""
        before = self.settings[host_id]
        self.settings[host_id] = attrs.evolve(before, vm=attrs.evolve(before.vm, **settings))
        self.restart_agent(host_id)

    def change_move(self, host_id: int, **settings: Any) -> None:
        """Set another way of migration for the next agent of a host."""
        before = self.settings[host_id]
        self.settings[host_id] = attrs.evolve(before, move=attrs.evolve(before.move, **settings))
        self.restart_agent(host_id)

    def boots(self, host_id: int) -> None:
        """Make the VM boot, and its witness start by itself."""
        self.change(host_id, saved_state=None, append=self.prepared.guest.append)

    def lease(self, host_id: int) -> MovableEmbedded:
        return MovableEmbedded(
            folder=self.leases_folder,
            host_id=host_id,
            io_timeout_s=self.io_timeout_s,
            watchdog_s=WATCHDOG_S,
            socket=self.run_dir(host_id) / "vm.lease",
        )

    def make(self, host_id: int) -> QemuHypervisor:
        return QemuHypervisor(self.settings[host_id], self.lease(host_id))

    def starts_slowly(self, host_id: int) -> None:
        """A start takes 0.3 s and more."""

    def shuts_down_slowly(self, host_id: int) -> None:
        """A guest's shut down takes 0.05 s and more."""

    def migrates_slowly(self, host_id: int) -> None:
        self.change_move(host_id, bandwidth=1)

    def access(self, host_id: int) -> QemuVm:
        return QemuVm(self.run_dir(host_id), self.settings[host_id].vm)

    @contextmanager
    def agent_apart(self, host_id: int) -> Iterator[subprocess.Popen[str]]:
        """Run the host's agent as a process of its own for a while, and kill it at the end."""
        self.restart_agent(host_id)
        # Still this process's child, which the other agent can't ask for its status.
        self._orphans |= {self.record(each).pid for each in self.running()}
        settings = self.settings[host_id]
        config = self.folder / f"{host_id}.yaml"
        plain_config = {
            "host": {"id": host_id},
            "run_dir": str(settings.run_dir),
            "storage": {"path": str(self.folder)},
            "leases": "embedded",
            "hypervisor": {"kind": "qemu", "vm": plain(settings.vm), "move": plain(settings.move)},
            "engine": {"health": {"url": f"http://127.0.0.1:{self.ports[host_id]}/"}},
            "monitors": {"network": {"test": "none"}},
            "policy": {"io_timeout_s": self.io_timeout_s, "watchdog_s": WATCHDOG_S},
            "ovirt": "none",
        }
        config.write_text(yaml.safe_dump(plain_config))
        agent = subprocess.Popen(
            [sys.executable, "-m", "tests.runtime.hypervisors.qemu.qemu_agent", str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with agent:
            assert agent.stdout is not None
            assert agent.stdout.readline() == "ready\n"
            try:
                yield agent
            finally:
                agent.kill()

    # What happens to the VM.

    def pause(self, host_id: int) -> None:
        self.order(host_id, "stop")

    def resume(self, host_id: int) -> None:
        self.order(host_id, "cont")

    def order(self, host_id: int, word: str, **arguments: Any) -> Any:
        """Send an order by the monitor for people."""

        async def give() -> Any:
            path = self.run_dir(host_id) / SECOND_MONITOR
            monitor = await Monitor.connect(path, lambda: True)
            assert monitor is not None
            try:
                return await monitor.execute(word, **arguments)
            finally:
                await monitor.close()

        return asyncio.run(give())

    def say(self, host_id: int, word: str) -> Optional[str]:
        """Say a word to the guest's page of faults."""
        return say(self.ports[host_id], word, timeout_s=5.0)

    def start_without_lease(self, host_id: int) -> None:
        """Start a VM in a way that the product never does; `kill_vms` ends it."""
        run_dir = self.run_dir(host_id)
        vm = attrs.evolve(self.settings[host_id].vm, saved_state=None)
        self._outlaws.append(spawn(command(vm, run_dir, "tcg", awaits=False), run_dir))

    # What is so.

    def page(self) -> Optional[int]:
        """Return the page of the one that executes: one that arrives accepts, and says nothing."""
        statuses = [page(self.ports[host_id], timeout_s=PAGE_S) for host_id in self.running()]
        return next((status for status in statuses if status is not None), None)

    def names_itself(self, host_id: int, name: str) -> None:
        """Start the guest's witness."""
        until(lambda: self.say(host_id, f"witness={name}") == "ok\n")

    def kill_vms(self) -> None:
        """Kill the VMs; what stands beside them has to end by itself."""
        for outlaw in self._outlaws:
            outlaw.kill()
            outlaw.wait()
            for name in (MONITOR, SECOND_MONITOR, SERIAL):
                for host_id in self.ids:
                    (self.run_dir(host_id) / name).unlink(missing_ok=True)
        for host_id in self.ids:
            record = VmFile(self.run_dir(host_id) / "vm.json").read()
            if record is not None:
                send_signal(record, signal.SIGKILL)
        until(lambda: not self.processes())

    def has_no_dying_children(self) -> bool:
        for pid in self._orphans:
            has_ended(pid)
        return super().has_no_dying_children()

    def clear_double(self) -> None:
        """What the witness found was the test's own doing."""
        self.kill_vms()
        make_disk(self.disk)

    def tear_down(self) -> None:
        """End everything; fails where two guests executed or something is left."""
        for host_id in self.ids:
            self.restart_agent(host_id)
        self.kill_vms()
        super().tear_down()
        assert double_on(self.disk) is None
        for host_id in self.ids:
            left = {path.name for path in self.run_dir(host_id).iterdir()}
            assert left - {"vm.lock", "vm.log", "vm.report", "vm.console"} == set()
