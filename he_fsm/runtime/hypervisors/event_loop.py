"""The loop of a VM's own process: times, signals and what can be read, in one thread."""

from __future__ import annotations

import selectors
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, Optional, Protocol

_CHUNK = 4096


class HasFileno(Protocol):
    """Something that can be waited for."""

    def fileno(self) -> int:
        """Return its descriptor."""


class EventLoop:
    """Calls what is due, one at a time; `run` ends when `end` is called."""

    def __init__(self) -> None:
        """Begin with nothing to wait for; the process's signals are this loop's from now on."""
        self._selector = selectors.DefaultSelector()
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self._signals: dict[int, Callable[[], None]] = {}
        self._status: Optional[int] = None
        self._signal_in, signal_out = socket.socketpair()
        for end in (self._signal_in, signal_out):
            end.setblocking(False)
        self._signal_out = signal_out
        signal.set_wakeup_fd(signal_out.fileno(), warn_on_full_buffer=False)
        self.when_readable(self._signal_in, self._take_signals)

    def at(self, name: str, when: float, act: Callable[[], None]) -> None:
        """Call *act* once at *when* (monotonic clock); a timer of the same name is replaced."""
        self._timers[name] = (when, act)

    def forget(self, *names: str) -> None:
        """Drop timers, where they are set."""
        for name in names:
            self._timers.pop(name, None)

    def when_readable(self, source: HasFileno, act: Callable[[], None]) -> None:
        """Call *act* whenever *source* can be read."""
        self._selector.register(source, selectors.EVENT_READ, act)

    def ignore(self, source: HasFileno) -> None:
        """Wait for *source* no longer; it is still open."""
        self._selector.unregister(source)

    def on_signal(self, number: int, act: Callable[[], None]) -> None:
        """Call *act* for a signal."""
        self._signals[number] = act
        # The number arrives by the wake-up descriptor; without a handler it would end the process.
        signal.signal(number, _nothing)

    def end(self, status: int) -> None:
        """End the loop: `run` returns *status*."""
        self._status = status

    def run(self) -> int:
        """Go on until the end; give the exit status."""
        while self._status is None:
            self._act_on_time()
            if self._status is None:
                self._wait()
        return self._status

    def _act_on_time(self) -> None:
        now = time.monotonic()
        due = [(when, name) for name, (when, _) in self._timers.items() if when <= now]
        for _, name in sorted(due):
            # A timer's action may drop another timer.
            timer = self._timers.pop(name, None)
            if timer is not None:
                timer[1]()

    def _wait(self) -> None:
        first = min((when for when, _ in self._timers.values()), default=None)
        left_s = None if first is None else max(0.0, first - time.monotonic())
        for key, _ in self._selector.select(left_s):
            # An action may have ended the wait for another descriptor.
            if key.fd in self._selector.get_map():
                key.data()

    def _take_signals(self) -> None:
        for number in self._signal_in.recv(_CHUNK):
            act = self._signals.get(number)
            if act is not None:
                act()


def _nothing(_number: int, _frame: Any) -> None:
    """Do nothing: the signal's number arrives at the wake-up descriptor."""
