"""A scenario in the fragment of a link: compressed, bounded, and checked when it is opened."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Final

from he_fsm.errors import ScenarioError

# Browsers and chats cut longer links.
LINK_CHARACTERS_MAX: Final = 32_000
# As much as the page plays at all: what a link unpacks to is not trusted to be small.
TEXT_BYTES_MAX: Final = 256 * 1024
# The first character, so that links of a later release can be told from those of this one.
_VERSION: Final = "1"
_RAW: Final = -zlib.MAX_WBITS


def fragment_of(text: str) -> str:
    """
    Return a scenario file as the fragment of a link.

    Raises:
        ScenarioError: the file is too large for a link.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, _RAW)
    data = packer.compress(text.encode()) + packer.flush()
    fragment = _VERSION + base64.urlsafe_b64encode(data).decode().rstrip("=")
    if len(fragment) > LINK_CHARACTERS_MAX or len(text.encode()) > TEXT_BYTES_MAX:
        msg = f"too large for a link ({len(fragment)} characters): save it as a file instead"
        raise ScenarioError(msg)
    return fragment


def text_of(fragment: str) -> str:
    """
    Return the scenario file that a fragment holds.

    Raises:
        ScenarioError: it is no fragment of `fragment_of`, is cut off, or unpacks to too much.
    """
    if len(fragment) > LINK_CHARACTERS_MAX:
        msg = f"the link is too long ({len(fragment)} characters, at most {LINK_CHARACTERS_MAX})"
        raise ScenarioError(msg)
    if not fragment.startswith(_VERSION):
        msg = "the link holds no scenario of this release: copy the whole link"
        raise ScenarioError(msg)
    body = fragment[len(_VERSION) :]
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj(_RAW)
        plain = unpacker.decompress(data, TEXT_BYTES_MAX + 1)
        text = plain.decode()
    except (ValueError, binascii.Error, zlib.error) as error:
        msg = f"the link is damaged ({error}): copy the whole link"
        raise ScenarioError(msg) from error
    if len(plain) > TEXT_BYTES_MAX:
        msg = f"the link unpacks to more than {TEXT_BYTES_MAX} bytes, which is no scenario"
        raise ScenarioError(msg)
    if not unpacker.eof or unpacker.unused_data:
        msg = "the link is cut off: copy the whole link"
        raise ScenarioError(msg)
    return text
