"""The VM of a host that has its record in `vm.json`, for guard, monitors and commands."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.vm_file import STATE, Phase, VmFile, VmRecord
from he_fsm.runtime.hypervisors.vm_process import kill_process, read_report
from he_fsm.runtime.ports import Console, LeaseUse, VmIdentity

# In version 1 of the kernel's control groups each controller has its own; version 2 has number 0.
_UNIFIED: Final = "0::"


class RecordedVm:
    """The VM of one run folder; implements `ports.VmAccess`, but for the screen."""

    def __init__(self, run_dir: Path, name: str) -> None:
        """Find the VM of *run_dir*, which people call *name*."""
        self.run_dir = run_dir
        self._name = name
        self._file = VmFile(run_dir / STATE)

    def identity(self) -> Optional[VmIdentity]:
        """Return the VM whose process lives here."""
        try:
            record = self._file.read()
        except (OSError, ValueError) as error:
            msg = f"nobody knows whether a VM runs here: {error}"
            raise HypervisorError(msg) from error
        if record is None or not record.is_here:
            return None
        return VmIdentity(
            name=self._name,
            pid=record.pid,
            incarnation=str(record.started_ticks),
            cgroup=cgroup_of(record.pid),
            lease=self._lease_use(record),
        )

    def kill_now(self, vm: VmIdentity) -> None:
        """End the process of *vm*, and no other one of its number."""
        kill_process(vm.pid, int(vm.incarnation), signal.SIGKILL)

    def console(self, valid_s: int) -> Console:
        """Refuse: there is no screen."""
        del valid_s
        msg = f"{self._name} has no screen"
        raise HypervisorError(msg)

    def _lease_use(self, record: VmRecord) -> LeaseUse:
        # The lease of a VM that moves is unowned for a moment: the migration sees to that.
        if record.is_leaving or record.phase is Phase.ARRIVING:
            return LeaseUse.MOVES
        if record.phase is Phase.STARTING and read_report(self.run_dir).get("lease") != "taken":
            return LeaseUse.WAITS
        return LeaseUse.HAS


def cgroup_of(pid: int) -> str:
    """Return the control group of a process where it is not the group of this process, too."""
    own, its = _group("self"), _group(str(pid))
    return "" if its == own else its


def _group(process: str) -> str:
    try:
        lines = Path(f"/proc/{process}/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line[len(_UNIFIED) :] for line in lines if line.startswith(_UNIFIED)), "")
