"""
One connection to vdsm: a socket that never blocks, with a limit for each wait.

Only one thread uses a connection. It waits for the socket and for a *wake* socket, by which other
threads interrupt it.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from contextlib import suppress
from typing import Any, Final, Optional

import attrs
from attrs.validators import ge, le

from he_fsm.errors import HeFsmError
from he_fsm.runtime.vdsm.frames import Frame, FrameError, Parser
from he_fsm.runtime.vdsm.interface import PORT
from he_fsm.runtime.vdsm.tls import Certificates, Channel, Plain, Tls, TlsError

_PIECE: Final = 2**18
# A peer that is gone closes no connection. The kernel asks it after a silence of `_IDLE_S`, so many
# times at that distance, and gives up what it sent for as long (seconds). Heart-beats are sooner.
_IDLE_S: Final = 10
_QUESTIONS: Final = 3
_PORT_MAX: Final = 65535
_CLOSED: Final = "this client is closed"


@attrs.frozen
class Address:
    """Where vdsm is, and whom to trust; `certificates` None: no TLS."""

    host: str = "localhost"
    port: int = attrs.field(default=PORT, validator=[ge(1), le(_PORT_MAX)])
    certificates: Optional[Certificates] = attrs.field(factory=Certificates)

    def __str__(self) -> str:
        """Return the place, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + ("" if self.certificates else " (no TLS)")


class ConnectionLostError(HeFsmError):
    """There is no connection, or no longer; the message says why."""


class Wake:
    """Interrupts the thread that waits for a connection; any thread may do so."""

    def __init__(self) -> None:
        self.is_over = False
        self._heard, self._said = socket.socketpair()
        for each in (self._heard, self._said):
            each.setblocking(False)

    def fileno(self) -> int:
        """Return what can be waited for."""
        return self._heard.fileno()

    def now(self) -> None:
        """Interrupt; also before the wait begins."""
        # Full: it is interrupted anyway. Closed: nobody waits any more.
        with suppress(OSError):
            self._said.send(b"!")

    def clear(self) -> None:
        """Forget the interruptions so far."""
        with suppress(OSError):
            self._heard.recv(4096)

    def wait(self, limit_s: float) -> None:
        """Wait for an interruption, so many seconds at most."""
        _wait(self, None, 0, limit_s)

    def end(self) -> None:
        """Interrupt for good: whoever waits gives up what it waits for."""
        self.is_over = True
        self.now()

    def close(self) -> None:
        """Close both ends."""
        self._heard.close()
        self._said.close()


