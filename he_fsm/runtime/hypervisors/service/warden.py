"""
The process between the keeper of the lease and what runs under it.

It starts the program or unit, tells the keeper how that is, and ends it: all of it, whatever it has
begun. It has the lease open as well, as the keeper has, and lets it go when nothing is left. So the
two may be killed in any order:

* the keeper dies (it lost its lease, or was powered off): the warden ends everything, at once;
* the warden dies: the kernel kills the program, and the keeper ends what it has begun.

Messages are JSON objects. To the keeper: {"began": pid} (once, and again where another process is
the main one then; 0: it is not known), {"failed": text}, {"ended": text}. From it: {"order":
"stop"}, {"order": "end"}.
"""

from __future__ import annotations

import json
import logging
import signal
import socket
import time
from contextlib import suppress
from typing import Any, Final, Optional

from he_fsm.runtime.hypervisors.event_loop import EventLoop
from he_fsm.runtime.hypervisors.service.body import Body, BodyError

_log = logging.getLogger("he_fsm.warden")
# How often it is looked whether something is left: at first, and where that takes long (seconds).
AGAIN_S: Final = 0.01
AGAIN_MAX_S: Final = 0.5
# What a program that was told to stop has begun may take so long to end by itself (seconds).
_GRACE_S: Final = 5.0
# After so long people are told that something does not end (seconds).
_SAID_AFTER_S: Final = 10.0
MESSAGE_BYTES: Final = 4096


class Warden:
    """Looks after a body for the keeper at the other end of *channel*."""

    def __init__(self, body: Body, channel: socket.socket) -> None:
        """Begin with `run`."""
        self._body = body
        self._channel = channel
        self._loop = EventLoop()
        self._has_ended = False
        self._pid = 0
        self._said_at: Optional[float] = None
        self._again_s = AGAIN_S
        # safety: what is sent to a whole group or terminal ends no warden.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.on_signal(number, lambda: None)
        self._loop.on_signal(signal.SIGCHLD, self._look)

    def run(self) -> int:
        """Start the body, and go on until nothing is left of it; return the exit status."""
        try:
            self._pid = self._body.begin()
        except BodyError as error:
            self._tell(failed=str(error))
            return 1
        self._tell(began=self._pid)
        self._loop.when_readable(self._channel, self._hear)
        for reader in self._body.readers:
            self._loop.when_readable(reader, self._look)
        # It may have ended before anybody listened.
        self._look()
        return self._loop.run()

    def _hear(self) -> None:
        try:
            data = self._channel.recv(MESSAGE_BYTES)
        except OSError:
            data = b""
        if not data:
            # safety: without its keeper nobody has the lease for it.
            _log.critical("the keeper of the lease has ended: all is ended")
            self._loop.ignore(self._channel)
            self._end()
        elif json.loads(data)["order"] == "stop":
            self._body.stop()
        else:
            self._end()

    def _look(self) -> None:
        ending = self._body.look()
        if self._body.pid not in (0, self._pid):
            self._pid = self._body.pid
            self._tell(began=self._pid)
        if ending is None or self._has_ended:
            return
        self._has_ended = True
        self._tell(ended=ending.why)
        if ending.is_orderly:
            self._await_rest(time.monotonic() + _GRACE_S)
        else:
            self._end()

    def _await_rest(self, until: float) -> None:
        """Wait for what the body has begun, as long as it may take; then end it."""
        if self._body.is_gone or time.monotonic() > until:
            self._end()
        else:
            self._loop.at("rest", self._next_look(), lambda: self._await_rest(until))

    def _end(self) -> None:
        """End all that is left; the lease is kept until nothing is, however long that takes."""
        self._loop.forget("rest")
        if self._body.end():
            self._loop.end(0)
            return
        now = time.monotonic()
        if self._said_at is None:
            self._said_at = now
        elif now > self._said_at + _SAID_AFTER_S:
            _log.error("something does not end, and keeps the lease from everybody else")
            self._said_at = now
        self._loop.at("end", self._next_look(), self._end)

    def _next_look(self) -> float:
        """Return when to look again: what does not end at once is looked at less often."""
        again_s, self._again_s = self._again_s, min(2 * self._again_s, AGAIN_MAX_S)
        return time.monotonic() + again_s

    def _tell(self, **message: Any) -> None:
        # A keeper that has ended is noticed by the end of the channel.
        with suppress(OSError):
            self._channel.send(json.dumps(message).encode())
