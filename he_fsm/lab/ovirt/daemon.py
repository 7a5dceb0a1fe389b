"""A vdsm of one host of a lab: a process of its own, whose VM outlives it."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Optional

import yaml

from he_fsm.errors import HeFsmError
from he_fsm.lab import netns
from he_fsm.lab.host import ENDS_WITHIN_S
from he_fsm.lab.ovirt.definition import VM_ID
from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.tls import Certificates

_STARTS_WITHIN_S: Final = 20.0
_LOCAL: Final = "127.0.0.1"
_LOCK_MANAGER: Final = 'lock_manager = "sanlock"\n'
# What one does by hand, or not at all (seconds).
_ORDER_S: Final = 5.0


class VdsmProcess:
    """
    One daemon and its folder.

    *within* returns the command that runs a command in the host's network, *namespace* (None: this
    machine's). *peers* are the host ids of all vdsms, by what VM.migrate calls them.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        peers: Mapping[str, int],
        within: Callable[[list[str]], list[str]] = list,
        namespace: Optional[str] = None,
    ) -> None:
        """Make the folder; nothing runs before `start`."""
        self.folder = folder
        self.port = port
        self.run_dir = folder / "run"
        self.state_dir = folder / "state"
        self.pid_dir = folder / "pids"
        for each in (self.run_dir, self.state_dir, self.pid_dir):
            each.mkdir(parents=True)
        # Its VMs take their leases from sanlock, as libvirt's plug-in does.
        self.driver_conf = folder / "qemu.conf"
        self.driver_conf.write_text(_LOCK_MANAGER)
        self.process: Optional[subprocess.Popen[bytes]] = None
        self.peers = peers
        # For TLS; None: there is none.
        self.certificates: Optional[Certificates] = None
        self._within = within
        self._namespace = namespace

    def start(self, config: Mapping[str, Any], recovery_s: float = 0.0) -> None:
        """
        Start it with a configuration (hypervisor qemu, leases sanlock), and wait until it listens.

        Raises:
            HeFsmError: it does not come up.
        """
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
        words = [sys.executable, "-m", "he_fsm.lab.vdsm", str(path)]
        words += ["--vm-id", VM_ID, "--pid-dir", str(self.pid_dir)]
        words += ["--host", _LOCAL, "--port", str(self.port), "--recovery", str(recovery_s)]
        for address, host_id in self.peers.items():
            words += ["--peer", f"{address}={host_id}"]
        files = self.certificates
        if files is not None:
            words += ["--key", str(files.key), "--cert", str(files.certificate)]
            words += ["--ca", str(files.ca)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                self._within(words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        if not self._is_ready(self.process):
            self.kill()
            said = (self.folder / "log").read_text(errors="replace").splitlines()
            msg = f"the lab's vdsm does not come up: {said[-1] if said else 'it says nothing'}"
            raise HeFsmError(msg)

    @staticmethod
    def _is_ready(process: subprocess.Popen[bytes]) -> bool:
        if process.stdout is None:
            return False
        ready, _, _ = select.select([process.stdout], [], [], _STARTS_WITHIN_S)
        return bool(ready) and process.stdout.readline().startswith(b"ready ")

    def stop(self) -> None:
        """Stop the process until `go_on`."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue the process after `stop`."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Ask it to end, and wait; its VM runs on."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; its VM runs on."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            with process:
                process.send_signal(number)
                # One that stands still would not end.
                process.send_signal(signal.SIGCONT)
                process.wait(ENDS_WITHIN_S)

    def forget(self) -> None:
        """Take note that the process has been killed, and collect its status."""
        process, self.process = self.process, None
        if process is not None:
            with process:
                process.wait(ENDS_WITHIN_S)

    def call(self, method: str, **params: Any) -> Any:
        """Have it do something to the VM, as a person does; raises `HypervisorError`."""
        ends_at = time.monotonic() + _ORDER_S
        # Its thread belongs where it is made.
        with netns.inside(self._namespace):
            client = OwnClient(Address(_LOCAL, self.port, self.certificates))
        try:
            return client.call(method, {"vmID": VM_ID, **params}, ends_at - time.monotonic())
        finally:
            client.close()
