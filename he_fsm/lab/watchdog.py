"""
A stand-in for wdmd(8), for a host of a lab: it resets that host, and not this machine.

It speaks wdmd's protocol on a socket in a folder; `behind_watchdog.py` shows that folder to a
sanlock daemon as /run/wdmd.

Source: sanlock 3.8, wdmd/main.c and wdmd_sock.h; what 3.9 sends was read on its socket.
"""

from __future__ import annotations

import functools
import math
import os
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.lab import behind_watchdog

SOCKET: Final = "wdmd.sock"
# Magic, command, number, flags, interval, fire time-out; last keep-alive, renewal, expiry; name.
RECORD: Final = struct.Struct("=6I3Q128s")
# The other commands are about wdmd's own end; a machine that loses its power asks for nothing.
TEST_LIVE: Final = 4
STATUS: Final = 5
# From 3.9 on, the first: which time-out the watchdog is to have, in its sixth number. A daemon that
# is given another time-out does not join (-203).
ASK_TIMEOUT: Final = 7
# In seconds of sanlock's clock; what it wants that does not ask.
FIRE_TIMEOUT: Final = 60
TEST_INTERVAL: Final = 10
# A watchdog that is petted every 10 s until the expiry fires 50 to 60 s after it; one with another
# time-out is petted in the same proportion.
_PETTED: Final = TEST_INTERVAL / FIRE_TIMEOUT
GRACE: Final = FIRE_TIMEOUT - TEST_INTERVAL
_LOOK_S: Final = 0.01


@attrs.define(eq=False)
class _Client:
    """A connection, or what one left that ended before its time was cleared."""

    connection: Optional[socket.socket]
    # Monotonic clock; None: nothing expires.
    expires_at: Optional[float] = None
    # When its own clock was at 0, as far as its records have told.
    zero_at: float = math.inf


class Watchdog:
    """
    The watchdog of one host, in a thread of its own.

    *speed* is that of the clock of those who use it. *reset* is called once, in the thread, when a
    client's time has expired and the grace is over.
    """

    def __init__(self, folder: Path, speed: float, reset: Callable[[], object]) -> None:
        """Serve *folder*'s socket at once."""
        self.has_fired = False
        self._speed = speed
        self._reset = reset
        # The time-out that the last daemon asked for; all daemons have one watchdog.
        self._fire_timeout = FIRE_TIMEOUT
        self._path = folder / SOCKET
        self._clients: list[_Client] = []
        self._selector = selectors.DefaultSelector()
        folder.mkdir(exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Disarm it: the host has no power."""
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not (self._ends.is_set() or self._is_due()):
                for key, _ in self._selector.select(_LOOK_S):
                    if key.data is None:
                        self._accept()
                    else:
                        self._serve(key.data)
            if not self._ends.is_set():
                self._fire()
        finally:
            self._close()

    def _fire(self) -> None:
        try:
            self._reset()
        finally:
            # The next reader of `has_fired` completes the reset.
            self.has_fired = True

    def _close(self) -> None:
        self._selector.close()
        self._listener.close()
        for client in self._clients:
            if client.connection is not None:
                client.connection.close()
        self._path.unlink(missing_ok=True)

    def _is_due(self) -> bool:
        now, grace_s = time.monotonic(), self._fire_timeout * (1 - _PETTED) / self._speed
        return any(
            client.expires_at is not None and now >= client.expires_at + grace_s
            for client in self._clients
        )

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        client = _Client(connection)
        self._clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _serve(self, client: _Client) -> None:
        connection = client.connection
        if connection is None:
            return
        try:
            record = connection.recv(RECORD.size, socket.MSG_WAITALL)
        except OSError:
            record = b""
        if len(record) == RECORD.size:
            self._obey(client, connection, record)
            return
        self._selector.unregister(connection)
        connection.close()
        client.connection = None
        # safety: a client that has gone without clearing its time can't renew it, nor can another
        # in its place: the host is reset.
        if client.expires_at is None:
            self._clients.remove(client)

    def _obey(self, client: _Client, connection: socket.socket, record: bytes) -> None:
        magic, command, number, flags, _, asked, _, renewal, expiry, name = RECORD.unpack(record)
        if command == TEST_LIVE:
            # The two clocks have no common beginning. A renewal begins before it is reported, by as
            # much as the storage takes: the one that took least shows how the clocks differ.
            client.zero_at = min(client.zero_at, time.monotonic() - renewal / self._speed)
            client.expires_at = client.zero_at + expiry / self._speed if expiry else None
        elif command in (STATUS, ASK_TIMEOUT):
            if command == ASK_TIMEOUT and asked:
                self._fire_timeout = asked
            now = int(time.monotonic())
            interval = max(1, round(self._fire_timeout * _PETTED))
            head = (magic, command, number, flags, interval, self._fire_timeout)
            with suppress(OSError):
                connection.sendall(RECORD.pack(*head, now, renewal, expiry, name))


def behind(folder: Optional[Path], words: list[str], etc: Optional[Path] = None) -> list[str]:
    """
    Return the command that runs *words* where *folder* is /run/wdmd.

    *etc*: a folder whose `sanlock` is /etc/sanlock there (see `configure`). None leaves either
    place as it is.
    """
    places = ["-" if place is None else str(place) for place in (folder, etc)]
    return [sys.executable, "-I", "-S", behind_watchdog.__file__, *places, *words]


def configure(etc: Path, timeout: int) -> Path:
    """Write a sanlock.conf for a watchdog that fires after *timeout*; return *etc*."""
    conf = etc / "sanlock" / "sanlock.conf"
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text(f"watchdog_fire_timeout = {timeout}\n")
    return etc


@functools.cache
def why_not(*, sets_timeout: bool = False) -> str:
    """
    Say why this machine can't have stand-ins; empty: it can. Tried.

    *sets_timeout*: with another time-out than sanlock's own.
    """
    with tempfile.TemporaryDirectory(prefix="he-fsm-") as folder:
        etc = configure(Path(folder), FIRE_TIMEOUT) if sets_timeout else None
        done = subprocess.run(  # noqa: S603 - our own words
            behind(Path(folder), [sys.executable, "-I", "-S", "-c", ""], etc),
            capture_output=True,
            check=False,
            text=True,
            cwd=os.sep,
        )
    return " ".join(done.stderr.split()) if done.returncode else ""
