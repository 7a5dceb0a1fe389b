"""A file or block device in whole blocks, past this machine's cache."""

from __future__ import annotations

import errno
import fcntl
import logging
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from he_fsm.errors import StorageError

_log = logging.getLogger(__name__)

# Sectors of 512 and of 4096 bytes are served alike.
BLOCK_BYTES: Final = 4096


class DirectFile:
    """
    What is at a path, *offset* bytes from its beginning on.

    Every use opens the path anew and closes it: a file that was replaced is seen at once, and where
    O_DIRECT is not to be had, opening is what makes NFS show another machine's writes. Everything
    is a multiple of 4096 bytes, in place, length and memory.

    Raises:
        ValueError: the offset is negative or no multiple of 4096.
    """

    def __init__(self, path: str | Path, offset: int = 0) -> None:
        if offset < 0 or offset % BLOCK_BYTES:
            msg = f"offset must be 0 or a multiple of {BLOCK_BYTES} bytes, got {offset}"
            raise ValueError(msg)
        self.path = Path(path)
        self.offset = offset
        # False once this path's file system has refused O_DIRECT.
        self.is_direct = True

    def read_beginning(self, limit: int) -> bytes:
        """
        Read the first *limit* bytes, or what there is of them.

        Raises:
            StorageError: the path is not there, is no file or block device, or can't be read.
        """
        with self.opened(os.O_RDONLY, "read") as at, self.reading(at, limit) as (buffer, filled):
            return buffer[:filled]

    @contextmanager
    def opened(self, flags: int, what: str) -> Iterator[int]:
        """Open the path for as long as the block runs; every OSError becomes a sentence."""
        try:
            descriptor = self._open(flags)
        except OSError as error:
            raise storage_error(self.path, what, error) from error
        try:
            kind = os.fstat(descriptor).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISBLK(kind)):
                msg = f"{self.path} is neither a file nor a block device"
                raise StorageError(msg)
            yield descriptor
        except OSError as error:
            raise storage_error(self.path, what, error) from error
        finally:
            os.close(descriptor)

    def _open(self, flags: int) -> int:
        flags |= os.O_CLOEXEC
        if self.is_direct:
            try:
                return os.open(self.path, flags | os.O_DIRECT | os.O_DSYNC)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._give_up_direct()
        return os.open(self.path, flags)

    def _give_up_direct(self) -> None:
        self.is_direct = False
        _log.warning(
            "%s: its file system does not know O_DIRECT; what is written goes through the "
            "cache, with fsync, and the file is opened anew each time",
            self.path,
        )

    def _refuses_direct(self, descriptor: int, error: OSError) -> bool:
        """Notice a file system that only refuses O_DIRECT at the first transfer; do without."""
        if not self.is_direct or error.errno != errno.EINVAL:
            return False
        self._give_up_direct()
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        return True

    @contextmanager
    def reading(self, descriptor: int, limit: int) -> Iterator[tuple[mmap.mmap, int]]:
        """Read at most *limit* bytes; return a buffer, and how much of it there was to be read."""
        size = max(0, os.lseek(descriptor, 0, os.SEEK_END) - self.offset)
        # O_DIRECT wants whole blocks; the end of the file cuts the last one short by itself.
        length = -(-min(size, limit) // BLOCK_BYTES) * BLOCK_BYTES
        with mmap.mmap(-1, length or BLOCK_BYTES) as buffer:
            filled = 0
            while filled < length:
                with memoryview(buffer) as view, view[filled:] as rest:
                    try:
                        count = os.preadv(descriptor, [rest], self.offset + filled)
                    except OSError as error:
                        if not self._refuses_direct(descriptor, error):
                            raise
                        continue
                filled += count
                # Nothing more to come, or the end in the middle of a block.
                if not count or filled % BLOCK_BYTES:
                    break
            yield buffer, filled

    def write_block(self, descriptor: int, block: bytes, place: int) -> None:
        """Write one block, *place* bytes from the offset; then it is on the storage."""
        with mmap.mmap(-1, BLOCK_BYTES) as buffer:
            buffer[:] = block
            try:
                count = os.pwrite(descriptor, buffer, self.offset + place)
            except OSError as error:
                if not self._refuses_direct(descriptor, error):
                    raise
                count = os.pwrite(descriptor, buffer, self.offset + place)
        if count != BLOCK_BYTES:
            msg = f"only {count} of {BLOCK_BYTES} bytes fit into {self.path}"
            raise StorageError(msg)
        if not self.is_direct:
            os.fsync(descriptor)


def storage_error(path: Path, what: str, error: OSError) -> StorageError:
    """Return a sentence that says that *path* can't be *what*, and why."""
    return StorageError(f"{path} can't be {what}: {error.strerror or error}")
