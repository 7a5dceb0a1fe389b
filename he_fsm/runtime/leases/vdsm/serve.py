"""vdsm's leases as the process that serves the storage has them."""

from __future__ import annotations

from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.lockspace import SanlockLeases
from he_fsm.runtime.leases.vdsm.joins import ServeSettings, VdsmJoins
from he_fsm.runtime.leases.vm_lock import VmLock
from he_fsm.runtime.ports import JoinedLeases
from he_fsm.runtime.storage.protocol import StorageSettings


def make(settings: StorageSettings) -> JoinedLeases:
    """Make what has vdsm take the host id, in the process that serves the storage."""
    told = ServeSettings.from_text(settings.lease)
    rules = Rules(io_timeout_s=settings.io_timeout_s, watchdog_s=settings.watchdog_s)
    vm_lock = VmLock.named(told.sanlock.vm_lock, told.sanlock.vm_pid_file)
    joins = VdsmJoins(settings=told.sanlock, host_id=settings.host_id, rules=rules, vdsm=told.vdsm)
    return SanlockLeases(
        told.sanlock, settings.host_id, rules, vm_is_gone=vm_lock.is_free, joins=joins
    )
