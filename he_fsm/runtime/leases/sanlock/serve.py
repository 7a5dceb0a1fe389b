"""sanlock's leases as the process that serves the storage has them."""

from __future__ import annotations

from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.lockspace import SanlockLeases
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.vm_lock import VmLock
from he_fsm.runtime.ports import JoinedLeases
from he_fsm.runtime.storage.protocol import StorageSettings


def make(settings: StorageSettings) -> JoinedLeases:
    """Make what has the daemon take the host id, in the process that serves the storage."""
    sanlock = SanlockSettings.from_text(settings.lease)
    rules = Rules(io_timeout_s=settings.io_timeout_s, watchdog_s=settings.watchdog_s)
    vm_lock = VmLock.named(sanlock.vm_lock, sanlock.vm_pid_file)
    return SanlockLeases(sanlock, settings.host_id, rules, vm_is_gone=vm_lock.is_free)
