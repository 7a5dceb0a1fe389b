"""
Telling systemd how this daemon is: readiness, reloads, status, watchdog.

Source: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5). The libraries on PyPI are
either unmaintained, need libsystemd to be compiled against, or pace the watchdog by the wall clock.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Optional

from he_fsm.runtime.service.log import one_line


class SystemdNotifier:
    """
    Speaks to the service manager that started this process; without one, it says nothing.

    What the manager put into the environment is taken out of it: neither the engine VM nor a
    hook may speak in the daemon's name. `watchdog_interval_s` is how long the manager waits for
    `watchdog` before it kills (tell it twice as often); None: it does not wait.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._address = _address(environ.pop("NOTIFY_SOCKET", ""))
        interval_us = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        self.watchdog_interval_s: Optional[float] = None
        is_for_this = not pid or pid == str(os.getpid())
        if self._address and is_for_this and interval_us.isdigit() and int(interval_us):
            self.watchdog_interval_s = int(interval_us) / 1e6

    def ready(self) -> None:
        """Say that starting, or reloading, is finished."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is being read again; `ready` has to follow."""
        # systemd wants CLOCK_MONOTONIC, which is what Python's monotonic clock is on Linux.
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the daemon is about to end."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in words how the daemon is; `systemctl status` shows it."""
        self._send(f"STATUS={one_line(text)}")

    def watchdog(self) -> None:
        """Say that the daemon is alive."""
        if self.watchdog_interval_s is not None:
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A manager that does not listen must not stop the daemon, nor make it wait.
        with (
            contextlib.suppress(OSError),
            socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            ) as out,
        ):
            out.sendto(message.encode(), self._address)


def _address(text: str) -> str:
    """Return the address of a Unix socket, a path or (with @) an abstract one; else nothing."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""
