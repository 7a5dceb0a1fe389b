"""
Support archives: what is in one, and reading one that anybody may have sent.

Nothing is unpacked: members are read one after the other, those that are known by their names, and
never more of them than an archive can have.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, Optional

import attrs

from he_fsm.errors import HeFsmError
from he_fsm.runtime.history.ring import FILE_BYTES_MAX, SUFFIX, ring_parts
from he_fsm.words import printable

# The version of the archive's form; every later release reads it.
FORMAT: Final = 1
FOLDER: Final = "he-fsm-capture"
MANIFEST: Final = "manifest.json"
RING: Final = "ring"
# All that is unpacked of an archive, what is not used included.
_UNPACKED_MAX: Final = 2**31
_MANIFEST_BYTES_MAX: Final = 2**20
_MEMBERS_MAX: Final = 4096
# By these bytes a file begins that gzip has written. Source: RFC 1952, 2.3.1.
_GZIP: Final = b"\x1f\x8b"


class ArchiveError(HeFsmError):
    """An archive can't be used; the message names the file and its member."""


@attrs.frozen(kw_only=True)
class Part:
    """A file of a ring, and what messages call it."""

    name: str
    data: bytes


@attrs.frozen(kw_only=True)
class Source:
    """
    What one host has kept: a support archive, or the folder of its ring.

    `manifest`: what the archive says of itself; empty for a folder.
    """

    name: str
    manifest: dict[str, Any]
    parts: tuple[Part, ...]


def read_source(path: Path) -> Source:
    """
    Read an archive that `he-fsm capture` wrote, or the folder of a ring.

    Raises:
        ArchiveError: it can't be read, or is none.
        HeFsmError: a file of a folder can't be read.
    """
    if path.is_dir():
        parts = tuple(Part(name=str(file), data=data) for file, data in ring_parts(path))
        source = Source(name=str(path), manifest={}, parts=parts)
    else:
        source = _read_archive(path)
    if not source.parts:
        missing = source.manifest.get("missing")
        why = missing.get(RING) if isinstance(missing, dict) else None
        msg = f"{path}: it has no decisions: " + (
            printable(str(why)) if why else f"no file *{SUFFIX}"
        )
        if path.is_dir():
            msg += ", as the folder `history` in a host's state_dir has"
        raise ArchiveError(msg)
    return source


def _read_archive(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            return _read_tar(path, file)
    # Of these the first is an `OSError` too.
    except (gzip.BadGzipFile, tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        msg = (
            f"{path}: expected an archive of he-fsm capture (a tar, compressed by gzip), and"
            f" {_what_is_wrong(path, error)}"
        )
        raise ArchiveError(msg) from error
    except OSError as error:
        msg = f"{path}: can't be read: {error.strerror or error}"
        raise ArchiveError(msg) from error


def _what_is_wrong(path: Path, error: Exception) -> str:
    """Return why a file is no archive, and what to do, as the end of a sentence."""
    if not path.stat().st_size:
        return "this file is empty: copy it again"
    if isinstance(error, gzip.BadGzipFile) and not _is_packed(path):
        return "this is none; he-fsm capture writes one"
    if isinstance(error, (EOFError, zlib.error, gzip.BadGzipFile)):
        return "a part of it is missing or damaged: copy it again"
    return "what is in it is no whole tar: copy it again, or he-fsm capture writes one"


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def _read_tar(path: Path, file: IO[bytes]) -> Source:
    manifest: Optional[dict[str, Any]] = None
    parts = []
    with gzip.GzipFile(fileobj=file) as unpacked:
        stream: Any = _Bounded(unpacked, str(path))
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in _known(tar, path):
                name = f"{path}: {printable(member.name)}"
                limit = _MANIFEST_BYTES_MAX if member.name.endswith(MANIFEST) else FILE_BYTES_MAX
                if member.size > limit:
                    msg = f"{name}: {member.size} bytes, expected {limit} at most"
                    raise ArchiveError(msg)
                content = tar.extractfile(member)
                data = b"" if content is None else content.read()
                if member.name.endswith(MANIFEST):
                    manifest = _manifest(data, name)
                else:
                    parts.append(Part(name=name, data=data))
    if manifest is None:
        msg = f"{path}: expected {FOLDER}/{MANIFEST}, which he-fsm capture writes first"
        raise ArchiveError(msg)
    return Source(name=str(path), manifest=manifest, parts=tuple(parts))


def _known(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """Return the members that are read: plain files with exactly the names that are written."""
    rings = f"{FOLDER}/{RING}/"
    for count, member in enumerate(tar, start=1):
        if count > _MEMBERS_MAX:
            msg = f"{path}: more than {_MEMBERS_MAX} members"
            raise ArchiveError(msg)
        is_ring = member.name.startswith(rings) and member.name.endswith(SUFFIX)
        if member.isreg() and (is_ring or member.name == f"{FOLDER}/{MANIFEST}"):
            yield member


def _manifest(data: bytes, name: str) -> dict[str, Any]:
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = f"{name}: expected JSON: {error}"
        raise ArchiveError(msg) from error
    version = plain.get("format") if isinstance(plain, dict) else None
    if not isinstance(version, int):
        msg = f"{name}: expected an object with a number `format`"
        raise ArchiveError(msg)
    if version > FORMAT:
        msg = f"{name}: format {version} is of a later release; this one reads up to {FORMAT}"
        raise ArchiveError(msg)
    found: dict[str, Any] = plain
    return found


class _Bounded(io.RawIOBase):
    """Reads a stream, and no more of it than an archive can have."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, name: str) -> None:
        self._stream = stream
        self._name = name
        self._left = _UNPACKED_MAX

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            msg = f"{self._name}: more than {_UNPACKED_MAX} bytes when it is unpacked"
            raise ArchiveError(msg)
        return data
