"""A connection to a D-Bus on which no answer is waited for without end."""

from __future__ import annotations

from typing import Any, Final, Optional

from jeepney.bus import get_bus
from jeepney.io.blocking import DBusConnection, prep_socket

# The system's bus, or the one that DBUS_SYSTEM_BUS_ADDRESS names.
SYSTEM_BUS: Final = "SYSTEM"
# An answer takes milliseconds (seconds).
ANSWER_S: Final = 2.0


class _Connection(DBusConnection):  # type: ignore[misc]  # The library has no types.
    """A connection that waits for no answer without end, as the library does for the first one."""

    def send_and_get_reply(self, message: Any, *, timeout: Optional[float] = None) -> Any:
        """Return the answer; raises `TimeoutError`."""
        limit_s = ANSWER_S if timeout is None else timeout
        return super().send_and_get_reply(message, timeout=limit_s)


def connected(address: str, within_s: float = ANSWER_S, *, takes_files: bool = False) -> Any:
    """
    Connect to a bus, within so many seconds; *takes_files*: answers may carry file descriptors.

    Raises:
        Exception: any, for the library raises errors of its own for what authentication brings.
    """
    made = prep_socket(get_bus(address), enable_fds=takes_files, timeout=within_s)
    return _Connection(made, enable_fds=takes_files)
