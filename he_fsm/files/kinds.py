"""What a file is, by its first bytes: for the message where another kind was expected."""

from __future__ import annotations

import json
import stat
from typing import Final, Optional

# Source: file(1)'s magic numbers.
_MAGIC: Final = (
    (b"\x1f\x8b", "gzip-compressed; unpack it first: zcat FILE | ... -"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it first: zstdcat FILE | ... -"),
    (b"\xfd7zXZ\x00", "compressed by xz; unpack it first: xzcat FILE | ... -"),
    (b"BZh", "compressed by bzip2; unpack it first: bzcat FILE | ... -"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "an SQLite database"),
    (b"QFI\xfb", "a disk image of QEMU (qcow2)"),
)
_TAR_AT: Final = 257


def kind_of(data: bytes) -> Optional[str]:
    """Return what data is that has a known form of its own; None: it may be anything."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return "a tar archive"
    if data.lstrip()[:1] in (b"{", b"["):
        try:
            json.loads(data)
        except (ValueError, RecursionError):
            return None
        return "JSON, perhaps what `he-fsm status --json` printed"
    return None


def kind_of_path(mode: int) -> Optional[str]:
    """Return what a path is by its mode, where it is neither a file nor a device; else None."""
    for test, name in (
        (stat.S_ISFIFO, "a FIFO, which may never say anything; pass its content to '-' instead"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if test(mode):
            return name
    return None
