"""The command line of an embedded VM's process."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import attrs

# The named pipe by which a VM takes orders, beside its `vm.json`.
ORDERS = "vm.orders"
# The host's own paths to what is shared, for VMs that come from other hosts.
HOST = "host.json"
_NEVER = "never"


@attrs.frozen(kw_only=True)
class VmOptions:
    """
    One VM: where it runs, how long things take, and what goes wrong; times in seconds.

    `state` is the `vm.json` of the host's run folder; `hosts` the path of any host's run folder,
    with `{id}` for its id. `leases`, `io_timeout_s` and `watchdog_s` are the lockspace's.
    `ordered_at` (monotonic clock): when the start was ordered; `start_s` counts from there.
    `boot_s` None: the health page never comes. `receive`: the descriptor of a migration's channel,
    in the process that receives one.
    """

    host_id: int
    port: int
    state: Path
    witness: Path
    hosts: str
    leases: Path
    io_timeout_s: float
    watchdog_s: float
    start_s: float
    boot_s: Optional[float]
    shutdown_s: float
    migration_s: float
    ordered_at: float
    die_after_s: Optional[float] = None
    fail: bool = False
    receive: Optional[int] = None

    def run_dir_of(self, host_id: int) -> Path:
        """Return the run folder of a host."""
        return Path(self.hosts.replace("{id}", str(host_id)))

    def received_by(self, host_id: int, channel: int) -> VmOptions:
        """
        Return the options of a migration's receiving process; *channel*: its end of the pair.

        Raises:
            OSError: the host has no hypervisor of this kind, or its `host.json` can't be read.
        """
        run_dir = self.run_dir_of(host_id)
        try:
            # The other host has its own way to the shared storage.
            paths = json.loads((run_dir / HOST).read_bytes())
            leases, witness = Path(paths["leases"]), Path(paths["witness"])
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{run_dir / HOST} can't be used: {error}"
            raise OSError(msg) from error
        return attrs.evolve(
            self,
            host_id=host_id,
            state=run_dir / self.state.name,
            leases=leases,
            witness=witness,
            receive=channel,
        )

    def command(self) -> tuple[str, ...]:
        """Return the command with these options."""
        given = {
            "--host-id": self.host_id,
            "--port": self.port,
            "--state": self.state,
            "--witness": self.witness,
            "--hosts": self.hosts,
            "--leases": self.leases,
            "--io-timeout": self.io_timeout_s,
            "--watchdog": self.watchdog_s,
            "--start": self.start_s,
            "--boot": _NEVER if self.boot_s is None else self.boot_s,
            "--shutdown": self.shutdown_s,
            "--migration": self.migration_s,
            "--ordered-at": self.ordered_at,
            "--die-after": self.die_after_s,
            "--receive": self.receive,
        }
        words = [
            word
            for name, value in given.items()
            if value is not None
            for word in (name, str(value))
        ]
        module = "he_fsm.runtime.hypervisors.process.vm.engine"
        return (sys.executable, "-m", module, *words, *(["--fail"] if self.fail else []))


def parse_options(arguments: Optional[Sequence[str]] = None) -> VmOptions:
    """Read the command line; a wrong one ends the process with status 2."""
    parser = argparse.ArgumentParser(prog="engine_process", description="An embedded engine VM.")
    add = parser.add_argument
    add("--host-id", type=int, required=True)
    add("--port", type=int, required=True, help="where the health page is, on 127.0.0.1")
    add("--state", type=Path, required=True, help="vm.json of the host's run folder")
    add("--witness", type=Path, required=True, help="the file locked by the VM that executes")
    add("--hosts", required=True, help="path of a host's run folder, with {id} in it")
    add("--leases", type=Path, required=True, help="the lockspace's folder")
    add("--io-timeout", dest="io_timeout_s", type=float, required=True, help="the lockspace's")
    add("--watchdog", dest="watchdog_s", type=float, required=True, help="the lockspace's")
    add("--start", dest="start_s", type=float, default=0.0, help="seconds until it runs")
    add("--boot", dest="boot_s", type=_seconds_or_never, default=0.0, help="seconds, or never")
    add("--shutdown", dest="shutdown_s", type=float, default=0.0)
    add("--migration", dest="migration_s", type=float, default=0.0)
    add("--ordered-at", type=float, required=True, help="when, on the monotonic clock")
    add("--die-after", dest="die_after_s", type=float, help="seconds after it began to run")
    add("--fail", action="store_true", help="end with status 1 in place of running")
    add("--receive", type=int, help="descriptor of a migration's channel")
    return VmOptions(**vars(parser.parse_args(arguments)))


def _seconds_or_never(text: str) -> Optional[float]:
    return None if text == _NEVER else float(text)
