"""The process: a socket, TLS, the parts, the clusters, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Callable, Final, Optional

import attrs
from aiohttp import web

from he_fsm.dashboard.access.rules import Access, check_demands
from he_fsm.dashboard.application import CLUSTERS, Part, make_application
from he_fsm.dashboard.clusters.cluster import Cluster
from he_fsm.dashboard.live.deeds import WORKERS, Workers
from he_fsm.dashboard.live.part import live_part
from he_fsm.dashboard.live.stream import STREAMS, Streams
from he_fsm.dashboard.sources.source import Source
from he_fsm.dashboard.whatif.part import answering, what_if_part
from he_fsm.errors import HeFsmError
from he_fsm.runtime.service.sd_notify import SystemdNotifier

_log = logging.getLogger(__name__)
# Browsers open six each, programs one.
CONNECTIONS_MAX: Final = 512
_SHUTDOWN_S: Final = 1.0
_BACKLOG: Final = 128


@attrs.frozen(kw_only=True)
class Served:
    """
    What is served, where, and to whom.

    `address`, `port`: port 0 is any free one. `certificate`, `key`: files of TLS; both or none.
    `span_s`: how much of the past is shown (seconds).
    """

    address: str
    port: int
    access: Access
    sources: Sequence[Source]
    certificate: Optional[Path] = None
    key: Optional[Path] = None
    span_s: float = 6 * 3600.0


def parts() -> Sequence[Part]:
    """Return all parts of the dashboard."""
    return (live_part(), what_if_part())


def application(served: Served, cookie: str = "he-fsm") -> web.Application:
    """Make the application; its clusters are followed while it runs."""
    clusters = {
        str(number): Cluster(str(number), source, span_s=served.span_s)
        for number, source in enumerate(served.sources, start=1)
    }
    app = make_application(parts(), served.access, clusters, cookie=cookie)
    app[STREAMS] = Streams()
    app[WORKERS] = Workers()
    app.cleanup_ctx.append(_following)
    app.cleanup_ctx.append(answering)
    app.on_shutdown.append(_end_streams)
    return app


async def _following(app: web.Application) -> AsyncIterator[None]:
    run = secrets.token_hex(4)
    for cluster in app[CLUSTERS].values():
        cluster.start(run)
    yield
    for cluster in app[CLUSTERS].values():
        cluster.close()
    app[WORKERS].close()


async def _end_streams(app: web.Application) -> None:
    """End what would go on for ever; the browsers ask again, and find another process."""
    for task in list(app[STREAMS].tasks):
        task.cancel()


def serve(served: Served, ready: Callable[[str], None]) -> None:
    """
    Serve until SIGTERM or SIGINT.

    Args:
        served: what, where, and to whom.
        ready: called with the page's address as soon as it can be asked.

    Raises:
        HeFsmError: it can't be served there, or not so.
    """
    check_demands(served.address, served.access)
    context = _tls(served)
    listener = _bound(served.address, served.port)
    with contextlib.closing(listener):
        asyncio.run(_serve(served, listener, context, ready))


def _tls(served: Served) -> Optional[ssl.SSLContext]:
    if served.certificate is None or served.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(served.certificate, served.key)
    except OSError as error:
        what = f"{served.certificate}, {served.key}"
        msg = f"can't serve TLS with {what}: {error.strerror or error}"
        raise HeFsmError(msg) from error
    return context


def _bound(address: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        # Python adds to the system's words what is said here anyway; a name's error has its own.
        number = 0 if isinstance(error, socket.gaierror) else getattr(error, "errno", 0)
        reason = os.strerror(number) if number else error
        msg = f"can't listen on {address}, port {port}: {reason}"
        raise HeFsmError(msg) from error


class _Full(asyncio.Protocol):
    """Closes a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def _serve(
    served: Served,
    listener: socket.socket,
    context: Optional[ssl.SSLContext],
    ready: Callable[[str], None],
) -> None:
    running, wants_end = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, wants_end.set)
    port = listener.getsockname()[1]
    runner = web.AppRunner(
        application(served, cookie=f"he-fsm-{port}"),
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S,
        handle_signals=False,
    )
    await runner.setup()
    try:
        server = await running.create_server(_maker(runner), sock=listener, ssl=context)
        systemd = SystemdNotifier()
        ready(_link(served, port))
        systemd.ready()
        await _watch(systemd, wants_end)
        systemd.stopping()
        server.close()
    finally:
        await runner.cleanup()


def _maker(runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
    def make() -> asyncio.Protocol:
        server = runner.server
        if server is None or len(server.connections) >= CONNECTIONS_MAX:
            return _Full()
        return server()

    return make


async def _watch(systemd: SystemdNotifier, wants_end: asyncio.Event) -> None:
    """Tell systemd's watchdog that the event loop turns, until the end is asked for."""
    interval_s = systemd.watchdog_interval_s
    while not wants_end.is_set():
        systemd.watchdog()
        with contextlib.suppress(asyncio.TimeoutError):
            limit_s = None if interval_s is None else interval_s / 2
            await asyncio.wait_for(wants_end.wait(), limit_s)


def _link(served: Served, port: int) -> str:
    name = f"[{served.address}]" if ":" in served.address else served.address
    return f"{'http' if served.certificate is None else 'https'}://{name}:{port}/"
