"""The broker's process: it owns storage, host id, monitors and notifications of one host."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from pathlib import Path
from typing import Optional

from aiohttp import web

from he_fsm.errors import HeFsmError
from he_fsm.runtime import broker_parts, parts
from he_fsm.runtime.broker.half_closing import serve
from he_fsm.runtime.broker.listener import Listener, bind
from he_fsm.runtime.broker.metrics.page import MetricsPage
from he_fsm.runtime.broker.server import BrokerServer
from he_fsm.runtime.config import Config
from he_fsm.runtime.service.daemon import (
    EXIT_BUSY,
    EXIT_OK,
    ended,
    reloaded,
)
from he_fsm.runtime.service.log import set_up_logging
from he_fsm.runtime.service.sd_notify import SystemdNotifier
from he_fsm.runtime.service.tasks import keep

_log = logging.getLogger("he_fsm.broker")
# An agent that is stopped at the same time has its last calls served for so long at most.
_GRACE_S = 3.0
_GRACE_LOOK_S = 0.02
# Nobody has waited for changes for so long: there is no agent, for it is soon back if it is there.
_SILENCE_S = 0.5
# Then, what is still being answered may take so long.
_SHUTDOWN_S = 2.0


def run(path: Path, config: Config) -> int:
    """
    Serve until a signal ends it; return the exit status.

    Args:
        path: the file of *config*, which is read again at a reload.
        config: what it says now.
    """
    set_up_logging(config.log.level)
    for finding in parts.findings(config):
        # The agent is the one that can't do without.
        _log.warning("%s", finding)
    try:
        listener = bind(config.broker_socket, config.group)
    except HeFsmError as error:
        _log.error("%s", error)
        return EXIT_BUSY
    try:
        return ended(_log, "broker", lambda: asyncio.run(_Broker(path, config).run(listener)))
    finally:
        listener.close()


class _Broker:
    """The process: the service, its socket, what the administrator asks of it."""

    def __init__(self, path: Path, config: Config) -> None:
        self._path = path
        self._config = config
        self._systemd = SystemdNotifier()
        self._service = broker_parts.make_service(config)
        self._server = BrokerServer(self._service, config.group)

    async def run(self, listener: Listener) -> int:
        running = asyncio.get_running_loop()
        wants_end, wants_reload = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, wants_end.set)
        running.add_signal_handler(signal.SIGHUP, wants_reload.set)
        runner = web.AppRunner(
            self._server.app, access_log=None, shutdown_timeout=_SHUTDOWN_S, handle_signals=False
        )
        await runner.setup()
        server: Optional[asyncio.AbstractServer] = None
        reloads = asyncio.ensure_future(keep("reload", lambda: self._reload_for_ever(wants_reload)))
        page = MetricsPage(self._config.metrics, self._service.status)
        metrics = asyncio.ensure_future(keep("metrics", page.run))
        try:
            server = await serve(runner, listener.socket)
            _log.info("host %d serves %s", self._config.host.id, listener.path)
            self._systemd.ready()
            await self._watch(wants_end)
            self._systemd.stopping()
            await self._serve_the_last_calls()
        finally:
            reloads.cancel()
            metrics.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await metrics
            if server is not None:
                server.close()
            await runner.cleanup()
            await asyncio.to_thread(self._service.close)
        _log.info("stopped")
        return EXIT_OK

    async def _watch(self, wants_end: asyncio.Event) -> None:
        """Tell the watchdog that the event loop turns, until the end is asked for."""
        interval_s = self._systemd.watchdog_interval_s
        while not wants_end.is_set():
            self._systemd.watchdog()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(
                    wants_end.wait(), None if interval_s is None else interval_s / 2
                )

    async def _serve_the_last_calls(self) -> None:
        """Go on while an agent is there that may be stopping too, but not for long."""
        running = asyncio.get_running_loop()
        now = heard_at = running.time()
        ends_at = now + _GRACE_S
        while now < min(ends_at, heard_at + _SILENCE_S):
            # A connection that ends wakes nobody.
            await asyncio.sleep(_GRACE_LOOK_S)
            now = running.time()
            if self._server.is_listened_to:
                heard_at = now

    async def _reload_for_ever(self, wants_reload: asyncio.Event) -> None:
        while await wants_reload.wait():
            wants_reload.clear()
            self._systemd.reloading()
            # Old monitors and messages may take a moment to end: the socket does not wait.
            await asyncio.to_thread(self._reload)
            self._systemd.ready()

    def _reload(self) -> None:
        """Read the configuration again; one that can't be used changes nothing."""
        try:
            config = reloaded(self._path, self._config)
            broker_parts.renew_service(self._service, config)
        except HeFsmError as error:
            _log.error("not reloaded: %s", error)
            return
        self._config = config
        set_up_logging(config.log.level)
        _log.info("reloaded %s", self._path)
