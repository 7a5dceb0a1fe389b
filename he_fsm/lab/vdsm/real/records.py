"""
What vdsm says of a VM, as plain values; pure functions.

Numbers are mostly text, as vdsm has them. Source: vdsm 4.50.7, `virt/vm.py`.
"""

from __future__ import annotations

import time
from typing import Any, Final, Optional

import attrs

from he_fsm.runtime.hypervisors.qemu.section import VmConfig
from he_fsm.runtime.hypervisors.vdsm import status as words
from he_fsm.snapshot import Outcome, Result

# What times begin with, to which the host's uptime in milliseconds is added.
_STAMP_BASE: Final = 2147483647
_FAILED: Final = 1
# How oVirt's agents know that it was the lease: they go by the end of the message.
_NO_LEASE: Final = "Failed to acquire lock: Lease is held by another host"


def stamp() -> str:
    """Return a time as vdsm gives it: it only tells what was later."""
    return str(_STAMP_BASE + int(time.monotonic() * 1000))


@attrs.frozen
class End:
    """Why a VM is Down."""

    code: int
    reason: int
    message: str


LOST: Final = End(_FAILED, words.LOST_QEMU, "Lost connection with qemu process")
ADMIN: Final = End(0, words.ADMIN_SHUTDOWN, "Admin shut down from the engine")
USER: Final = End(0, words.USER_SHUTDOWN, "User shut down from within the guest")
MOVED: Final = End(0, words.MIGRATED, "Migration succeeded")


def end_of(result: Result) -> Optional[End]:
    """Return how a VM has ended by a hypervisor's result; None: it has not, for all that says."""
    if result.outcome is Outcome.MIGRATION_DONE:
        return MOVED
    if result.outcome is Outcome.START_REFUSED:
        return End(_FAILED, words.GENERIC_ERROR, f"{result.detail}: {_NO_LEASE}")
    if result.outcome in (Outcome.START_FAILED, Outcome.GUEST_DIED):
        return End(_FAILED, words.GENERIC_ERROR, result.detail)
    return None


def down(vm_id: str, end: End, at: str) -> dict[str, Any]:
    """Return the record of a VM that is Down."""
    return {
        "vmId": vm_id,
        "status": words.DOWN,
        "statusTime": at,
        "exitCode": end.code,
        "exitMessage": end.message,
        "exitReason": end.reason,
        "timeOffset": "0",
    }


def running(
    vm_id: str, vm: VmConfig, status: str, at: str, percent: Optional[int]
) -> dict[str, Any]:
    """Return the record of a VM that has not ended; *percent*: how far a migration has come."""
    console = vm.console
    screens = []
    if console is not None:
        port = "-1" if status == words.WAIT_FOR_LAUNCH else str(console.port)
        screens.append(
            {"type": console.kind, "port": port, "tlsPort": "-1", "ipAddress": console.address}
        )
    record: dict[str, Any] = {
        "vmId": vm_id,
        "vmName": vm.name,
        "status": status,
        "statusTime": at,
        "pauseCode": "EOTHER" if status == words.PAUSED else "NOERR",
        "monitorResponse": "0",
        "displayInfo": screens,
        "timeOffset": "0",
    }
    if percent is not None:
        record["migrationProgress"] = percent
    return record
