"""A host of a sanlock lab with a QEMU of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab import netns
from he_fsm.lab.qemu.move_vm import Mover
from he_fsm.lab.qemu.site import QemuSite
from he_fsm.lab.sanlock.host import PEER, SanlockHost
from he_fsm.lab.sanlock.site import DISK
from he_fsm.lab.spec import HostSpec
from he_fsm.lab.vm_sight import VmSight
from he_fsm.runtime.config.plain import plain
from he_fsm.runtime.hypervisors.qemu.host import QemuSettings
from he_fsm.runtime.hypervisors.qemu.hypervisor import QemuHypervisor
from he_fsm.runtime.hypervisors.qemu.section import MoveConfig, VmConfig
from he_fsm.runtime.hypervisors.vm_file import Phase
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder

_STARTS_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.02
_ORDERS: Final = {"shutdown": "system_powerdown", "pause": "stop", "resume": "cont"}
_PEERS: Final = f"tcp:{PEER}:7000"


class QemuHost(SanlockHost):
    """A host whose agent starts QEMU by itself."""

    site: QemuSite

    def __init__(self, site: QemuSite, spec: HostSpec) -> None:
        """Make the folder; nothing runs yet."""
        super().__init__(site, spec)
        self._mover: Optional[Mover] = None

    def hypervisor_config(self) -> Mapping[str, Any]:
        """Return QEMU's section."""
        return {"kind": "qemu", "vm": plain(self._vm), "move": plain(self._move)}

    @property
    def _vm(self) -> VmConfig:
        return self.guest_files.begins(self.site.vm(self.storage / DISK, self.network))

    @property
    def _move(self) -> MoveConfig:
        if not self.site.loses_power_silently:
            return MoveConfig(peers=f"unix:{self.site.by_id}/{{id}}/migrate.sock")
        return MoveConfig(peers=_PEERS, secret_file=self.site.move_secret)

    def services(self) -> Iterator[subprocess.Popen[bytes]]:
        """Return the processes of a host with sanlock, and what moves the VM by hand."""
        yield from super().services()
        # The watchdog's thread asks as well, at any moment.
        mover = self._mover
        if mover is not None:
            yield mover.process

    def close(self) -> None:
        """End a move by hand, and stop observing the VM."""
        if self._mover is not None:
            self._mover.close()
        super().close()

    def start_vm(self) -> int:
        """Start the VM while no agent runs; return its process's number when it executes."""
        settings = QemuSettings(host_id=self.host_id, run_dir=self.run_dir, vm=self._vm)
        leases = self.site.leases(self.storage, self.sanlock_dir, self.state_dir / "engine.lock")
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

    def order_vm(self, sight: VmSight, word: str) -> None:
        """Have QEMU do it, by its monitor for people."""
        sight.order(_ORDERS[word])

    def migrate_engine(self, target: int) -> None:
        """Move the VM by a process of this host that is no agent."""
        if self.sight is not None and (self._mover is None or not self._mover.is_busy):
            self._mover = Mover(self.folder / "config.yaml", target, self.sight)
