"""
A VM at one moment, as vdsm tells it, and what state of the VM that is; pure functions.

vdsm's fields come and go with its versions and are mostly text: what is missing, or of another
kind, is not known, and no error. Source: vdsm 4.50.7, `virt/vmstatus.py`, `virt/vmexitreason.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.snapshot import VmState

UP: Final = "Up"
DOWN: Final = "Down"
PAUSED: Final = "Paused"
MIGRATION_SOURCE: Final = "Migration Source"
MIGRATION_DESTINATION: Final = "Migration Destination"
WAIT_FOR_LAUNCH: Final = "WaitForLaunch"
POWERING_UP: Final = "Powering up"
POWERING_DOWN: Final = "Powering down"

_STATES: Final = {
    WAIT_FOR_LAUNCH: VmState.STARTING,
    "Restoring state": VmState.STARTING,
    # Its processors run; its guest has not answered yet.
    POWERING_UP: VmState.UP,
    UP: VmState.UP,
    "RebootInProgress": VmState.UP,
    PAUSED: VmState.PAUSED,
    "Saving State": VmState.PAUSED,
    POWERING_DOWN: VmState.STOPPING,
    MIGRATION_SOURCE: VmState.LEAVING,
    MIGRATION_DESTINATION: VmState.ARRIVING,
    DOWN: VmState.ABSENT,
}
# The source of a post-copy migration in its last phase says that it is paused.
_POST_COPY: Final = "POSTCOPY"
_NO_PAUSE: Final = "NOERR"

# Why a VM is Down.
GENERIC_ERROR: Final = 1
LOST_QEMU: Final = 2
MIGRATED: Final = 4
ADMIN_SHUTDOWN: Final = 6
USER_SHUTDOWN: Final = 7
MIGRATION_FAILED: Final = 8


@attrs.frozen(kw_only=True)
class VmSeen:
    """
    What vdsm says of the VM.

    `exit_*` are of one that is Down. `progress` is that of a migration, from 0 to 1.
    """

    status: str
    exit_code: Optional[int] = None
    exit_reason: Optional[int] = None
    exit_message: str = ""
    pause_code: str = ""
    progress: Optional[float] = None

    @classmethod
    def of(cls, record: Any) -> Optional[VmSeen]:
        """Return what a record of VM.getStats or of an event says; None: it has no status."""
        if not isinstance(record, Mapping) or not isinstance(record.get("status"), str):
            return None
        percent = number(record.get("migrationProgress"))
        return cls(
            status=record["status"],
            exit_code=_whole(record.get("exitCode")),
            exit_reason=_whole(record.get("exitReason")),
            exit_message=_text(record.get("exitMessage")),
            pause_code=_text(record.get("pauseCode")),
            progress=None if percent is None else min(1.0, max(0.0, percent / 100)),
        )

    @property
    def is_down(self) -> bool:
        """Whether the VM has ended; vdsm keeps it in its list until it is destroyed."""
        return self.status == DOWN

    @property
    def has_moved(self) -> bool:
        """Whether it has ended here because it executes on another host."""
        return self.is_down and self.exit_reason == MIGRATED

    @property
    def executes(self) -> bool:
        """Whether its processors run here, and are meant to."""
        return self.vm_state() in (VmState.UP, VmState.STOPPING)

    def vm_state(self) -> VmState:
        """Return the state of the VM; UNKNOWN: a word that is new."""
        if self.status == PAUSED and self.pause_code == _POST_COPY:
            return VmState.LEAVING
        return _STATES.get(self.status, VmState.UNKNOWN)

    def detail(self) -> str:
        """Say why it is as it is, for people; empty: there is no more to say."""
        if self.is_down:
            return self.exit_message
        if self.status == PAUSED:
            is_error = self.pause_code not in ("", _NO_PAUSE)
            return f"paused ({self.pause_code})" if is_error else "paused"
        if self.vm_state() is VmState.UNKNOWN:
            return f"vdsm says '{self.status}', which is not known here"
        return "" if self.status == UP else f"vdsm says {self.status}"


def stats_of(answer: Any) -> Optional[VmSeen]:
    """Return what an answer to VM.getStats says: a list with one record, or the record alone."""
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    return VmSeen.of(answer)


def number(value: Any) -> Optional[float]:
    """Return a number, which vdsm may have written as text; None: it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _whole(value: Any) -> Optional[int]:
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
