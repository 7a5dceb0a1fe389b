"""
The definition of the engine VM on the shared storage, which all hosts start it from.

The storage has two areas of `AREA_BYTES`, one behind the other. A new document replaces the older
one, so that a write that is broken off leaves the newer one whole. An area begins with a line that
names the document's version, its length and its SHA-256; the document, XML in UTF-8, follows at
`HEADER_BYTES`:

    he-fsm definition 1 version=1794633 bytes=2210 sha256=5f70bf18a0860070...

The version is the wall-clock time at which the document was written (whole seconds, growing). A
host's record tells which version it has: oVirt's field `local_conf_timestamp` (metadata-format.md).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final, NamedTuple, Optional

from he_fsm.errors import HeFsmError

AREAS: Final = 2
AREA_BYTES: Final = 1 << 20
HEADER_BYTES: Final = 4096
TEXT_BYTES_MAX: Final = AREA_BYTES - HEADER_BYTES
_LINE: Final = re.compile(
    rb"he-fsm definition 1 version=(?P<version>[0-9]{1,18}) bytes=(?P<bytes>[0-9]{1,7}) "
    rb"sha256=(?P<sum>[0-9a-f]{64})\n"
)


class DefinitionError(HeFsmError):
    """What stands on the storage is no document, or differs from its checksum."""


class Document(NamedTuple):
    """A version, and the text of that version."""

    version: int
    text: str


class Place(NamedTuple):
    """Where a document is written: the area's number; its version has to be above `after`."""

    area: int
    after: int


def encode(document: Document) -> tuple[bytes, bytes]:
    """
    Return an area's header, of `HEADER_BYTES`, and its document, in whole blocks.

    The document is to be written first: a header names what is there already.

    Raises:
        DefinitionError: the text is too long.
    """
    text = document.text.encode()
    if len(text) > TEXT_BYTES_MAX:
        msg = f"the definition has {len(text):,} bytes, and {TEXT_BYTES_MAX:,} is the most"
        raise DefinitionError(msg)
    line = (
        f"he-fsm definition 1 version={document.version} bytes={len(text)} "
        f"sha256={hashlib.sha256(text).hexdigest()}\n"
    )
    blocks = -(-len(text) // HEADER_BYTES)
    return line.encode().ljust(HEADER_BYTES, b"\0"), text.ljust(blocks * HEADER_BYTES, b"\0")


def newest(areas: Sequence[bytes]) -> Optional[Document]:
    """
    Return the document with the highest version; None: nobody has written one yet.

    Raises:
        DefinitionError: it differs from its checksum, or something else stands there.
    """
    headers = [_LINE.match(area) for area in areas]
    found = [(int(line["version"]), line, area) for line, area in zip(headers, areas) if line]
    if not found:
        if any(area[:HEADER_BYTES].strip(b"\0") for area in areas):
            msg = "what stands there is no definition of a VM"
            raise DefinitionError(msg)
        return None
    version, line, area = max(found, key=lambda each: each[0])
    text = area[HEADER_BYTES : HEADER_BYTES + int(line["bytes"])]
    if hashlib.sha256(text).hexdigest().encode() != line["sum"]:
        msg = f"version {version} of the definition differs from its checksum"
        raise DefinitionError(msg)
    return Document(version, text.decode())


def place_of_next(areas: Sequence[bytes]) -> Place:
    """Return where the next document goes: in the place of the older one."""
    headers = [_LINE.match(area) for area in areas]
    versions = [0 if line is None else int(line["version"]) for line in headers]
    return Place(versions.index(min(versions)), max(versions))
