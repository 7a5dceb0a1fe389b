"""The embedded leases as they stand on the storage, and how they are written anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from he_fsm.errors import LeaseDamagedError, LeaseMissingError, LockspaceError, OldVmError
from he_fsm.runtime.leases.files import records
from he_fsm.runtime.leases.files.records import EngineRecord
from he_fsm.runtime.ports import IdMark


class EmbeddedStored:
    """The files of the leases in one folder; implements `StoredLeases`."""

    def __init__(self, folder: Path) -> None:
        """Look into *folder*."""
        self._folder = folder

    @property
    def place(self) -> str:
        """Where they are: their folder."""
        return str(self._folder)

    def host_id(self, host_id: int) -> Optional[IdMark]:
        """Return what the file of a host id says; None: nobody has it."""
        # A lock that is held is a process that lives, whatever the line says.
        is_held = records.host_is_held(self._folder, host_id)
        try:
            found = records.read_host(self._folder, host_id)
        except LockspaceError as error:
            if is_held:
                raise
            raise LeaseDamagedError(str(error)) from error
        if found is None:
            msg = f"{records.host_path(self._folder, host_id)} does not exist"
            raise LeaseMissingError(msg)
        if found.left and not is_held:
            return None
        return IdMark(found.generation, found.renewed_at)

    def engine(self) -> Optional[tuple[int, int]]:
        """Return who took the engine's lease last; None: it was never taken."""
        path = self._folder / records.ENGINE_FILE
        if not path.exists():
            return None
        descriptor = records.open_engine(self._folder)
        try:
            found = records.read_line(descriptor, EngineRecord, path)
        except LockspaceError as error:
            raise LeaseDamagedError(str(error)) from error
        finally:
            os.close(descriptor)
        return None if found is None else (found.owner, found.generation)

    def rewrite(self) -> None:
        """Remove what is written; raises `OldVmError` where a process has the engine's lease."""
        records.create_lockspace(self._folder)
        descriptor = records.open_engine(self._folder)
        try:
            # safety: whoever has the lock is a VM that executes.
            if not records.lock(descriptor):
                msg = "the leases stay as they are: an engine VM runs on this machine; end it first"
                raise OldVmError(msg)
            os.ftruncate(descriptor, 0)
            for host_id in records.host_ids(self._folder):
                if not records.host_is_held(self._folder, host_id):
                    records.host_path(self._folder, host_id).unlink(missing_ok=True)
        except OSError as error:
            raise records.lease_error(self._folder, error) from error
        finally:
            os.close(descriptor)
