"""
libvirt's event loop: one thread for the whole process, which runs while anybody needs it.

libvirt can be given one loop, once, and before the first connection is opened. Everybody's events
come in its thread, and a connection notices only by it that its daemon has gone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Final

import libvirt

from he_fsm.runtime.service.supervised import SupervisedThread

# The thread looks this often whether it is to end, should nothing wake it (milliseconds).
_LOOK_MS: Final = 1000


class EventLoop:
    """The loop; `use` and `leave` come in pairs."""

    def __init__(self) -> None:
        """Begin nothing: the first user does."""
        self._users = 0
        self._guard = threading.Lock()
        self._is_registered = False
        self._ends = threading.Event()
        self._thread: SupervisedThread | None = None

    def use(self) -> None:
        """See that the loop runs."""
        with self._guard:
            if not self._is_registered:
                # Else each refusal is written to standard error as well.
                libvirt.registerErrorHandler(_ignore, None)
                libvirt.virEventRegisterDefaultImpl()
                self._is_registered = True
            self._users += 1
            if self._thread is None:
                self._ends.clear()
                self._thread = SupervisedThread("libvirt-events", self._run)
                self._thread.start()

    def leave(self) -> None:
        """Need it no more; the last one ends the thread."""
        with self._guard:
            self._users -= 1
            thread = self._thread
            if self._users or thread is None:
                return
            self._thread = None
            self._ends.set()
            # It makes the loop turn at once.
            wake = libvirt.virEventAddTimeout(0, _ignore, None)
            thread.close()
            thread.join()
            libvirt.virEventRemoveTimeout(wake)

    def _run(self) -> None:
        tick = libvirt.virEventAddTimeout(_LOOK_MS, _ignore, None)
        try:
            while not self._ends.is_set():
                libvirt.virEventRunDefaultImpl()
        finally:
            libvirt.virEventRemoveTimeout(tick)


class ProcessEnd:
    """Calls *on_end*, in the loop's thread, when a process has ended; the loop has to be in use."""

    def __init__(self, pid: int, on_end: Callable[[], None]) -> None:
        """Watch *pid*; raises `ProcessLookupError` where it has ended."""
        self._descriptor = os.pidfd_open(pid)
        self._on_end = on_end
        self._watch = libvirt.virEventAddHandle(
            self._descriptor, libvirt.VIR_EVENT_HANDLE_READABLE, self._ended, None
        )

    def close(self) -> None:
        """Watch no more."""
        libvirt.virEventRemoveHandle(self._watch)
        os.close(self._descriptor)

    def _ended(self, *_: Any) -> None:
        # It stays readable: told once, and no more.
        libvirt.virEventUpdateHandle(self._watch, 0)
        self._on_end()


def _ignore(*_: Any) -> None:
    """Do nothing."""


EVENTS: Final = EventLoop()
