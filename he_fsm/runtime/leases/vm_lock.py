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

from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.files import records


@attrs.frozen
class VmLock:
    """
    The lock file of one host; it must lie where every start of this host's VM finds it.

    `pid_file` is where another daemon (libvirt) notes the process of a VM that does not lock the
    file; None: there is no such VM.
    """

    path: Path
    pid_file: Optional[Path] = None

    @classmethod
    def named(cls, path: str, pid_file: str) -> VmLock:
        """Return it by the names of its files; *pid_file* may be empty."""
        return cls(Path(path), Path(pid_file) if pid_file else None)

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
        Whether no process of a VM has it, nor is noted in the pid file.

        Raises:
            LockspaceError: a file can't be read, so nobody knows.
        """
        if self.pid_file is not None and _names_a_vm(self.pid_file):
            return False
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


def is_hidden(pid: int) -> bool:
    """Whether a process lives that this user may not see (/proc with `hidepid`, `ProtectProc`)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return False


def _names_a_vm(pid_file: Path) -> bool:
    """Whether the process of a pid file lives, and is no other one of an old number."""
    try:
        pid = int(pid_file.read_text(encoding="ascii"))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise records.lease_error(pid_file, error) from error
    except ValueError as error:
        msg = f"{pid_file} is damaged: nobody knows whether an engine VM runs here"
        raise LockspaceError(msg) from error
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        # safety: one that is hidden from this user counts as the VM.
        return is_hidden(pid)
    # A VM's process names the VM as its pid file does.
    return pid_file.stem.encode() in words
