"""
systemd-logind on the system's D-Bus: the few calls that an agent needs.

Source: org.freedesktop.login1(5), systemd's "Inhibitor Locks".
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import Any, Final, Optional

from jeepney import (
    DBusAddress,
    HeaderFields,
    MatchRule,
    MessageType,
    message_bus,
    new_method_call,
)

from he_fsm.errors import HeFsmError, cause_of
from he_fsm.runtime.service.dbus import ANSWER_S, SYSTEM_BUS, connected

NAME: Final = "org.freedesktop.login1"
PATH: Final = "/org/freedesktop/login1"
MANAGER: Final = f"{NAME}.Manager"
# Who inhibits, as `systemd-inhibit --list` shows it.
_WHO: Final = "he-fsm-agent"
_MICROSECONDS: Final = 1e-6


class LogindError(HeFsmError):
    """logind can't be asked, does not answer, or refuses."""


class Logind:
    """
    One connection to logind, for one thread.

    Making one connects. After an error it is of no use any more: make another one. What was
    inhibited stays so for as long as its descriptor is open, whatever becomes of the connection.
    """

    def __init__(self, address: str = SYSTEM_BUS) -> None:
        """
        Connect, and ask for the signals about shutdowns.

        Raises:
            LogindError: there is no bus, or no logind on it.
        """
        try:
            self._connection = connected(address, takes_files=True)
        except Exception as error:
            # The library raises errors of its own for what authentication brings.
            msg = f"the D-Bus {address} can't be reached: {cause_of(error)}"
            raise LogindError(msg) from error
        rule = MatchRule(type="signal", interface=MANAGER, member="PrepareForShutdown", path=PATH)
        self._signals: deque[Any] = deque()
        self._filter = self._connection.filter(rule, queue=self._signals)
        try:
            self._reply(message_bus.AddMatch(rule), "AddMatch")
        except LogindError:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect."""
        with suppress(OSError):
            self._connection.close()

    def inhibit(self, what: str, why: str, mode: str) -> int:
        """
        Inhibit `shutdown` or `sleep`, for as long as the descriptor that is returned is open.

        Args:
            mode: `delay` (logind waits, for `delay_s` at most) or `block`.
        """
        reply = self._call(
            DBusAddress(PATH, NAME, MANAGER), "Inhibit", "ssss", what, _WHO, why, mode
        )
        try:
            descriptor: int = reply.to_raw_fd()
        except AttributeError as error:
            msg = "logind answers Inhibit without a file descriptor"
            raise LogindError(msg) from error
        # A VM that this process starts must not hold it as well.
        os.set_inheritable(descriptor, False)
        return descriptor

    @property
    def delay_s(self) -> float:
        """How long logind waits at most (InhibitDelayMaxSec=)."""
        return float(self._property("InhibitDelayMaxUSec")) * _MICROSECONDS

    @property
    def is_preparing(self) -> bool:
        """Whether a shutdown is under way."""
        return bool(self._property("PreparingForShutdown"))

    def next_shutdown(self, within_s: float) -> Optional[bool]:
        """
        Wait for a signal about a shutdown.

        Returns:
            True: one begins. False: it was called off. None: there was none within *within_s*.
        """
        try:
            message = self._connection.recv_until_filtered(self._signals, timeout=within_s)
        except TimeoutError:
            return None
        except (OSError, EOFError, RuntimeError) as error:
            msg = f"logind can't be listened to: {error or 'the bus has ended'}"
            raise LogindError(msg) from error
        # Anybody on the bus may send a signal.
        owner = self._reply(message_bus.GetNameOwner(NAME), "GetNameOwner")
        if message.header.fields.get(HeaderFields.sender) != owner:
            return None
        return bool(message.body and message.body[0])

    def _property(self, name: str) -> Any:
        address = DBusAddress(PATH, NAME, "org.freedesktop.DBus.Properties")
        _, value = self._call(address, "Get", "ss", MANAGER, name)
        return value

    def _call(self, address: DBusAddress, method: str, signature: str, *words: object) -> Any:
        return self._reply(new_method_call(address, method, signature, words), method)

    def _reply(self, message: Any, what: str) -> Any:
        try:
            reply = self._connection.send_and_get_reply(message, timeout=ANSWER_S)
        except (OSError, EOFError, RuntimeError) as error:
            why = "no answer" if isinstance(error, TimeoutError) else str(error) or "it has ended"
            msg = f"logind can't be asked ({what}): {why}"
            raise LogindError(msg) from error
        body = reply.body
        if reply.header.message_type is MessageType.error:
            name = str(reply.header.fields.get(HeaderFields.error_name, "an error"))
            msg = f"logind refuses {what}: {body[0] if body else name}"
            raise LogindError(msg)
        return body[0] if body else None
