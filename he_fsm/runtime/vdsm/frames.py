"""
Frames of STOMP 1.2, as vdsm has them: bytes to frames and back. Nothing is read or sent here.

A frame is a command, headers and a body:

    COMMAND LF (key ":" value LF)* LF body NUL

Keys and values are escaped in every frame, also in CONNECT and CONNECTED. With `content-length` the
body is exactly so long, and NUL follows it; without, the body ends at the first NUL. Line feeds
between frames are heart-beats. A carriage return before a line feed is no part of the line, and of
repeated headers the first one counts.

Source: docs of STOMP 1.2; vdsm 4.50.7, yajsonrpc/stomp.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Optional

import attrs

from he_fsm.errors import HeFsmError

HEARTBEAT: Final = b"\n"

CONNECT: Final = "CONNECT"
CONNECTED: Final = "CONNECTED"
SUBSCRIBE: Final = "SUBSCRIBE"
UNSUBSCRIBE: Final = "UNSUBSCRIBE"
SEND: Final = "SEND"
MESSAGE: Final = "MESSAGE"
ERROR: Final = "ERROR"
RECEIPT: Final = "RECEIPT"
DISCONNECT: Final = "DISCONNECT"

CONTENT_LENGTH: Final = "content-length"

# What a peer may make this side keep (bytes). The largest answer of vdsm's, the statistics of all
# VMs, has a few MiB on the largest hosts.
BODY_MAX: Final = 64 * 2**20
LINE_MAX: Final = 64 * 2**10
HEADERS_MAX: Final = 256

_NUL: Final = 0
_ESCAPE: Final = re.compile(rb"[\r\n\\:]")
_UNESCAPE: Final = re.compile(rb"\\(.?)", re.DOTALL)
_ESCAPES: Final = {b"\\": rb"\\", b"\r": rb"\r", b"\n": rb"\n", b":": rb"\c"}
_CHARACTERS: Final = {b"\\": b"\\", b"r": b"\r", b"n": b"\n", b"c": b":"}
# Another protocol than STOMP is noticed by this, before its first NUL.
_COMMAND: Final = re.compile(rb"[A-Z]{1,40}")
_NUMBER: Final = re.compile(r"[0-9]{1,12}")


class FrameError(HeFsmError):
    """The bytes are no frame of STOMP: nothing that follows them can be understood either."""


@attrs.frozen
class Frame:
    """One frame; its headers are without `content-length`, which the body tells."""

    command: str
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""


def encode(frame: Frame) -> bytes:
    """Return a frame's bytes; `content-length` stands last, where there is a body."""
    headers = [(key, value) for key, value in frame.headers.items() if key != CONTENT_LENGTH]
    if frame.body:
        headers.append((CONTENT_LENGTH, str(len(frame.body))))
    lines = [frame.command.encode()]
    lines += [_escaped(key) + b":" + _escaped(value) for key, value in headers]
    return b"\n".join([*lines, b"", frame.body]) + b"\0"


class Parser:
    """
    Collects bytes as they come, in pieces of any size, and returns the frames that they make.

    After a `FrameError` it can't go on: the connection has to be closed.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        # Up to here no end of the line, or of the body, was found: nobody looks there again.
        self._searched = 0
        # The frame under way, once its command is there; its length, once its headers are.
        self._command: Optional[str] = None
        self._headers: dict[str, str] = {}
        self._is_body = False
        self._length: Optional[int] = None

    def feed(self, data: bytes) -> list[Frame]:
        """
        Return the frames that *data* completes, in their order.

        Raises:
            FrameError: the bytes are no frame, or one that is larger than anything of vdsm's.
        """
        self._bytes += data
        found: list[Frame] = []
        while self._advance(found):
            pass
        return found

    def _advance(self, found: list[Frame]) -> bool:
        """Take the next line or body; False: it has not come yet."""
        if self._is_body:
            body = self._next_body()
            if body is None:
                return False
            found.append(Frame(str(self._command), self._headers, body))
            self._command, self._headers = None, {}
            self._is_body, self._length = False, None
            return True
        line = self._next_line()
        if line is None:
            return False
        if self._command is None:
            # An empty line between two frames is a heart-beat.
            self._command = _command(line) if line else None
        elif line:
            self._add_header(line)
        else:
            self._length = _length(self._headers.pop(CONTENT_LENGTH, None))
            self._is_body = True
        return True

    def _next_line(self) -> Optional[bytes]:
        end = self._bytes.find(b"\n", self._searched)
        if (end if end >= 0 else len(self._bytes)) > LINE_MAX:
            msg = f"a line is longer than {LINE_MAX} bytes"
            raise FrameError(msg)
        if end < 0:
            self._searched = len(self._bytes)
            return None
        line = self._cut(end)
        return line[:-1] if line.endswith(b"\r") else line

    def _next_body(self) -> Optional[bytes]:
        end = self._length
        if end is None:
            end = self._bytes.find(b"\0", self._searched)
            if end < 0:
                self._searched = len(self._bytes)
            if (end if end >= 0 else len(self._bytes)) > BODY_MAX:
                raise _too_long()
            return self._cut(end) if end >= 0 else None
        if len(self._bytes) <= end:
            return None
        if self._bytes[end] != _NUL:
            msg = f"no NUL follows the {end} bytes of a body"
            raise FrameError(msg)
        return self._cut(end)

    def _cut(self, end: int) -> bytes:
        """Return what stands before *end*; that, and the byte there, are taken away."""
        piece = bytes(self._bytes[:end])
        del self._bytes[: end + 1]
        self._searched = 0
        return piece

    def _add_header(self, line: bytes) -> None:
        key, colon, value = line.partition(b":")
        if not colon:
            msg = f"a header without a colon: {line[:80]!r}"
            raise FrameError(msg)
        if len(self._headers) >= HEADERS_MAX:
            msg = f"more than {HEADERS_MAX} headers"
            raise FrameError(msg)
        self._headers.setdefault(_plain(key), _plain(value))


def _command(line: bytes) -> str:
    if not _COMMAND.fullmatch(line):
        msg = f"no command of STOMP: {line[:80]!r}"
        raise FrameError(msg)
    return line.decode()


def _escaped(text: str) -> bytes:
    return _ESCAPE.sub(lambda found: _ESCAPES[found[0]], text.encode())


def _plain(escaped: bytes) -> str:
    if b":" in escaped:
        msg = f"a colon that is not escaped: {escaped[:80]!r}"
        raise FrameError(msg)
    try:
        return _UNESCAPE.sub(lambda found: _CHARACTERS[found[1]], escaped).decode()
    except (KeyError, UnicodeDecodeError) as error:
        msg = f"neither text nor an escape of STOMP: {escaped[:80]!r}"
        raise FrameError(msg) from error


def _length(text: Optional[str]) -> Optional[int]:
    if text is None:
        return None
    if not _NUMBER.fullmatch(text.strip()):
        msg = f"content-length is no number: {text[:80]!r}"
        raise FrameError(msg)
    if int(text) > BODY_MAX:
        raise _too_long()
    return int(text)


def _too_long() -> FrameError:
    return FrameError(f"a body is longer than {BODY_MAX} bytes")
