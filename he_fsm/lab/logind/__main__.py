"""
logind's part in a shutdown, on a private D-Bus: `python -m he_fsm.lab.logind ADDRESS DELAY_S`.

It answers what an agent asks of logind (inhibitors, how long they delay), and `Reboot` and
`PowerOff`: it announces the shutdown, waits until no delay inhibitor is left or the delay has
passed, and ends with status 0, for which the lab waits. `CancelShutdown`, which the real one has
not, calls a shutdown off, as systemd does that can't begin the job.

Source: org.freedesktop.login1(5), systemd's "Inhibitor Locks".
"""

from __future__ import annotations

import os
import selectors
import sys
import time
from contextlib import suppress
from typing import Any, Final, Optional

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import open_dbus_connection

from he_fsm.runtime.logind.bus import MANAGER, NAME, PATH

_ANSWER_S: Final = 5.0
_MICROSECONDS: Final = 1_000_000
# How long one wait for the bus is at most, and with it how late an end is noticed (seconds).
_LOOK_S: Final = 0.02


class Logind:
    """The inhibitors, and the shutdown that is under way."""

    def __init__(self, address: str, delay_s: float) -> None:
        """Take the name on the bus."""
        self._delay_s = delay_s
        self._until: Optional[float] = None
        # Who inhibits, by the end of the pipe whose other end is his.
        self._inhibitors: dict[int, tuple[str, str, str, str]] = {}
        self._bus = open_dbus_connection(address, enable_fds=True)
        self._bus.send_and_get_reply(message_bus.RequestName(NAME), timeout=_ANSWER_S)

    def run(self) -> None:
        """Answer until the host goes down."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._bus.sock, selectors.EVENT_READ)
            while not self._goes_down():
                selector.select(_LOOK_S)
                with suppress(TimeoutError):
                    while True:
                        self._answer(self._bus.receive(timeout=0))
                self._look_at_inhibitors()

    def _goes_down(self) -> bool:
        if self._until is None:
            return False
        delays = ("shutdown", "delay") in [(each[0], each[3]) for each in self._inhibitors.values()]
        return not delays or time.monotonic() >= self._until

    def _look_at_inhibitors(self) -> None:
        """Forget the inhibitors whose owners have closed them."""
        for end in list(self._inhibitors):
            try:
                is_closed = os.read(end, 1) == b""
            except BlockingIOError:
                is_closed = False
            if is_closed:
                os.close(end)
                del self._inhibitors[end]

    def _answer(self, message: Message) -> None:
        if message.header.message_type is not MessageType.method_call:
            return
        method = message.header.fields[HeaderFields.member]
        try:
            signature, body, given = self._obey(method, message.body)
        except KeyError as error:
            answer = new_error(message, f"{NAME}.Refused", "s", (f"{method}: {error}",))
            self._bus.send(answer)
            return
        self._bus.send(new_method_return(message, signature, body))
        if given is not None:
            os.close(given)

    def _obey(self, method: str, words: tuple[Any, ...]) -> tuple[Any, Any, Optional[int]]:
        """Return the answer's signature and body, and what is closed once it is sent."""
        if method == "Inhibit":
            if self._until is not None:
                msg = "The operation inhibition has been requested for is already running"
                raise KeyError(msg)
            ours, theirs = os.pipe()
            os.set_blocking(ours, False)
            self._inhibitors[ours] = words
            return "h", (theirs,), theirs
        if method == "ListInhibitors":
            return "a(ssssuu)", ([(*each, 0, 0) for each in self._inhibitors.values()],), None
        if method == "Get":
            return "v", (self._property(words[1]),), None
        if method in ("Reboot", "PowerOff"):
            self._prepare(is_begun=True)
        elif method == "CancelShutdown":
            self._prepare(is_begun=False)
        else:
            raise KeyError(method)
        return None, (), None

    def _property(self, name: str) -> tuple[str, Any]:
        return {
            "InhibitDelayMaxUSec": ("t", int(self._delay_s * _MICROSECONDS)),
            "PreparingForShutdown": ("b", self._until is not None),
        }[name]

    def _prepare(self, *, is_begun: bool) -> None:
        """Announce the beginning of a shutdown, or that it is called off."""
        self._until = time.monotonic() + self._delay_s if is_begun else None
        emitter = DBusAddress(PATH, interface=MANAGER)
        self._bus.send(new_signal(emitter, "PrepareForShutdown", "b", (is_begun,)))


if __name__ == "__main__":
    # The bus ends first, where a lab is closed.
    with suppress(ConnectionError):
        Logind(sys.argv[1], float(sys.argv[2])).run()
