"""
The configuration that oVirt's hosts share: a tar of 20480 bytes in a volume of its own.

Source: ovirt-hosted-engine-setup 2.7: the tar is made with a record of 20480 bytes, and read as a
whole; a volume may be longer.
"""

from __future__ import annotations

import copy
import io
import tarfile
from collections.abc import Mapping
from typing import Final

from he_fsm.errors import ConfigError

ARCHIVE_BYTES: Final = 20480
# In their order. Source: as above.
MEMBERS: Final = ("version", "fhanswers.conf", "hosted-engine.conf", "broker.conf", "vm.conf")


def read_archive(data: bytes) -> Mapping[str, bytes]:
    """
    Return what is in the archive, by name.

    Raises:
        ConfigError: it is none, or a file is missing in it.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(data[:ARCHIVE_BYTES]), mode="r:") as archive:
            found = {
                member.name: archive.extractfile(member) for member in archive if member.isfile()
            }
            content = {name: b"" if file is None else file.read() for name, file in found.items()}
    except (tarfile.TarError, EOFError) as error:
        msg = f"there is no shared configuration: the volume holds no tar ({error})"
        raise ConfigError(msg) from error
    missing = [name for name in MEMBERS if name not in content]
    if missing:
        msg = f"the shared configuration is not whole: it has no {', '.join(missing)}"
        raise ConfigError(msg)
    return content


def with_member(data: bytes, name: str, content: bytes) -> bytes:
    """
    Return the archive with another content of one file; all other bytes of the files stay.

    Raises:
        ConfigError: it is no archive, has no such file, or the new one does not fit.
    """
    if name not in read_archive(data):
        msg = f"the shared configuration has no {name}"
        raise ConfigError(msg)
    parts = []
    with tarfile.open(fileobj=io.BytesIO(data[:ARCHIVE_BYTES]), mode="r:") as archive:
        for member in archive:
            if member.name == name:
                parts.append(_entry(member, content))
            else:
                end = member.offset_data + _whole(member.size if member.isfile() else 0)
                parts.append(data[member.offset : end])
    changed = b"".join(parts)
    # Two empty blocks end a tar.
    if len(changed) + 2 * tarfile.BLOCKSIZE > ARCHIVE_BYTES:
        msg = f"the shared configuration has {ARCHIVE_BYTES} bytes, and {name} does not fit"
        raise ConfigError(msg)
    return changed.ljust(ARCHIVE_BYTES, b"\0")


def _entry(member: tarfile.TarInfo, content: bytes) -> bytes:
    """Return a file of a tar, as it was but for its content."""
    changed = copy.copy(member)
    changed.size = len(content)
    return changed.tobuf(tarfile.GNU_FORMAT) + content.ljust(_whole(len(content)), b"\0")


def _whole(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
