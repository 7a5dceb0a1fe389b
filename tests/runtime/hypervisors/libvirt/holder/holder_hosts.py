"""Two hosts with libvirt and sanlock, where a holder keeps the lease and libvirt has no plug-in."""

from __future__ import annotations

import os
import signal
from typing import Optional

import psutil

from he_fsm.errors import OldVmError
from he_fsm.runtime.hypervisors.vm_file import STATE, VmFile
from he_fsm.runtime.hypervisors.vm_process import LOG
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.libvirt_hosts import LibvirtHosts, LibvirtLab


class HolderLab(LibvirtLab):
    is_plugin = False

    def joins(self, host_id: int) -> bool:
        """Join anew; the holder ends a moment after its domain, and nobody joins before that."""
        try:
            return super().joins(host_id)
        except OldVmError:
            return False


class HolderHosts(LibvirtHosts):
    may_leave = (LOG,)

    def holder_pid(self, host_id: int) -> int:
        """Return the number of the process that has the lease."""
        record = VmFile(self.run_dir(host_id) / STATE).read()
        assert record is not None
        assert record.holder_pid is not None
        return record.holder_pid

    def warden_pid(self, host_id: int) -> int:
        """Return the number of the second process."""
        (warden,) = psutil.Process(self.holder_pid(host_id)).children()
        return int(warden.pid)

    def kill_half(self, host_id: int, *which: str) -> None:
        """Kill the holder, the warden, or both at one time."""
        pids = {"holder": self.holder_pid(host_id), "warden": self.warden_pid(host_id)}
        # Stopped first: neither sees the other's end before its own.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for each in which:
                os.kill(pids[each], number)

    @staticmethod
    def stop(pid: int) -> None:
        """Stop a process, until `go_on`."""
        os.kill(pid, signal.SIGSTOP)

    @staticmethod
    def go_on(pid: int) -> None:
        """Have a process go on."""
        os.kill(pid, signal.SIGCONT)

    def has_ended(self, host_id: int) -> bool:
        """Whether no process of the domain is left on a host."""
        return self.access(host_id).identity() is None

    def ends(self, host_id: int) -> None:
        """Wait until the domain has ended, and the lease is free."""
        until(lambda: self.has_ended(host_id))
        until(lambda: self.owner() is None)

    def tear_down(self) -> None:
        pids = [self.left_holder(host_id) for host_id in self.ids]
        super().tear_down()
        for pid in pids:
            until(lambda pid=pid: pid is None or not self.lives(pid))

    def left_holder(self, host_id: int) -> Optional[int]:
        record = VmFile(self.run_dir(host_id) / STATE).read()
        return None if record is None else record.holder_pid

    @staticmethod
    def lives(pid: int) -> bool:
        """Whether a process lives."""
        try:
            return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False