class Connection:
    """An open connection: what was sent last may still be on its way, and TLS be under way."""

    def __init__(self, raw: socket.socket, channel: Channel, wake: Wake) -> None:
        """Take a connected socket that does not block, of which this is the owner."""
        self._raw = raw
        self._channel = channel
        self._wake = wake
        self._parser = Parser()
        self._unsent = bytearray()

    @classmethod
    def opened(cls, address: Address, wake: Wake, within_s: float) -> Connection:
        """
        Make a connection.

        Raises:
            ConnectionLostError: nobody is there, or does not answer in time.
            TlsError: the files for TLS can't be used.
        """
        certificates = address.certificates
        context = certificates.context(is_server=False) if certificates else None
        raw = _connected(address, wake, within_s)
        channel: Channel = Tls(context, is_server=False) if context else Plain()
        return cls(raw, channel, wake)

    @property
    def has_unsent(self) -> bool:
        """Whether something that was sent has not left this process."""
        self._unsent += self._channel.outgoing()
        return bool(self._unsent)

    def wait(self, limit_s: float) -> None:
        """Wait until something came, something can be sent, or the thread is interrupted."""
        sending = select.POLLOUT if self.has_unsent else 0
        _wait(self._wake, self._raw, select.POLLIN | sending, limit_s)

    def send(self, data: bytes) -> None:
        """Send bytes, as many as the system takes now; the others with the next `flush`."""
        self._channel.send(data)
        self.flush()

    def flush(self) -> None:
        """
        Send what was not sent before, as far as that goes.

        Raises:
            ConnectionLostError: the connection has ended.
        """
        try:
            while self.has_unsent:
                sent = self._raw.send(self._unsent[:_PIECE])
                del self._unsent[:sent]
        except BlockingIOError:
            return
        except OSError as error:
            raise ConnectionLostError(_words(error)) from error

    def receive(self) -> Optional[list[Frame]]:
        """
        Return the frames that came; None: not a single byte did.

        Raises:
            ConnectionLostError: the connection has ended, or what came is no STOMP.
            TlsError: the two sides do not trust each other.
        """
        try:
            data = self._raw.recv(_PIECE)
        except BlockingIOError:
            data = None
        except OSError as error:
            raise ConnectionLostError(_words(error)) from error
        try:
            found = self._parser.feed(self._channel.received(data)) if data else []
        except FrameError as error:
            msg = f"what came is no frame of STOMP: {error}"
            raise ConnectionLostError(msg) from error
        # What came before the end counts, so the end is told by the next call.
        if not found and (data == b"" or self._channel.is_closed):
            msg = "vdsm closed the connection"
            raise ConnectionLostError(msg)
        return None if data is None else found

    def shake_hands(self, within_s: float) -> None:
        """
        Wait until the two sides trust each other; there is nothing to do without TLS.

        Raises:
            ConnectionLostError: the other side does not answer in time, or has ended.
            TlsError: they do not trust each other.
        """
        ends_at = time.monotonic() + within_s
        self.flush()
        while not self._channel.is_trusted:
            if self._wake.is_over or time.monotonic() >= ends_at:
                msg = f"no handshake of TLS within {within_s:g} s"
                raise ConnectionLostError(_CLOSED if self._wake.is_over else msg)
            self.wait(ends_at - time.monotonic())
            self.receive()
            self.flush()

    def close(self) -> None:
        """End the connection."""
        # What is left of a handshake that failed tells the other side why.
        with suppress(OSError, TlsError):
            self._raw.send(self._unsent + self._channel.outgoing())
        self._raw.close()


def _wait(wake: Wake, raw: Optional[socket.socket], events: int, limit_s: float) -> None:
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    if raw is not None:
        poll.register(raw, events)
    # Less than a millisecond too late; one too early would be a turn for nothing.
    poll.poll(int(max(0.0, limit_s) * 1000) + 1)
    wake.clear()


def _connected(address: Address, wake: Wake, within_s: float) -> socket.socket:
    """Return a socket that is connected, to the first of the host's addresses that answers."""
    ends_at = time.monotonic() + within_s
    try:
        # The names of hosts are in /etc/hosts, as oVirt asks for; a name server may take longer.
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectionLostError(_words(error)) from error
    except UnicodeError as error:
        msg = f"{address.host!r} is no name of a host"
        raise ConnectionLostError(msg) from error
    trouble = ConnectionLostError("it has no address")
    for number, (family, kind, protocol, _, place) in enumerate(found):
        # What is left is for all the addresses that are left.
        limit_s = (ends_at - time.monotonic()) / (len(found) - number)
        raw = socket.socket(family, kind, protocol)
        try:
            _connect(raw, place, wake, limit_s)
        except OSError as error:
            raw.close()
            trouble = ConnectionLostError(_words(error))
        except ConnectionLostError as error:
            raw.close()
            trouble = error
        else:
            return raw
    raise trouble


def _connect(raw: socket.socket, place: Any, wake: Wake, limit_s: float) -> None:
    raw.setblocking(False)
    _notice_silence(raw)
    status = raw.connect_ex(place)
    ends_at = time.monotonic() + limit_s
    while status == errno.EINPROGRESS:
        left_s = ends_at - time.monotonic()
        if wake.is_over or left_s <= 0:
            msg = f"no answer within {limit_s:.3g} s"
            raise ConnectionLostError(_CLOSED if wake.is_over else msg)
        _wait(wake, raw, select.POLLOUT, left_s)
        status = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not status and not _is_connected(raw):
            status = errno.EINPROGRESS
    if status:
        raise OSError(status, os.strerror(status))


def _is_connected(raw: socket.socket) -> bool:
    try:
        raw.getpeername()
    except OSError:
        return False
    return True


def _notice_silence(raw: socket.socket) -> None:
    """Make a connection end some time after the other machine went away."""
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_S)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _IDLE_S)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _QUESTIONS)
    unanswered_ms = _IDLE_S * (1 + _QUESTIONS) * 1000
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unanswered_ms)


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
