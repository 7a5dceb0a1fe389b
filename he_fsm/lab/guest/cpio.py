"""
Archives of files as Linux unpacks them into its first file system: cpio, format "newc".

Written here, not by the program cpio: that one needs a folder of device files and links first.
Source: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel.
"""

from __future__ import annotations

import gzip
import stat
from collections.abc import Iterable
from typing import Final

import attrs

_ALIGNMENT: Final = 4
_TRAILER: Final = "TRAILER!!!"


@attrs.frozen
class Entry:
    """One folder, file or symbolic link; `path` is relative to the root."""

    path: str
    mode: int
    data: bytes = b""

    @classmethod
    def folder(cls, path: str) -> Entry:
        """Make a folder."""
        return cls(path, stat.S_IFDIR | 0o755)

    @classmethod
    def file(cls, path: str, data: bytes, *, is_program: bool = False) -> Entry:
        """Make a file."""
        return cls(path, stat.S_IFREG | (0o755 if is_program else 0o644), data)

    @classmethod
    def link(cls, path: str, target: str) -> Entry:
        """Make a symbolic link."""
        return cls(path, stat.S_IFLNK | 0o777, target.encode())


def archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive, compressed; a folder comes before what it holds."""
    packed = b"".join(_packed(number, entry) for number, entry in enumerate(entries, start=1))
    # The same entries make the same bytes, whenever it is.
    return gzip.compress(packed + _packed(0, Entry(_TRAILER, 0)), compresslevel=1, mtime=0)


def _packed(number: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name, check
    fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _aligned(header + name) + _aligned(entry.data)


def _aligned(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _ALIGNMENT)
