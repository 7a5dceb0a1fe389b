"""The whiteboard's file or block device: slots in, slots out, past this machine's cache."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import StorageError
from he_fsm.metadata.codec import decode_global, encode_global
from he_fsm.metadata.layout import HOST_ID_MAX, SLOT_BYTES, WHITEBOARD_BYTES
from he_fsm.runtime.storage.direct_file import DirectFile, storage_error

# The owner and its group write; nobody else reads.
FILE_MODE: Final = 0o660
# How long the maintenance command waits for another one that is writing slot 0.
GUARD_WAIT_S: Final = 0.2
_GUARD_POLL_S: Final = 0.01
# After a write of slot 0: what another machine wrote at the same moment has arrived by then.
_SEEN_AFTER_S: Final = 0.05
# The end of a reading is looked for in pieces of this size.
_PIECE_BYTES: Final = 64 * SLOT_BYTES
# fcntl's struct flock on 64-bit Linux: type, whence, start, length, process.
_RANGE_LOCK: Final = struct.Struct("hhqqi4x")


class WhiteboardFile(DirectFile):
    """
    The whiteboard at a path, *offset* bytes from its beginning.

    Raises:
        ValueError: the offset is negative or no multiple of 4096.
    """

    def read(self) -> bytes:
        """
        Read all slots in one go, from slot 0 to the last one that is not empty.

        Raises:
            StorageError: the path is not there, is no file or block device, or can't be read.
        """
        with self.opened(os.O_RDONLY, "read") as descriptor:
            return self._read(descriptor, WHITEBOARD_BYTES)

    def write_slot(self, slot: int, block: bytes) -> None:
        """
        Write one slot; when this returns, the slot is on the storage.

        It is a single write of 4096 bytes, so a half-written slot is nothing that we can leave.

        Raises:
            StorageError: it can't be written; what is there is then either the old or the new.
            ValueError: the slot is not 0 to 2000, or the block is not 4096 bytes long.
        """
        if not 0 <= slot <= HOST_ID_MAX:
            msg = f"a slot is 0 to {HOST_ID_MAX}, got {slot}"
            raise ValueError(msg)
        if len(block) != SLOT_BYTES:
            msg = f"a slot has {SLOT_BYTES} bytes, got {len(block)}"
            raise ValueError(msg)
        with self.opened(os.O_WRONLY, "written") as descriptor:
            self._write(descriptor, slot, block)

    def write_global(self, maintenance: bool, until: Optional[int] = None) -> None:
        """
        Set the cluster's flag in slot 0, which no lease protects, and when it ends by itself.

        One writer at a time on this machine. A writer on another machine can't be kept out: the
        slot is read again a moment later, and whoever was written over is told.

        Raises:
            StorageError: it can't be written, another writer on this machine holds the guard
                (nothing was written then), or another machine wrote at the same moment.
        """
        with self.opened(os.O_RDWR, "written") as descriptor:
            self._guard(descriptor)
            self._write_and_see(descriptor, encode_global(maintenance, until))

    def mend_global(self, maintenance: bool, until: Optional[int] = None) -> bool:
        """
        Write slot 0's last good value again, if the slot can't be believed; say whether it was.

        The slot is read under the guard just before, so a write in the meantime is kept.

        Raises:
            StorageError: as `write_global`.
        """
        with self.opened(os.O_RDWR, "written") as descriptor:
            self._guard(descriptor)
            before = self._read(descriptor, SLOT_BYTES)
            if decode_global(before).maintenance is not None:
                return False
            self._write_and_see(descriptor, encode_global(maintenance, until))
            return True

    def end_global(self, until: int) -> bool:
        """
        End the cluster's maintenance if slot 0 still says that it ends *until*; say whether it was.

        The slot is read under the guard just before, so a flag that somebody set anew is kept.

        Raises:
            StorageError: as `write_global`.
        """
        with self.opened(os.O_RDWR, "written") as descriptor:
            self._guard(descriptor)
            before = decode_global(self._read(descriptor, SLOT_BYTES))
            if before.maintenance is not True or before.until != until:
                return False
            self._write_and_see(descriptor, encode_global(False))
            return True

    def _write_and_see(self, descriptor: int, block: bytes) -> None:
        """Write slot 0, and see whether a writer on another machine has written over it."""
        self._write(descriptor, 0, block)
        time.sleep(_SEEN_AFTER_S)
        if self._read(descriptor, SLOT_BYTES) != block.rstrip(b"\0").ljust(SLOT_BYTES, b"\0"):
            msg = f"slot 0 of {self.path} was written by somebody else just now; look again"
            raise StorageError(msg)

    def _read(self, descriptor: int, limit: int) -> bytes:
        """Read at most *limit* bytes, without the empty slots at the end."""
        with self.reading(descriptor, limit) as (buffer, filled):
            return buffer[: _used_bytes(buffer, filled)]

    def _write(self, descriptor: int, slot: int, block: bytes) -> None:
        self.write_block(descriptor, block, slot * SLOT_BYTES)

    def _guard(self, descriptor: int) -> None:
        """
        Keep other writers of slot 0 out until the descriptor is closed.

        The lock is on the slot itself and belongs to the open file: it works for files, devices
        and NFS, leaves nothing behind, and holds between the threads of one process too.
        """
        lock = _RANGE_LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, self.offset, SLOT_BYTES, 0)
        deadline = time.monotonic() + GUARD_WAIT_S
        while True:
            try:
                fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
            except OSError as error:
                if error.errno not in {errno.EACCES, errno.EAGAIN}:
                    raise
            else:
                return
            if time.monotonic() > deadline:
                msg = f"somebody else is writing slot 0 of {self.path}; try again"
                raise StorageError(msg)
            time.sleep(_GUARD_POLL_S)


def create(path: str | Path, hosts: int) -> None:
    """
    Make a whiteboard for the host ids 1 to *hosts*: empty slots, and no maintenance.

    It appears whole and with mode 0660, its space allocated.

    Raises:
        StorageError: there is something at the path already, or it can't be made.
        ValueError: *hosts* is not 1 to 2000.
    """
    if not 1 <= hosts <= HOST_ID_MAX:
        msg = f"hosts must be 1 to {HOST_ID_MAX}, got {hosts}"
        raise ValueError(msg)
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, FILE_MODE)
            os.posix_fallocate(descriptor, 0, SLOT_BYTES * (hosts + 1))
            os.pwrite(descriptor, encode_global(False), 0)
            os.fsync(descriptor)
            # A link, unlike a renaming, refuses to replace what is there.
            os.link(unfinished, path)
        finally:
            os.close(descriptor)
            unfinished.unlink()
    except OSError as error:
        raise storage_error(path, "made", error) from error


def _used_bytes(buffer: mmap.mmap, filled: int) -> int:
    """Return how many bytes there are up to the end of the last slot that is not empty."""
    end = filled
    while end > 0:
        begin = max(0, (end - 1) // _PIECE_BYTES * _PIECE_BYTES)
        piece = buffer[begin:end]
        # Comparing is many times faster than stripping, and most of a big whiteboard is empty.
        if piece != bytes(len(piece)):
            used = begin + len(piece.rstrip(b"\0"))
            return min(filled, -(-used // SLOT_BYTES) * SLOT_BYTES)
        end = begin
    return 0
