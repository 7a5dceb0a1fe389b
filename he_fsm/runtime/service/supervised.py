"""
Long-lived threads that nothing ends unnoticed.

What a thread's work raises is logged with its trace and counted, and the work begins anew. The
status of a process shows what happened to its threads, so that nobody has to find it in a log.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final

_log = logging.getLogger(__name__)

# The work begins anew after the first of these waits, then after twice as long, up to the second.
AGAIN_S: Final = 0.5
AGAIN_MAX_S: Final = 10.0
# Work that has gone on for so long is no part of a series of failures.
_WELL_S: Final = 60.0

_KNOWN: weakref.WeakSet[SupervisedThread] = weakref.WeakSet()


class SupervisedThread:
    """
    Calls *work* in a thread, and again whenever it raises, until `close`.

    *work* ends by itself, without an exception, when its owner asks for that. It may be called
    several times, so it begins with what is so then. `restarts` and `trouble` say how often it
    failed, and how last.
    """

    def __init__(self, name: str, work: Callable[[], None], *, again_s: float = AGAIN_S) -> None:
        """Take the parts; nothing runs before `start`."""
        self.name = name
        self.restarts = 0
        self.trouble = ""
        self._work = work
        self._again_s = again_s
        self._failed_at = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; raises `RuntimeError` where the system has no thread left."""
        self._thread.start()
        _KNOWN.add(self)

    def close(self) -> None:
        """Begin the work no more; whoever owns it lets the work under way end."""
        self._closing.set()
        _KNOWN.discard(self)

    def join(self, limit_s: float | None = None) -> None:
        """Wait for the end, so many seconds at most; the thread itself may call it."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(limit_s)

    @property
    def is_running(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    def report(self) -> dict[str, Any]:
        """Return how it went, for the status."""
        return {
            "running": self.is_running,
            "restarts": self.restarts,
            "error": self.trouble,
            "failed_s_ago": round(time.monotonic() - self._failed_at, 3),
        }

    def _run(self) -> None:
        wait_s = self._again_s
        while not self._closing.is_set():
            began_at = time.monotonic()
            try:
                self._work()
            except BaseException as error:  # noqa: BLE001 - nothing may end it unnoticed
                self._note(error)
            else:
                return
            if time.monotonic() - began_at > _WELL_S:
                wait_s = self._again_s
            self._closing.wait(wait_s)
            wait_s = min(2 * wait_s, AGAIN_MAX_S)

    def _note(self, error: BaseException) -> None:
        self.restarts += 1
        self.trouble = f"{type(error).__name__}: {error}"
        self._failed_at = time.monotonic()
        _log.error("thread %s failed, it begins anew", self.name, exc_info=error)


def troubles() -> dict[str, dict[str, Any]]:
    """Return the reports of this process's threads that have failed, or are not there, by name."""
    threads = sorted(_KNOWN, key=lambda thread: thread.name)
    return {
        thread.name: thread.report()
        for thread in threads
        if thread.restarts or not thread.is_running
    }
