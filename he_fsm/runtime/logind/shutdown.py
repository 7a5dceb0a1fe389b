"""
What an agent knows of its host's shutdown, and how it delays that.

The agent holds a delay inhibitor of logind: a shutdown or reboot begins with a signal, and logind
waits until the inhibitor is closed, for InhibitDelayMaxSec= at most. While the engine is here, it
holds a block inhibitor against suspend as well. A host without logind, or whose logind refuses,
goes down as ever: the log says so once, and it is tried again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Optional, Protocol

from he_fsm.errors import HeFsmError, MissingExtraError
from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.service.supervised import SupervisedThread

_log = logging.getLogger(__name__)
# How often a logind that could not be asked is asked again, and how long one wait for a signal is
# at most: for so long the agent may want another inhibitor, and not get it (seconds).
_AGAIN_S: Final = 30.0
_LISTEN_S: Final = 1.0
_WHY_SHUTDOWN: Final = "hands the engine over first"
_WHY_SLEEP: Final = "the engine VM runs here"


class Shutdown(Protocol):
    """What the agent's loop asks of the host's shutdown."""

    @property
    def leaves_by(self) -> Optional[float]:
        """When the host goes down (monotonic clock), whatever this agent does; None: it stays."""

    def let_go(self, reason: str) -> None:
        """Stand in the way of the shutdown no longer."""

    def keep_awake(self, *, is_needed: bool) -> None:
        """Say whether the host must not be suspended now."""


class NoShutdown:
    """A host that is never shut down in order, as far as its agent knows."""

    leaves_by: Optional[float] = None

    def let_go(self, reason: str) -> None:
        """Do nothing: nobody waits."""

    def keep_awake(self, *, is_needed: bool) -> None:
        """Do nothing: nobody can be told."""


class Bus(Protocol):
    """The part of `he_fsm.runtime.logind.bus.Logind` that is used here."""

    @property
    def delay_s(self) -> float:
        """How long logind waits at most (seconds)."""

    @property
    def is_preparing(self) -> bool:
        """Whether a shutdown is under way."""

    def close(self) -> None:
        """Disconnect."""

    def inhibit(self, what: str, why: str, mode: str) -> int:
        """Return a descriptor that inhibits while it is open."""

    def next_shutdown(self, within_s: float) -> Optional[bool]:
        """Wait for a signal."""


class HostShutdown:
    """
    The shutdown as logind announces it, seen by a thread of its own.

    `leaves_by` and the two methods may be used by any thread, and never wait.
    """

    def __init__(
        self,
        connect: Callable[[], Bus],
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Take the parts; nothing is asked before `start`.

        Args:
            connect: makes a connection to logind; raises `HeFsmError`.
            wake: called when a shutdown begins, or is called off.
        """
        self._connect = connect
        self._wake = wake
        self._clock = clock
        self._repeats = Repeats(_log)
        self._lock = threading.Lock()
        self._leaves_by: Optional[float] = None
        self._needs_awake = False
        # The descriptors that inhibit; None: nothing is inhibited.
        self._delay: Optional[int] = None
        self._block: Optional[int] = None
        self._closing = threading.Event()
        self._thread = SupervisedThread("logind", self._run)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Listen no more, and inhibit nothing."""
        self._closing.set()
        self._thread.close()
        with self._lock:
            self._release_delay()
            self._release_block()

    @property
    def leaves_by(self) -> Optional[float]:
        """When the host goes down (monotonic clock), whatever this agent does; None: it stays."""
        return self._leaves_by

    def let_go(self, reason: str) -> None:
        """Stand in the way of the shutdown no longer."""
        with self._lock:
            if self._delay is not None:
                _log.info("the host may go down: %s", reason)
            self._release_delay()

    def keep_awake(self, *, is_needed: bool) -> None:
        """Say whether the host must not be suspended now; it is told to logind within a second."""
        self._needs_awake = is_needed
        if not is_needed:
            with self._lock:
                self._release_block()

    # The thread.

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                bus = self._connect()
            except MissingExtraError as error:
                # Another try would find no more.
                _log.warning("an orderly shutdown is not delayed: %s", error)
                return
            except HeFsmError as error:
                self._complain(error)
            else:
                try:
                    self._listen(bus)
                except HeFsmError as error:
                    self._complain(error)
                finally:
                    bus.close()
            self._closing.wait(_AGAIN_S)

    def _complain(self, error: HeFsmError) -> None:
        self._repeats.complain(
            "logind",
            "a shutdown of this host does not wait until the engine has left: %s",
            error,
            level=logging.INFO,
        )

    def _listen(self, bus: Bus) -> None:
        delay_s = bus.delay_s
        if bus.is_preparing:
            self._begins(delay_s)
        else:
            self._called_off()
        while not self._closing.is_set():
            self._inhibit(bus)
            self._repeats.end("logind", "logind answers again")
            begins = bus.next_shutdown(_LISTEN_S)
            if begins:
                self._begins(delay_s)
            elif begins is False:
                self._called_off()

    def _begins(self, delay_s: float) -> None:
        if self._leaves_by is None:
            _log.warning("this host is about to be shut down, within %g s", delay_s)
            self._leaves_by = self._clock() + delay_s
            self._wake()

    def _called_off(self) -> None:
        if self._leaves_by is not None:
            _log.warning("the shutdown of this host is called off")
            self._leaves_by = None
            self._wake()

    def _inhibit(self, bus: Bus) -> None:
        """Take the inhibitors that are wanted; while a shutdown is under way there are none."""
        if self._leaves_by is not None:
            return
        if self._delay is None:
            delay = bus.inhibit("shutdown", _WHY_SHUTDOWN, "delay")
            with self._lock:
                self._delay = delay
                if self._closing.is_set():
                    self._release_delay()
            _log.info("a shutdown of this host waits for this agent, up to %g s", bus.delay_s)
        if self._needs_awake and self._block is None:
            self._take_block(bus)

    def _take_block(self, bus: Bus) -> None:
        try:
            block = bus.inhibit("sleep", _WHY_SLEEP, "block")
        except HeFsmError as error:
            self._repeats.complain("sleep", "suspend is not inhibited: %s", error)
            return
        self._repeats.end("sleep", "suspend is inhibited while the engine is here")
        with self._lock:
            self._block = block
            if not self._needs_awake or self._closing.is_set():
                self._release_block()

    def _release_delay(self) -> None:
        _close(self._delay)
        self._delay = None

    def _release_block(self) -> None:
        _close(self._block)
        self._block = None


def _close(descriptor: Optional[int]) -> None:
    """Close a descriptor, if there is one."""
    if descriptor is not None:
        with suppress(OSError):
            os.close(descriptor)


def system_shutdown(wake: Callable[[], None]) -> HostShutdown:
    """Return the shutdown of this machine, as its own logind announces it."""
    return HostShutdown(system_logind, wake)


def system_logind() -> Bus:
    """
    Connect to this machine's logind.

    Raises:
        MissingExtraError: the library for the D-Bus is not installed.
        HeFsmError: there is no bus, or no logind.
    """
    try:
        from he_fsm.runtime.logind.bus import Logind  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error.name, "daemon", "delaying a shutdown") from error
    bus: Bus = Logind()
    return bus
