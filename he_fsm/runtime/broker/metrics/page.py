"""The metrics over TCP, for Prometheus: one page, and nothing else that the broker does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Optional

from aiohttp import web

from he_fsm.errors import HeFsmError
from he_fsm.runtime.config.outside import MetricsConfig
from he_fsm.runtime.service.log import Repeats

_log = logging.getLogger(__name__)
# Some servers of Prometheus may ask at once; each reading is shared.
_THREADS_MAX: Final = 2
# A port that another program has is tried again after so long (seconds).
_AGAIN_S: Final = 10.0
# An answer under way when the broker ends may take so long (seconds).
_SHUTDOWN_S: Final = 1.0


class MetricsPage:
    """
    Serves `/metrics` at a TCP port; without one it does nothing.

    *status*: returns the broker's status; it may wait for the storage, within its deadline.
    """

    def __init__(self, config: MetricsConfig, status: Callable[[], dict[str, Any]]) -> None:
        self._config = config
        self._status = status
        # None: nothing is served.
        self._threads: Optional[ThreadPoolExecutor] = None
        self._repeats = Repeats(_log)

    async def run(self) -> None:
        """Serve until it is cancelled; a port that can't be had is tried again and again."""
        if self._config.port is None:
            return
        app = web.Application()
        app.add_routes([web.get("/metrics", self._metrics)])
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=_SHUTDOWN_S, handle_signals=False
        )
        await runner.setup()
        threads = self._threads = ThreadPoolExecutor(_THREADS_MAX, "metrics")
        try:
            never = asyncio.Event()
            while not await self._listens(runner):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(never.wait(), _AGAIN_S)
            await never.wait()
        finally:
            await runner.cleanup()
            threads.shutdown(wait=False)

    async def _listens(self, runner: web.AppRunner) -> bool:
        address, port = self._config.address, self._config.port
        site = web.TCPSite(runner, address, port)
        try:
            await site.start()
        except OSError as error:
            # asyncio's own text says the address once more.
            why = os.strerror(error.errno) if error.errno else error
            self._repeats.complain(
                "port", "metrics are not served at %s port %s: %s", address, port, why
            )
            with contextlib.suppress(RuntimeError):
                await site.stop()
            return False
        _log.info("metrics at http://%s:%s/metrics", _in_url(address), port)
        return True

    async def _metrics(self, _: web.Request) -> web.Response:
        # A host whose metrics nobody reads does without the library.
        from he_fsm.runtime.broker.metrics.families import (  # noqa: PLC0415
            CONTENT_TYPE,
            metrics_of,
        )

        try:
            status = await asyncio.get_running_loop().run_in_executor(self._threads, self._status)
        except HeFsmError as error:
            return web.Response(text=f"{error}\n", status=503)
        return web.Response(body=metrics_of(status), headers={"Content-Type": CONTENT_TYPE})


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
