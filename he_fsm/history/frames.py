"""
A sequence of frames in a file that may end, or be damaged, anywhere.

A frame is `H`, its kind (one byte), the length of its content (4 bytes), a CRC-32 of kind, length
and content (4 bytes), all numbers little-endian, then the content. What was being written when the
power went does not check, and is left out. After damage in the middle, reading goes on with the
next whole frame that stands by itself (kind `K`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, Optional, Union

import attrs

# Kinds: one that stands by itself, and one that adds to the frames before it.
KEY: Final = b"K"
LOOK: Final = b"L"
_BEGINS: Final = b"H"
_HEAD_BYTES: Final = 10
# A whiteboard of 2000 hosts in full takes some 3 MiB before it is compressed.
FRAME_BYTES_MAX: Final = 16 * 2**20
# Bytes of a foreign hand may look like a frame anywhere; so many are tried, then the rest is given
# up: each costs the check of a whole frame.
_TRIES_MAX: Final = 200


@attrs.frozen
class Frame:
    """One frame: where it begins (bytes), its kind, and its content."""

    at: int
    kind: bytes
    content: bytes

    @property
    def ends_at(self) -> int:
        """Where the next one begins."""
        return self.at + _HEAD_BYTES + len(self.content)


@attrs.frozen
class Damage:
    """Bytes that are no frame; `is_torn`: they end the file, as after a loss of power."""

    at: int
    until: int
    is_torn: bool


def framed(kind: bytes, content: bytes) -> bytes:
    """Return a frame with this content."""
    length = len(content).to_bytes(4, "little")
    crc = zlib.crc32(content, zlib.crc32(kind + length))
    return b"".join((_BEGINS, kind, length, crc.to_bytes(4, "little"), content))


def unframed(data: bytes, at: int = 0) -> Iterator[Union[Frame, Damage]]:
    """Return the frames of data from a place on, and what is none, in order; never raises."""
    while at < len(data):
        frame = _frame(data, at)
        if frame is not None:
            yield frame
            at = frame.ends_at
            continue
        after = _next_key(data, at + 1)
        yield Damage(at, after, is_torn=after == len(data))
        at = after


def _frame(data: bytes, at: int) -> Optional[Frame]:
    head = data[at : at + _HEAD_BYTES]
    if len(head) < _HEAD_BYTES or head[:1] != _BEGINS or head[1:2] not in (KEY, LOOK):
        return None
    length = int.from_bytes(head[2:6], "little")
    if length > FRAME_BYTES_MAX:
        return None
    content = data[at + _HEAD_BYTES : at + _HEAD_BYTES + length]
    if len(content) < length:
        return None
    crc = zlib.crc32(content, zlib.crc32(head[1:6]))
    if crc.to_bytes(4, "little") != head[6:]:
        return None
    return Frame(at, head[1:2], content)


def _next_key(data: bytes, at: int) -> int:
    """Return where the next whole frame begins that stands by itself; or the end."""
    for _ in range(_TRIES_MAX):
        at = data.find(_BEGINS + KEY, at)
        if at < 0:
            break
        if _frame(data, at) is not None:
            return at
        at += 1
    return len(data)
