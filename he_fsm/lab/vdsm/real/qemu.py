"""The QEMU behind a lab's vdsm: a hypervisor that is also told what libvirt is told by vdsm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.qemu.host import QemuHost, QemuSettings
from he_fsm.runtime.hypervisors.qemu.hypervisor import QemuHypervisor
from he_fsm.runtime.ports import LeasePlace, MovableLease

# Within it QEMU does what it is told, or hangs (seconds).
_ORDER_S: Final = 5.0
# Notes its own number before it takes the lease: there is no VM without a pid file.
_NOTING: Final = 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"'


@attrs.frozen
class NotingLease:
    """
    The engine's lease, whose process is noted in a pid file, as libvirt notes a domain's.

    Implements `ports.MovableLease` by *lease*.
    """

    lease: MovableLease
    pid_file: Path

    @property
    def place(self) -> LeasePlace:
        """The lease as data."""
        return self.lease.place

    def wrap(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """Return the command that notes its number, takes the lease and becomes *command*."""
        return self._noting(self.lease.wrap(command, report_fd))

    def wrap_awaiting(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """Return the command that notes its number and becomes *command*."""
        return self._noting(self.lease.wrap_awaiting(command, report_fd))

    def _noting(self, command: Sequence[str]) -> tuple[str, ...]:
        return ("/bin/sh", "-c", _NOTING, str(self.pid_file), *command)

    def put_down(self, pid: int, target: int) -> None:
        """Release the process's lease."""
        self.lease.put_down(pid, target)

    def pick_up(self, pid: int) -> None:
        """Take the lease for the process."""
        self.lease.pick_up(pid)

    def holds(self, pid: int) -> bool:
        """Return whether the process has the lease now."""
        return self.lease.holds(pid)


class LabQemuHost(QemuHost):
    """A QEMU that is given further orders."""

    async def execute(self, word: str, arguments: dict[str, Any]) -> None:
        """Have QEMU do something; raises `HypervisorError`."""
        machine = self._machine
        if machine is None:
            msg = "there is no VM"
            raise HypervisorError(msg)
        await machine.monitor.execute(word, **arguments)
        await machine.ask()


class LabQemu(QemuHypervisor):
    """The hypervisor of one host."""

    _host: LabQemuHost

    def make_host(self, settings: QemuSettings, lease: MovableLease) -> LabQemuHost:
        """Make what the one thread sees."""
        return LabQemuHost(settings, lease)

    def execute(self, word: str, **arguments: Any) -> None:
        """Have QEMU do something, and wait until it has; raises `HypervisorError`."""
        self._post(self._host.execute(word, arguments)).result(_ORDER_S)
