"""
The one VM of a lab's vdsm, as vdsm sees it: its statuses in their order, and its events.

A VM that has ended stays in the list as Down until somebody destroys it. One that runs is found
again by a vdsm that was started anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final, Optional

from he_fsm.errors import HypervisorError
from he_fsm.lab.vdsm.real import records
from he_fsm.lab.vdsm.real.qemu import LabQemu
from he_fsm.lab.vdsm.real.records import End
from he_fsm.lab.vdsm.verbs import Emit
from he_fsm.runtime.hypervisors.qemu.section import VmConfig
from he_fsm.runtime.hypervisors.vdsm import status as words
from he_fsm.runtime.ports import Observation, Peer
from he_fsm.runtime.service.supervised import SupervisedThread
from he_fsm.runtime.vdsm.interface import (
    MIGRATION_NOT_IN_PROGRESS,
    NO_SUCH_VM,
    VM_EXISTS,
    VdsmError,
)
from he_fsm.snapshot import Outcome, VmState

# vdsm's codes; source: vdsm 4.50.7, `common/exception.py`.
_MIGRATION_ERROR: Final = 12
_UNEXPECTED: Final = 16
_DESTROY_FAILED: Final = 42
_UPDATE_FAILED: Final = 56
# A guest that has begun answers its agent after a moment; vdsm waits for that up to 60 s (seconds).
_POWERING_UP_S: Final = 0.3
# For so long a VM that was asked to shut down is said to do so, if its guest does not answer.
_POWERING_DOWN_S: Final = 300.0
_LOOK_S: Final = 0.5
_ENDS_S: Final = 10.0
_SHORT_S: Final = 0.02
_STATUSES: Final = {
    VmState.STARTING: words.WAIT_FOR_LAUNCH,
    VmState.PAUSED: words.PAUSED,
    VmState.STOPPING: words.POWERING_DOWN,
    VmState.LEAVING: words.MIGRATION_SOURCE,
    VmState.ARRIVING: words.MIGRATION_DESTINATION,
}
_UNDER_WAY: Final = {"code": 0, "message": "Migration in progress"}


def no_such_vm(vm_id: str) -> VdsmError:
    """Return the error about a VM that is not in the list, or has ended."""
    return VdsmError(NO_SUCH_VM, f"Virtual machine does not exist: {{'vmId': '{vm_id}'}}")


class LabVm:
    """A VM's record, kept by a thread from what its hypervisor shows."""

    def __init__(self, vm_id: str, vm: VmConfig, hypervisor: LabQemu, emit: Emit) -> None:
        """Find the VM that runs, if one does, and begin to look."""
        self.vm_id = vm_id
        self._vm = vm
        self._hypervisor = hypervisor
        self._emit = emit
        self._guard = threading.RLock()
        # None: there is no VM in the list.
        self._status: Optional[str] = None
        self._at = records.stamp()
        self._end: Optional[End] = None
        self._up_since: Optional[float] = None
        self._asked_down_at: Optional[float] = None
        self._was_stopping = False
        self._percent: Optional[int] = None
        self._migration: Optional[Mapping[str, Any]] = None
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._thread = SupervisedThread("vm of the lab's vdsm", self._follow)
        hypervisor.watch(self._changed.set)
        self._look()
        self._thread.start()

    def close(self) -> None:
        """Look no more; the VM runs on."""
        self._closed.set()
        self._changed.set()
        self._thread.close()
        self._thread.join()

    # What is seen.

    def _follow(self) -> None:
        while not self._closed.is_set():
            is_short = self._status == words.POWERING_UP
            self._changed.wait(_POWERING_UP_S if is_short else _LOOK_S)
            self._changed.clear()
            self._look()

    def _look(self) -> None:
        with self._guard:
            seen = self._hypervisor.observe()
            for result in seen.results:
                self._end = records.end_of(result) or self._end
                if result.outcome is Outcome.MIGRATION_FAILED:
                    self._migration = {"code": _MIGRATION_ERROR, "message": result.detail}
            self._note_progress(seen)
            status = self._status_of(seen.vm.state)
            if status != self._status:
                self._change(status)

    def _note_progress(self, seen: Observation) -> None:
        percent = None if seen.progress is None else round(seen.progress * 100)
        if percent is not None and percent != self._percent:
            self._tell("VM_migration_status", {"progress": percent, "postcopy": False})
        self._percent = percent

    def _status_of(self, state: VmState) -> Optional[str]:
        """Return vdsm's word for the VM; None: there is none in the list."""
        if state is VmState.UNKNOWN:
            return self._status
        if state is VmState.ABSENT:
            return None if self._status is None else words.DOWN
        self._was_stopping = state is VmState.STOPPING
        if state is not VmState.UP:
            self._up_since = None
            return _STATUSES[state]
        now = time.monotonic()
        asked_at = self._asked_down_at
        if asked_at is not None and now - asked_at < _POWERING_DOWN_S:
            return words.POWERING_DOWN
        if self._up_since is None:
            self._up_since = now
        began = self._status in (words.WAIT_FOR_LAUNCH, words.POWERING_UP)
        is_new = began and now - self._up_since < _POWERING_UP_S
        return words.POWERING_UP if is_new else words.UP

    def _change(self, status: Optional[str]) -> None:
        if status == words.DOWN:
            if self._end is None:
                usual = records.ADMIN if self._asked_down_at is not None else records.LOST
                self._end = records.USER if usual is records.LOST and self._was_stopping else usual
            self._up_since = self._asked_down_at = None
        self._status, self._at = status, records.stamp()
        if status is not None:
            self._tell("VM_status", self.record())

    def _tell(self, what: str, record: Mapping[str, Any]) -> None:
        self._emit(f"|virt|{what}|{self.vm_id}", {self.vm_id: record})

    def record(self) -> dict[str, Any]:
        """Return what vdsm says of the VM; raises `VdsmError` where there is none."""
        with self._guard:
            status = self._known()
            if status == words.DOWN:
                return records.down(self.vm_id, self._end or records.LOST, self._at)
            return records.running(self.vm_id, self._vm, status, self._at, self._percent)

    def stats(self) -> list[dict[str, Any]]:
        """Answer VM.getStats."""
        return [self.record()]

    def listed(self) -> list[dict[str, Any]]:
        """Answer Host.getVMList."""
        with self._guard:
            if self._status is None:
                return []
            return [{"vmId": self.vm_id, "status": self._status, "statusTime": self._at}]

    @property
    def is_active(self) -> bool:
        """Whether a process of the VM is here."""
        return self._status not in (None, words.DOWN)

    def _known(self) -> str:
        if self._status is None:
            raise no_such_vm(self.vm_id)
        return self._status

    def _active(self) -> str:
        status = self._known()
        if status == words.DOWN:
            raise no_such_vm(self.vm_id)
        return status

    # What is ordered.

    def create(self, xml: str) -> dict[str, Any]:
        """Begin to start the VM; what becomes of it is seen by its status."""
        with self._guard:
            if self._status is not None:
                raise VdsmError(VM_EXISTS, "Virtual machine already exists")
            self._end = self._migration = self._asked_down_at = None
            self._hypervisor.start()
            self._change(words.WAIT_FOR_LAUNCH)
            return {
                "vmId": self.vm_id,
                "status": words.WAIT_FOR_LAUNCH,
                "statusTime": self._at,
                "xml": xml,
            }

    def destroy(self) -> bool:
        """End the VM, and forget it."""
        with self._guard:
            status = self._known()
            if status == words.MIGRATION_DESTINATION:
                self._hypervisor.give_up_arrival()
            elif status != words.DOWN:
                self._end = records.ADMIN
                self._hypervisor.power_off()
        ends_at = time.monotonic() + _ENDS_S
        while not self._has_ended():
            if time.monotonic() > ends_at:
                raise VdsmError(_DESTROY_FAILED, "Error destroying VM")
            time.sleep(_SHORT_S)
        return True

    def _has_ended(self) -> bool:
        """Forget the VM when it has ended; say whether it is forgotten."""
        with self._guard:
            self._look()
            if self._status == words.DOWN:
                self._status = None
            return self._status is None

    def shutdown(self) -> bool:
        """Press the power button."""
        with self._guard:
            self._active()
            self._asked_down_at = time.monotonic()
            self._hypervisor.shut_down()
            self._look()
        return True

    def halt(self, word: str) -> dict[str, Any]:
        """Pause the VM (`stop`) or let it go on (`cont`)."""
        self._active()
        try:
            self._hypervisor.execute(word)
        except (HypervisorError, TimeoutError) as error:
            raise VdsmError(_UNEXPECTED, f"Unexpected exception: {error}") from error
        self._changed.set()
        return {"vmList": {}}

    def migrate(self, host_id: int) -> bool:
        """Begin to move the VM."""
        with self._guard:
            if self._active() == words.WAIT_FOR_LAUNCH:
                raise VdsmError(NO_SUCH_VM, "Virtual machine does not exist: it is being launched")
            self._migration = _UNDER_WAY
            self._hypervisor.migrate(Peer(host_id))
            self._look()
        return True

    def cancel_migration(self) -> bool:
        """Cancel the migration."""
        with self._guard:
            if self._active() != words.MIGRATION_SOURCE:
                raise VdsmError(MIGRATION_NOT_IN_PROGRESS[0], "Migration not in progress")
            self._hypervisor.cancel_migration()
        return True

    def migration_status(self) -> dict[str, Any]:
        """Answer VM.getMigrationStatus."""
        with self._guard:
            self._known()
            if self._end is records.MOVED:
                return {"status": {"code": 0, "message": "Migration done"}, "progress": 100}
            return {"status": dict(self._migration or _UNDER_WAY), "progress": self._percent or 0}

    def set_ticket(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Set a screen's password."""
        self._active()
        kind = params.get("graphicsType")
        if self._vm.console is None or kind != self._vm.console.kind:
            raise VdsmError(_UPDATE_FAILED, f"Failed to update device: no screen '{kind}'")
        try:
            self._hypervisor.execute(
                "set_password", protocol=kind, password=params.get("password"), connected="keep"
            )
            self._hypervisor.execute(
                "expire_password", protocol=kind, time=f"+{params.get('ttl', 0)}"
            )
        except (HypervisorError, TimeoutError) as error:
            raise VdsmError(_UPDATE_FAILED, f"Failed to update device: {error}") from error
        return {}
