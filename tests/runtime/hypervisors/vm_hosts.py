"""Hosts whose VM has its record in `vm.json`, for tests."""

from __future__ import annotations

from he_fsm.runtime.hypervisors.vm_access import RecordedVm
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord
from he_fsm.runtime.ports import VmAccess
from he_fsm.testing.vm_hosts import VmHosts


class RecordedHosts(VmHosts):
    """Some hosts, their leases joined; what their VMs are is the subclass's business."""

    def access(self, host_id: int) -> VmAccess:
        return RecordedVm(self.run_dir(host_id), "the VM")

    def record(self, host_id: int) -> VmRecord:
        record = VmFile(self.run_dir(host_id) / "vm.json").read()
        assert record is not None
        return record

    def running(self) -> list[int]:
        """Return the hosts on which a VM runs, by the records of living processes."""
        files = {host_id: VmFile(self.run_dir(host_id) / "vm.json").read() for host_id in self.ids}
        return [
            host_id
            for host_id, record in files.items()
            if record is not None and record.is_here and record.phase is Phase.RUNNING
        ]
