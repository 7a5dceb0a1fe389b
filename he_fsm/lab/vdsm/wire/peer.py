"""One client's connection: bytes, TLS, heart-beats, and STOMP's commands."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Final, Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab.vdsm.faults import Faults
from he_fsm.lab.vdsm.wire import detect
from he_fsm.lab.vdsm.wire.queues import REQUESTS, Queues, Subscription
from he_fsm.runtime.vdsm import frames
from he_fsm.runtime.vdsm.frames import Frame, Parser
from he_fsm.runtime.vdsm.heartbeats import SHORTEST_MS, Heartbeats, read_header
from he_fsm.runtime.vdsm.tls import Channel, Plain, Tls

_PIECE: Final = 2**16
# vdsm looks at least so often whether a client is silent (seconds).
_LOOK_S: Final = 30.0
# How often a connection that is deaf looks whether it still is (seconds).
_DEAF_S: Final = 0.02
_NOT_HERE: Final = b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

# Takes a request's body and the queue for its answer.
TakeRequest = Callable[[bytes, Optional[str]], None]


class PeerError(HeFsmError):
    """The connection is closed, as vdsm does: the message says why."""


class PeerGoneError(PeerError):
    """The client ended the connection."""


class Peer:
    """One connection, from its first byte to its end; used inside the server's loop alone."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        queues: Queues,
        take_request: TakeRequest,
        faults: Faults,
    ) -> None:
        """Take the connection, of which this is the owner, and what the server has for all."""
        self._reader = reader
        self._writer = writer
        self._queues = queues
        self._take_request = take_request
        self._faults = faults
        self._channel: Channel = Plain()
        self._parser = Parser()
        self._subscriptions: dict[str, Subscription] = {}
        now = time.monotonic()
        self._beats = Heartbeats(0.0, 0.0, now, now)

    async def serve(self, tls: Optional[ssl.SSLContext], *, may_be_plain: bool) -> None:
        """
        Serve the client until it ends.

        Raises:
            PeerError: it did what vdsm answers by closing.
            OSError, TlsError, FrameError: in the same way.
        """
        try:
            first = await asyncio.wait_for(self._detect(tls, may_be_plain), detect.PATIENCE_S)
            self._read(first)
            while True:
                data = await self._next_data()
                if data is not None:
                    self._read(self._channel.received(data))
                    self._flush()
        finally:
            for each in self._subscriptions.values():
                self._queues.remove(each)
            self._subscriptions.clear()

    def send(self, frame: Frame) -> None:
        """Send a frame."""
        self._send(frames.encode(frame))

    def drop(self) -> None:
        """End the connection, in order."""
        self._writer.close()

    def abort(self) -> None:
        """End the connection at once, with what is unsent."""
        self._writer.transport.abort()

    def reset(self) -> None:
        """End the connection as a crash does: the client gets "connection reset by peer"."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    # Bytes.

    async def _detect(self, tls: Optional[ssl.SSLContext], may_be_plain: bool) -> bytes:
        """Return the first plain bytes, once they show that they are STOMP's."""
        data = await self._receive()
        if tls is not None and detect.is_tls(data):
            self._channel = Tls(tls, is_server=True)
        elif not may_be_plain:
            msg = "the client speaks no TLS"
            raise PeerError(msg)
        found = b""
        while True:
            try:
                found += self._channel.received(data)
            finally:
                # What is wrong with a handshake the client is told by TLS itself.
                self._flush()
            if len(found) >= detect.ENOUGH_BYTES:
                break
            data = await self._receive()
        protocol = detect.protocol_of(found)
        if protocol is detect.Protocol.IMAGES:
            self._send(_NOT_HERE)
        if protocol is not detect.Protocol.STOMP:
            msg = f"the protocol is {protocol.value}, not STOMP"
            raise PeerError(msg)
        return found

    async def _next_data(self) -> Optional[bytes]:
        """Return the next bytes, or None when there was something to do about heart-beats."""
        await self._hears()
        limit_s = self._beats.next_s(time.monotonic(), _LOOK_S)
        try:
            data = await asyncio.wait_for(self._receive(), limit_s)
        except asyncio.TimeoutError:
            now = time.monotonic()
            if self._beats.is_silent(now) and not self._faults.is_deaf:
                msg = "the client's heart-beats are missing"
                raise PeerError(msg) from None
            if self._beats.is_due(now):
                self._beats.sent(now)
                if not self._faults.has_no_heartbeats:
                    self._send(frames.HEARTBEAT)
            return None
        self._beats.heard(time.monotonic())
        return data

    async def _hears(self) -> None:
        """Wait until the connection is not deaf: another thread ends that, and tells nobody."""
        while self._faults.is_deaf:  # noqa: ASYNC110
            await asyncio.sleep(_DEAF_S)

    async def _receive(self) -> bytes:
        await self._hears()
        data = await self._reader.read(_PIECE)
        if not data:
            msg = "the client has ended"
            raise PeerGoneError(msg)
        return data

    def _read(self, data: bytes) -> None:
        for frame in self._parser.feed(data):
            self._take(frame)

    def _send(self, data: bytes) -> None:
        self._channel.send(data)
        self._flush()
        self._beats.sent(time.monotonic())

    def _flush(self) -> None:
        data = self._channel.outgoing()
        if data and not self._faults.is_deaf:
            self._writer.write(data)

    # STOMP's commands.

    def _take(self, frame: Frame) -> None:
        headers = frame.headers
        if frame.command == frames.CONNECT:
            self._connect(frame)
        elif frame.command == frames.SUBSCRIBE:
            self._subscribe(headers.get("destination", ""), headers.get("id", ""))
        elif frame.command == frames.UNSUBSCRIBE:
            self._unsubscribe(headers.get("id", ""))
        elif frame.command == frames.SEND:
            self._forward(frame)
        elif frame.command == frames.DISCONNECT and "receipt" in headers:
            # The client closes, once it has this.
            self.send(Frame(frames.RECEIPT, {"receipt-id": headers["receipt"]}))
        else:
            # vdsm 4.50.7 takes a DISCONNECT without a receipt for this, too.
            msg = f"unknown command {frame.command[:40]}"
            raise PeerError(msg)

    def _connect(self, frame: Frame) -> None:
        if frame.headers.get("accept-version") != "1.2":
            self._refuse("Version unsupported")
            return
        sends_ms, wants_ms = (
            max(each, SHORTEST_MS) if each else 0
            for each in read_header(frame.headers.get("heart-beat"))
        )
        now = time.monotonic()
        self._beats = Heartbeats(wants_ms / 1000, sends_ms / 1000, now, now)
        answer = {"version": "1.2", "heart-beat": f"{wants_ms},{sends_ms}"}
        self.send(Frame(frames.CONNECTED, answer))

    def _subscribe(self, queue: str, name: str) -> None:
        if not queue or not name:
            self._refuse("Missing destination or subscription id header")
        elif name in self._subscriptions:
            self._refuse("Subscription id already exists")
        else:
            subscription = Subscription(self, queue, name)
            self._subscriptions[name] = subscription
            self._queues.add(subscription)

    def _unsubscribe(self, name: str) -> None:
        if not name:
            self._refuse("Missing id header")
            return
        subscription = self._subscriptions.pop(name, None)
        if subscription is not None:
            self._queues.remove(subscription)

    def _forward(self, frame: Frame) -> None:
        queue = frame.headers.get("destination")
        if queue is None:
            msg = "SEND without a destination"
            raise PeerError(msg)
        is_forwarded = self._queues.forward(queue, frame.headers, frame.body)
        if any(queue == each or queue.startswith(f"{each}.") for each in REQUESTS):
            self._take_request(frame.body, frame.headers.get("reply-to"))
        elif not is_forwarded:
            self._refuse("Subscription not available")

    def _refuse(self, text: str) -> None:
        self.send(Frame(frames.ERROR, body=text.encode()))
