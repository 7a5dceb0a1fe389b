"""
The VM of a daemon (libvirt's, for vdsm too), for guard, monitors and commands.

Who it is stands in the daemon's pid file and in the kernel, so that it is found, and can be ended,
while the daemon hangs or is not there. What it has to do with the lease is in the record that the
agent keeps (`vm.json`); a VM of which the agent has written nothing counts as having it.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.vm_access import cgroup_of
from he_fsm.runtime.hypervisors.vm_file import STATE, Phase, VmFile, VmRecord, started_ticks
from he_fsm.runtime.hypervisors.vm_process import kill_process
from he_fsm.runtime.leases.vm_lock import is_hidden
from he_fsm.runtime.ports import LeaseUse, VmIdentity

# libvirt's own groups below that of all the VM's processes, such as libvirt/emulator.
_INNER_GROUPS: Final = "/libvirt"


class DaemonVm:
    """The VM of one host; implements `ports.VmAccess`, but for the screen."""

    def __init__(self, run_dir: Path, name: str, pid_dir: Path) -> None:
        """Find the VM *name* by its file in *pid_dir*; *run_dir* has the agent's record of it."""
        self.name = name
        self._pid_file = pid_dir / f"{name}.pid"
        self._file = VmFile(run_dir / STATE)

    def identity(self) -> Optional[VmIdentity]:
        """Return the VM whose process lives here; asks no daemon."""
        pid = self._pid()
        if pid is None:
            return None
        try:
            ticks = started_ticks(pid)
        except ProcessLookupError:
            return None
        record = self._record(pid, ticks)
        return VmIdentity(
            name=self.name,
            pid=pid,
            incarnation=str(ticks),
            cgroup=cgroup_of(pid).partition(_INNER_GROUPS)[0],
            lease=_lease_use(record),
            # safety: QEMU has a copy of the lease, and sanlock names a holder that has ended. Then
            # the VM has to have the lease by itself, or to end.
            lease_pid=record.holder_pid if record is not None and record.holder_lives else None,
        )

    def kill_now(self, vm: VmIdentity) -> None:
        """End the process of *vm*, and no other one of its number; asks no daemon."""
        try:
            kill_process(vm.pid, int(vm.incarnation), signal.SIGKILL)
        except PermissionError as error:
            msg = (
                f"this user may not end the VM's process {vm.pid}; give the service "
                "AmbientCapabilities=CAP_KILL"
            )
            raise HypervisorError(msg) from error

    def _pid(self) -> Optional[int]:
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (FileNotFoundError, ProcessLookupError):
            return None
        except (OSError, ValueError) as error:
            msg = f"nobody knows whether the VM runs here: {self._pid_file}: {error}"
            raise HypervisorError(msg) from error
        if _is_vm(pid, self.name):
            return pid
        if is_hidden(pid):
            msg = (
                f"nobody knows whether the VM runs here: process {pid} is hidden from this "
                "user; give the service ProtectProc=default"
            )
            raise HypervisorError(msg)
        return None

    def _record(self, pid: int, ticks: int) -> Optional[VmRecord]:
        """Return what the agent has written of this process; None: nothing."""
        try:
            record = self._file.read()
        except (OSError, ValueError):
            return None
        if record is None or (record.pid, record.started_ticks) != (pid, ticks):
            return None
        return record


def _lease_use(record: Optional[VmRecord]) -> LeaseUse:
    if record is None:
        # safety: in doubt it executes by the lease, and has to end without it.
        return LeaseUse.HAS
    if record.is_leaving or record.phase is Phase.ARRIVING:
        return LeaseUse.MOVES
    # A paused VM has put its lease down; libvirt takes it again before it executes.
    is_waiting = record.phase is Phase.STARTING or record.is_paused
    return LeaseUse.WAITS if is_waiting else LeaseUse.HAS


def _is_vm(pid: int, name: str) -> bool:
    """Whether a process is the VM's QEMU, and not another one of an old number."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    # A comma within a value is written twice; the word `guest=` may be left out.
    name = name.replace(",", ",,")
    wanted = (f"guest={name},".encode(), f"{name},".encode())
    following = (words[number + 1] for number, word in enumerate(words[:-1]) if word == b"-name")
    return any((word + b",").startswith(wanted) for word in following)
