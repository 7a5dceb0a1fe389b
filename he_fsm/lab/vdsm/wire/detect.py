"""Which protocol a connection has, by its first bytes; source: vdsm 4.50.7, protocoldetector.py."""

from __future__ import annotations

import enum
from typing import Final

from he_fsm.runtime.vdsm import frames

# vdsm waits for as many bytes as its longest command has, and only then decides.
ENOUGH_BYTES: Final = 11
# How long it waits for them, and for the handshake of TLS (seconds).
PATIENCE_S: Final = 10.0

# A handshake of TLS; source: RFC 8446, section 5.1.
_TLS_HANDSHAKE: Final = b"\x16"
_COMMANDS: Final = tuple(
    each.encode()
    for each in (
        *(frames.CONNECT, frames.SEND, frames.SUBSCRIBE, frames.UNSUBSCRIBE, frames.DISCONNECT),
        *(frames.CONNECTED, frames.MESSAGE, frames.ERROR, frames.RECEIPT),
    )
)
_IMAGES: Final = (b"PUT /", b"GET /")


class Protocol(enum.Enum):
    """What the first bytes are of."""

    STOMP = "STOMP"
    IMAGES = "HTTP"
    UNKNOWN = "unknown"


def is_tls(data: bytes) -> bool:
    """Whether a connection begins with TLS; *data* has its first byte at least."""
    return data.startswith(_TLS_HANDSHAKE)


def protocol_of(data: bytes) -> Protocol:
    """Return the protocol of a connection that begins so, `ENOUGH_BYTES` at least."""
    if data.startswith(_COMMANDS):
        return Protocol.STOMP
    return Protocol.IMAGES if data.startswith(_IMAGES) else Protocol.UNKNOWN
