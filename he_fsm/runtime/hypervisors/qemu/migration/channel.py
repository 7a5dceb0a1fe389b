"""
How the agents of two hosts talk about a migration: lines of JSON, over a Unix socket or TCP.

The target greets with a number that it uses once; the source's first line is its order and a proof
that it knows the hosts' common secret (HMAC-SHA256 of number and order). Neither what follows nor
the VM's memory is encrypted here; see `encryption` for the memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Optional

from he_fsm.errors import HypervisorError

_UNIX: Final = "unix:"
# How long the other side may take to be there and to say its first line (seconds).
HELLO_S: Final = 3.0
# A machine that loses power closes no connection. The kernel asks it, and gives it up, after a
# silence of `_IDLE_S` and so many questions at that distance; what is sent is as soon given up.
_IDLE_S: Final = 5
_QUESTIONS: Final = 3
_NONCE_BYTES: Final = 32
_SECRET_BYTES_MIN: Final = 16


class ChannelClosedError(HypervisorError):
    """The other side has ended, or says nothing any more."""


class Channel:
    """One end: messages are JSON objects."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use a connection, of which this is the owner."""
        self._reader = reader
        self._writer = writer
        _notice_silence(writer.get_extra_info("socket"))

    async def send(self, **message: Any) -> None:
        """Send one message; `ChannelClosedError`: nobody listens."""
        try:
            self._writer.write(json.dumps(message).encode() + b"\n")
            await self._writer.drain()
        except OSError as error:
            raise ChannelClosedError(str(error)) from error

    async def receive(self, timeout_s: Optional[float] = None) -> Mapping[str, Any]:
        """Return the next message; `ChannelClosedError`: none came in time, or none will."""
        try:
            line = await asyncio.wait_for(self._reader.readline(), timeout_s)
            message = json.loads(line) if line.endswith(b"\n") else None
        except asyncio.TimeoutError as error:
            msg = f"nothing was heard for {timeout_s:g} s"
            raise ChannelClosedError(msg) from error
        except (OSError, ValueError) as error:
            raise ChannelClosedError(str(error)) from error
        if not isinstance(message, dict):
            msg = "the other side has ended"
            raise ChannelClosedError(msg)
        return message

    async def close(self) -> None:
        """Close the connection; the other side notices."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


def _notice_silence(connection: socket.socket) -> None:
    """Make a TCP connection end if the other machine no longer answers."""
    if connection.family == socket.AF_UNIX:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _IDLE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _QUESTIONS)
    limit_ms = 1000 * _IDLE_S * (1 + _QUESTIONS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit_ms)


def read_secret(path: Optional[Path]) -> bytes:
    """
    Read the hosts' common secret; none where there is no file.

    Raises:
        HypervisorError: the file can't be read, others can read it, or it is short.
    """
    if path is None:
        return b""
    try:
        mode, secret = path.stat().st_mode, path.read_bytes().strip()
    except OSError as error:
        msg = f"the secret of migrations can't be read: {path}: {error.strerror or error}"
        raise HypervisorError(msg) from error
    if stat.S_IMODE(mode) & 0o077:
        msg = f"others can read the secret of migrations: chmod 600 {path}"
        raise HypervisorError(msg)
    if len(secret) < _SECRET_BYTES_MIN:
        msg = f"the secret of migrations is shorter than {_SECRET_BYTES_MIN} bytes: {path}"
        raise HypervisorError(msg)
    return secret


async def connect(address: str, secret: bytes, order: Mapping[str, Any]) -> Channel:
    """
    Send an order to the agent at an address.

    Raises:
        ChannelClosedError: it does not answer.
    """
    try:
        reader, writer = await asyncio.wait_for(_open(address), HELLO_S)
    except (OSError, asyncio.TimeoutError) as error:
        msg = f"{address} does not answer: {error or 'timed out'}"
        raise ChannelClosedError(msg) from error
    channel = Channel(reader, writer)
    try:
        hello = await channel.receive(HELLO_S)
        text = json.dumps(order)
        await channel.send(order=text, proof=_proof(secret, str(hello.get("nonce")), text))
    except BaseException:
        await channel.close()
        raise
    return channel


async def listen(
    address: str,
    secret: bytes,
    obey: Callable[[Channel, Mapping[str, Any]], Awaitable[None]],
) -> asyncio.AbstractServer:
    """
    Wait for orders at an address; *obey* gets each with its channel, which is closed after it.

    Raises:
        OSError: it can't be listened to.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = Channel(reader, writer)
        try:
            with suppress(ChannelClosedError):
                order = await _receive_order(channel, secret)
                await obey(channel, order)
        finally:
            await channel.close()

    if not address.startswith(_UNIX):
        host, port = _host_and_port(address)
        return await asyncio.start_server(serve, host, port)
    # This call also replaces the socket of an agent that was killed.
    server = await asyncio.start_unix_server(serve, address[len(_UNIX) :])
    _protect(address)
    return server


async def _receive_order(channel: Channel, secret: bytes) -> Mapping[str, Any]:
    nonce = secrets.token_hex(_NONCE_BYTES)
    await channel.send(nonce=nonce)
    message = await channel.receive(HELLO_S)
    text = str(message.get("order"))
    if not hmac.compare_digest(_proof(secret, nonce, text), str(message.get("proof"))):
        await channel.send(refused="the secrets of the two hosts differ")
        msg = "an order without the secret"
        raise ChannelClosedError(msg)
    try:
        order = json.loads(text)
    except ValueError as error:
        raise ChannelClosedError(str(error)) from error
    if not isinstance(order, dict):
        msg = "an order that is none"
        raise ChannelClosedError(msg)
    return order


def forget(address: str) -> None:
    """Remove what listening has left: a Unix socket's file."""
    if address.startswith(_UNIX):
        Path(address[len(_UNIX) :]).unlink(missing_ok=True)


def _protect(address: str) -> None:
    Path(address[len(_UNIX) :]).chmod(0o600)


def _proof(secret: bytes, nonce: str, text: str) -> str:
    return hmac.new(secret, f"{nonce} {text}".encode(), hashlib.sha256).hexdigest()


async def _open(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith(_UNIX):
        return await asyncio.open_unix_connection(address[len(_UNIX) :])
    host, port = _host_and_port(address)
    return await asyncio.open_connection(host, port)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.partition(":")[2].rpartition(":")
    return host.strip("[]"), int(port)


def host_of(address: str) -> str:
    """Return the name or number of the machine of a `tcp:` address, for QEMU's own URI."""
    return address.partition(":")[2].rpartition(":")[0]


def is_local(address: str) -> bool:
    """Whether an address is a Unix socket's."""
    return address.startswith(_UNIX)
