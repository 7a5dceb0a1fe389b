"""A copy of a ring's file without secrets: details of errors may have one."""

from __future__ import annotations

import re
import zlib
from typing import Final

from he_fsm.cli.past.secrets import Secrets
from he_fsm.errors import HeFsmError
from he_fsm.history.book import BookError, read
from he_fsm.history.frames import KEY, Damage, framed, unframed

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_TEXT_BYTES_MAX: Final = 64 * 2**20


def without_secrets(data: bytes, secrets: Secrets) -> bytes:
    """
    Return a ring's file without the secrets that stand in texts, and without what is damaged.

    Where there are none, it is the same bytes.

    Raises:
        HeFsmError: it can't be copied, so that nobody knows what is in it.
    """
    try:
        return _copied(data, secrets)
    except (zlib.error, UnicodeDecodeError, BookError) as error:
        msg = f"a file of the ring can't be read, and is not copied unread: {error}"
        raise HeFsmError(msg) from error


def _copied(data: bytes, secrets: Secrets) -> bytes:
    texts = []
    squeezed, is_changed = zlib.decompressobj(), False
    for frame in unframed(data):
        if isinstance(frame, Damage):
            is_changed = True
            continue
        if frame.kind == KEY:
            squeezed = zlib.decompressobj()
        text = squeezed.decompress(frame.content, _TEXT_BYTES_MAX)
        # Almost never is there one, and a ring holds much text.
        if secrets.in_bytes(text):
            is_changed = True
            text = _without(text.decode(), secrets).encode()
        texts.append((frame.kind, text))
    if not is_changed:
        return data
    copy = _framed(texts)
    for _ in read(copy):
        # What was taken out may have been more than a text.
        pass
    return copy


def _without(text: str, secrets: Secrets) -> str:
    """Return a text of JSON without the secrets in its strings; its numbers stay."""
    return _STRING.sub(lambda match: f'"{secrets.without_known(match[0][1:-1])}"', text)


def _framed(texts: list[tuple[bytes, bytes]]) -> bytes:
    frames = []
    squeeze = zlib.compressobj()
    for kind, text in texts:
        if kind == KEY:
            squeeze = zlib.compressobj()
        content = squeeze.compress(text) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        frames.append(framed(kind, content))
    return b"".join(frames)
