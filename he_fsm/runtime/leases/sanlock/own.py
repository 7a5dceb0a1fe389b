"""
The engine's lease in a process that keeps it for another one, with a note for the next owner.

sanlock keeps some bytes beside each lease (its lock value block): the owner leaves them, they are
written when the lease is released, and the next owner reads them when it has taken the lease.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from he_fsm.errors import LeaseHeldError
from he_fsm.runtime.leases.sanlock.daemon import errors as sanlock_errors
from he_fsm.runtime.leases.sanlock.daemon.module import call, register
from he_fsm.runtime.leases.sanlock.hold import lease_of
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.vm_lock import VmLock

# A note is as long as that at most; every sector has the room (bytes).
NOTE_BYTES: Final = 256
# The process that had the host's last VM has ended by then; how often that is looked at (seconds).
_LOCK_S: Final = 5.0
_LOOK_S: Final = 0.02


def make(settings: str) -> SanlockOwnLease:
    """
    Make this process one that can have the lease; see `ports.OwnLease`.

    Raises:
        LockspaceError: sanlock does not run, or a VM of this host is here already.
    """
    return SanlockOwnLease(SanlockSettings.from_text(settings))


class SanlockOwnLease:
    """This process's part in the lease; implements `ports.OwnLease`."""

    def __init__(self, settings: SanlockSettings) -> None:
        """Register with sanlock, and lock the file that says that a VM is here."""
        self._settings = settings
        # safety: the lock ends with the last process that has it open, as the lease does. No other
        # VM is started meanwhile, nor this host's id taken anew.
        self._lock = _locked(Path(settings.vm_lock))
        self._descriptor = register(settings.run_dir)

    def fileno(self) -> int:
        """Return the descriptor by whose last copy the lease ends."""
        return self._descriptor

    def take(self) -> int:
        """Take the lease, and return its version."""
        settings = self._settings
        call(
            *(settings.run_dir, "acquire"),
            *lease_of(settings),
            slkfd=self._descriptor,
            lvb=True,
            what=f"take the lease {settings.resource} of {settings.lockspace}",
            meanings=sanlock_errors.ACQUIRING,
        )
        (held,) = call(settings.run_dir, "inquire", slkfd=self._descriptor, what="ask for it")
        return int(held["version"])

    def note(self) -> bytes:
        """Return what the last owner has left."""
        settings = self._settings
        what = "read the note beside the lease"
        note = call(settings.run_dir, "get_lvb", *lease_of(settings), NOTE_BYTES, what=what)
        return bytes(note).rstrip(b"\0")

    def leave(self, note: bytes) -> None:
        """Leave a note; it is on the storage when the lease is released."""
        settings = self._settings
        what = "leave a note beside the lease"
        padded = note.ljust(NOTE_BYTES, b"\0")
        call(settings.run_dir, "set_lvb", *lease_of(settings), padded, what=what)


def _locked(path: Path) -> int:
    until = time.monotonic() + _LOCK_S
    while True:
        descriptor = VmLock(path).take()
        if descriptor is not None:
            return descriptor
        if time.monotonic() > until:
            msg = "a process of an engine VM is on this host already"
            raise LeaseHeldError(msg)
        time.sleep(_LOOK_S)
