"""Long-lived tasks of an event loop that nothing ends unnoticed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from he_fsm.runtime.service.supervised import AGAIN_MAX_S, AGAIN_S

_log = logging.getLogger(__name__)


async def keep(name: str, work: Callable[[], Awaitable[None]], *, again_s: float = AGAIN_S) -> None:
    """Await *work* to its end, and begin it anew whenever it raises."""
    wait_s = again_s
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - nothing may end it unnoticed
            _log.exception("task %s failed, it begins anew", name)
        else:
            return
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, AGAIN_MAX_S)
