"""`he-fsm-broker`: owns storage, host id, monitors and notifications of one host."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from aiohttp import web

from he_fsm.errors import ConfigError, HeFsmError
from he_fsm.runtime import parts
from he_fsm.runtime.broker.listener import Listener, bind
from he_fsm.runtime.broker.server import BrokerServer
from he_fsm.runtime.config import Config, load_config
from he_fsm.runtime.daemon import (
    EXIT_BUSY,
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_OK,
    argument_parser,
    reloaded,
)
from he_fsm.runtime.log import set_up_logging
from he_fsm.runtime.sd_notify import SystemdNotifier

_log = logging.getLogger("he_fsm.broker")
# An agent that is stopped at the same time has its last calls served for so long at most.
_GRACE_S = 3.0
_GRACE_LOOK_S = 0.02
# Nobody has waited for changes for so long: there is no agent, for it is soon back if it is there.
_SILENCE_S = 0.5
# Then, what is still being answered may take so long.
_SHUTDOWN_S = 2.0


def run(options: argparse.Namespace) -> int:
    """Serve until a signal ends it; give the exit status."""
    path: Path = options.config
    try:
        config = load_config(path)
    except ConfigError as error:
        sys.stderr.write(f"he-fsm-broker: {error}\n")
        return EXIT_CONFIG
    if options.check_config:
        sys.stdout.write(f"{path}: host {config.host.id}: can be used\n")
        return EXIT_OK
    set_up_logging(config.log.level)
    try:
        listener = bind(config.broker_socket, config.group)
    except HeFsmError as error:
        _log.error("%s", error)
        return EXIT_BUSY
    try:
        return asyncio.run(_Broker(path, config).run(listener))
    except HeFsmError as error:
        _log.error("%s", error)
        return EXIT_FAILED
    finally:
        listener.close()


class _Broker:
    """The process: the service, its socket, what the administrator asks of it."""

    def __init__(self, path: Path, config: Config) -> None:
        self._path = path
        self._config = config
        self._systemd = SystemdNotifier()
        self._service = parts.make_service(config)
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
        reloads = asyncio.ensure_future(self._reload_for_ever(wants_reload))
        try:
            await web.SockSite(runner, listener.socket).start()
            _log.info("host %d serves %s", self._config.host.id, listener.path)
            self._systemd.ready()
            await self._watch(wants_end)
            self._systemd.stopping()
            await self._serve_the_last_calls()
        finally:
            reloads.cancel()
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
            parts.renew_service(self._service, config)
        except HeFsmError as error:
            _log.error("not reloaded: %s", error)
            return
        self._config = config
        set_up_logging(config.log.level)
        _log.info("reloaded %s", self._path)


def main() -> None:
    """Run the broker; a bug ends it with its trace and status 1."""
    options = argument_parser(
        "he-fsm-broker",
        "Serve storage, leases, monitors and notifications of this host to its agent and tools.",
    ).parse_args()
    try:
        status = run(options)
    except Exception:  # noqa: BLE001 - it is said, with its trace
        _log.exception("the broker ends by a bug")
        status = EXIT_FAILED
    sys.exit(status)
