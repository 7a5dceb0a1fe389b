"""
Whether an engine VM runs here, whatever runs it and whoever started it: a locked file.

The process that becomes the VM locks the file and never lets it go: the kernel does, with the last
process that has it open. It says nothing about other hosts; the lease does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import attrs

from he_fsm.runtime.leases.files import records


@attrs.frozen
class VmLock:
    """The lock file of one host; it must lie where every start of this host's VM finds it."""

    path: Path

    def take(self) -> Optional[int]:
        """
        Lock it; give the descriptor that holds the lock (not inheritable yet).

        None: a VM runs here, or one is being started.

        Raises:
            LockspaceError: the file can't be opened.
        """
        descriptor = self._opened(os.O_RDWR | os.O_CREAT)
        if descriptor is not None and not records.lock(descriptor):
            os.close(descriptor)
            return None
        return descriptor

    def is_free(self) -> bool:
        """
        Whether no process of a VM has it.

        Raises:
            LockspaceError: the file can't be opened, so nobody knows.
        """
        descriptor = self._opened(os.O_RDONLY)
        if descriptor is None:
            return True
        try:
            return not records.is_locked(descriptor)
        finally:
            os.close(descriptor)

    def _opened(self, flags: int) -> Optional[int]:
        try:
            return os.open(self.path, flags | os.O_CLOEXEC, records.FILE_MODE)
        except FileNotFoundError as error:
            if flags & os.O_CREAT:
                raise records.lease_error(self.path, error) from error
            return None
        except OSError as error:
            raise records.lease_error(self.path, error) from error
