"""
systemd's interface on the D-Bus: the few calls of it that a unit under a lease needs.

Source: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

from collections.abc import Mapping
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

from he_fsm.errors import HypervisorError, cause_of
from he_fsm.runtime.service.dbus import ANSWER_S, SYSTEM_BUS, connected

NAME: Final = "org.freedesktop.systemd1"
_PATH: Final = "/org/freedesktop/systemd1"
_MANAGER: Final = f"{NAME}.Manager"
_UNIT: Final = f"{NAME}.Unit"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"


class BusError(HypervisorError):
    """systemd can't be asked, or does not answer: it is not known whether it obeyed."""


class RefusedByBusError(BusError):
    """systemd, or who may ask it, says no."""


class Bus:
    """
    One connection to the bus at *address* (SYSTEM, or an address of its own), made when needed.

    For one thread. A connection that was lost is made anew with the next call.
    """

    def __init__(self, address: str = SYSTEM_BUS, answer_s: float = ANSWER_S) -> None:
        """Take the address; nothing is opened."""
        self._address = address
        self._answer_s = answer_s
        self._connection: Optional[Any] = None

    def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()

    # systemd's manager.

    def load(self, unit: str) -> str:
        """Return the object of a unit, whether its file is there or not."""
        return str(self._manager("LoadUnit", "s", unit))

    def start(self, unit: str) -> None:
        """Order the start of a unit."""
        self._manager("StartUnit", "ss", unit, "replace")

    def restart(self, unit: str) -> None:
        """Order the end of a unit, and its start."""
        self._manager("RestartUnit", "ss", unit, "replace")

    def stop(self, unit: str) -> None:
        """Order the end of a unit, as its file says."""
        self._manager("StopUnit", "ss", unit, "replace")

    def kill(self, unit: str, number: int) -> None:
        """Send a signal to all processes of a unit."""
        self._manager("KillUnit", "ssi", unit, "all", number)

    def forget_failure(self, unit: str) -> None:
        """Have a unit start again however often it has failed."""
        self._manager("ResetFailedUnit", "s", unit)

    def file_state(self, unit: str) -> str:
        """Return whether a unit is enabled, in systemd's words."""
        return str(self._manager("GetUnitFileState", "s", unit))

    def properties(self, path: str, interface: str) -> Mapping[str, Any]:
        """Return the properties of an object: those of one of its interfaces."""
        address = DBusAddress(path, bus_name=NAME, interface=_PROPERTIES)
        found = self._call(address, "GetAll", "s", f"{NAME}.{interface}")
        return {name: value for name, (_, value) in found.items()}

    # Signals.

    def watch(self, path: str) -> None:
        """Ask for a signal whenever the object changes."""
        self._manager("Subscribe", "")
        rule = MatchRule(
            type="signal", interface=_PROPERTIES, member="PropertiesChanged", path=path
        )
        reply = self._reply(message_bus.AddMatch(rule), "AddMatch")
        if reply.header.message_type is not MessageType.method_return:
            msg = "the D-Bus takes no rule for signals"
            raise RefusedByBusError(msg)

    def signalled(self, within_s: float) -> bool:
        """Wait for a signal, so many seconds at most; return whether one has come."""
        try:
            message = self._connected().receive(timeout=within_s)
        except TimeoutError:
            return False
        except (OSError, EOFError) as error:
            lost = self._lost("wait", error)
            raise lost from error
        return message.header.message_type is MessageType.signal

    # How.

    def _manager(self, method: str, signature: str, *words: object) -> Any:
        address = DBusAddress(_PATH, bus_name=NAME, interface=_MANAGER)
        return self._call(address, method, signature, *words)

    def _call(self, address: DBusAddress, method: str, signature: str, *words: object) -> Any:
        reply = self._reply(new_method_call(address, method, signature or None, words), method)
        body = reply.body
        if reply.header.message_type is MessageType.error:
            name = str(reply.header.fields.get(HeaderFields.error_name, "an error"))
            said = str(body[0]) if body else name
            msg = f"systemd refuses {method}: {said}"
            raise RefusedByBusError(msg)
        return body[0] if body else None

    def _reply(self, message: Any, what: str) -> Any:
        try:
            return self._connected().send_and_get_reply(message, timeout=self._answer_s)
        except TimeoutError as error:
            raise self._lost(what, error) from error
        except (OSError, EOFError) as error:
            raise self._lost(what, error) from error

    def _lost(self, what: str, error: Exception) -> BusError:
        self.close()
        why = "no answer" if isinstance(error, TimeoutError) else str(error) or "it has ended"
        msg = f"systemd can't be asked ({what}): {why}"
        return BusError(msg)

    def _connected(self) -> Any:
        if self._connection is None:
            try:
                self._connection = connected(self._address, self._answer_s)
            except Exception as error:
                # The library raises errors of its own for what authentication brings.
                msg = f"the D-Bus {self._address} can't be reached: {cause_of(error)}"
                raise BusError(msg) from error
        return self._connection
