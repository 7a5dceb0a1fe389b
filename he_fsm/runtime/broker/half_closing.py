"""
Clients that close their own direction when they have asked: `socat -`, `nc -N`.

aiohttp closes the whole connection at that moment, though the handler runs to its end: the deed is
done, and nobody hears how it went (seen with aiohttp 3.14). Here such a client gets its answer, and
then the connection ends.
"""

from __future__ import annotations

import asyncio
import select
import socket

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


class HalfClosingHandler(RequestHandler):
    """Answers what was asked before the client closed its own direction."""

    __slots__ = ()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Take no further request; return whether the connection stays open for an answer."""
        super().eof_received()
        is_idle = self._waiter is not None and not self._waiter.done()
        if is_idle or self._is_gone():
            return False
        self.close()
        return True

    def _is_gone(self) -> bool:
        """Return whether the client has closed both directions."""
        peer = None if self.transport is None else self.transport.get_extra_info("socket")
        if peer is None:
            return True
        poll = select.poll()
        # A hang-up is reported unasked.
        poll.register(peer.fileno(), 0)
        return bool(poll.poll(0))


async def serve(runner: web.AppRunner, listener: socket.socket) -> asyncio.AbstractServer:
    """Serve a runner's application on a Unix socket that is bound."""

    def make() -> asyncio.Protocol:
        server = runner.server
        if server is None:
            msg = "the runner is not set up"
            raise RuntimeError(msg)
        handler = server()
        # The server has its own way to make handlers; ours has no state besides.
        handler.__class__ = HalfClosingHandler
        return handler

    return await asyncio.get_running_loop().create_unix_server(make, sock=listener)
