"""How a scenario is rehearsed with toys: `he-fsm rehearse SCENARIO --backend toy`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from he_fsm_toy import ToyHypervisor, ToySection, guest

from he_fsm.errors import HeFsmError
from he_fsm.lab.embedded import EmbeddedHost, EmbeddedLab
from he_fsm.lab.host import LabHost
from he_fsm.lab.spec import HostSpec, LabSpec
from he_fsm.rehearse.backends import Backend
from he_fsm.rehearse.cannot import cannot
from he_fsm.runtime.leases.files.movable import MovableEmbedded
from he_fsm.snapshot import VmState

STARTS_WITHIN_S = 20.0


class ToyHost(EmbeddedHost):
    """A host whose agent has a toy for a VM."""

    def own_config(self) -> Mapping[str, Any]:
        """Return what its configuration says beside the usual."""
        times, speed, port = self.site.vm_times, self.site.speed, self.site.port
        return {
            "hypervisor": {
                "kind": "toy",
                "port": port,
                "boot": times.boot_s / speed,
                "shutdown": times.shutdown_s / speed,
            },
            "engine": {"health": {"url": f"http://127.0.0.1:{port}/"}},
        }

    def toy(self) -> ToyHypervisor:
        """Make its hypervisor, for what happens before the scenario begins."""
        policy = self.site.policy
        lease = MovableEmbedded(
            folder=self.storage / "leases",
            host_id=self.host_id,
            io_timeout_s=policy.io_timeout_s,
            watchdog_s=policy.watchdog_s,
            socket=self.run_dir / "vm.lease",
        )
        section = ToySection(port=self.site.port)
        command = guest(section, self.host_id, self.storage / "witness")
        return ToyHypervisor(self.run_dir, command, lease)


class ToyLab(EmbeddedLab):
    """A cluster of such hosts; its storage and its leases are the embedded ones."""

    def make_host(self, spec: HostSpec) -> ToyHost:
        """Make one host."""
        return ToyHost(self._site, spec)

    def start_engine(self, host: LabHost) -> None:
        """Start the VM, and wait until it executes."""
        self._starter = self.hosts[host.name].toy()
        self._starter.start()
        ends_at = time.monotonic() + STARTS_WITHIN_S
        while self._starter.observe().vm.state is not VmState.UP:
            if time.monotonic() > ends_at:
                msg = f"the toy of host {host.name} does not start"
                raise HeFsmError(msg)
            time.sleep(0.01)


def make(spec: LabSpec, folder: Path) -> ToyLab:
    """Make the cluster."""
    return ToyLab(spec, folder)


BACKEND = Backend(
    name="toy",
    missing=lambda _: [],
    cannot=lambda scenario, _: cannot(scenario),
    notices=lambda _: ["the VM is a toy: it does not move"],
    make=make,
)
