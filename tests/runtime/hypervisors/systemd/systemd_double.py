"""
A double of systemd's interface on a private bus: units are processes of this one.

`systemd_double.py BUS UNITS.json`: the file is an object of units by name, each with `run` (its
command), and perhaps `file_state` (as `systemctl is-enabled` says) and `restart` (it is started
again when it ends). It is read with each order, so that a test may change it. Unlike systemd, the
double knows a unit's processes by their group alone.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

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

NAME = "org.freedesktop.systemd1"
UNIT_PATH = "/org/freedesktop/systemd1/unit/"
# TimeoutStopSec= of all units (seconds).
STOPS_S = 20.0


class Unit:
    """One unit."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = "inactive"
        self.process: Optional[subprocess.Popen[bytes]] = None
        self.kill_at: Optional[float] = None
        self.starts_again = False

    @property
    def path(self) -> str:
        safe = "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in self.name)
        return UNIT_PATH + safe


class Double:
    """The manager and its units."""

    def __init__(self, bus: str, units: Path) -> None:
        self._file = units
        self._units: dict[str, Unit] = {}
        self._connection = open_dbus_connection(bus)
        self._connection.send_and_get_reply(message_bus.RequestName(NAME), timeout=5)
        self._woken, waking = socket.socketpair()
        for each in (self._woken, waking):
            each.setblocking(False)
        self._waking = waking
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection.sock, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                selector.select(0.1)
                with suppress(BlockingIOError):
                    self._woken.recv(4096)
                with suppress(TimeoutError):
                    while True:
                        self._answer(self._connection.receive(timeout=0))
                for unit in self._units.values():
                    self._look(unit)

    # Units.

    def _known(self, name: str) -> dict[str, Any]:
        units: dict[str, dict[str, Any]] = json.loads(self._file.read_text())
        return units.get(name, {})

    def _unit(self, name: str) -> Unit:
        return self._units.setdefault(name, Unit(name))

    def _start(self, unit: Unit) -> None:
        if unit.process is None:
            run = self._known(unit.name)["run"]
            unit.process = subprocess.Popen(run, start_new_session=True)
            self._becomes(unit, "active")

    def _stop(self, unit: Unit) -> None:
        unit.starts_again = False
        if unit.process is not None and unit.state != "deactivating":
            self._signal(unit, signal.SIGTERM)
            unit.kill_at = time.monotonic() + STOPS_S
            self._becomes(unit, "deactivating")

    def _signal(self, unit: Unit, number: int) -> None:
        if unit.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(unit.process.pid, number)

    def _look(self, unit: Unit) -> None:
        if unit.process is None:
            return
        status = unit.process.poll()
        if status is None:
            if unit.kill_at is not None and time.monotonic() > unit.kill_at:
                self._signal(unit, signal.SIGKILL)
            return
        self._signal(unit, signal.SIGKILL)
        was_stopped = unit.state == "deactivating"
        unit.process = unit.kill_at = None
        again = unit.starts_again or (self._known(unit.name).get("restart") and not was_stopped)
        unit.starts_again = False
        if again:
            self._becomes(unit, "activating")
            self._start(unit)
        else:
            self._becomes(unit, "failed" if status and not was_stopped else "inactive")

    def _becomes(self, unit: Unit, state: str) -> None:
        unit.state = state
        emitter = DBusAddress(unit.path, interface="org.freedesktop.DBus.Properties")
        changed = {"ActiveState": ("s", state)}
        body = (f"{NAME}.Unit", changed, [])
        self._connection.send(new_signal(emitter, "PropertiesChanged", "sa{sv}as", body))

    def _properties(self, path: str, interface: str) -> dict[str, Any]:
        [unit] = [each for each in self._units.values() if each.path == path]
        if interface.endswith(".Service"):
            pid = 0 if unit.process is None else unit.process.pid
            return {"MainPID": ("u", pid)}
        return {
            "LoadState": ("s", "loaded" if self._known(unit.name) else "not-found"),
            "ActiveState": ("s", unit.state),
            "Job": ("(uo)", (0, "/")),
        }

    # The bus.

    def _answer(self, message: Message) -> None:
        if message.header.message_type is not MessageType.method_call:
            return
        fields = message.header.fields
        method, path = fields[HeaderFields.member], fields[HeaderFields.path]
        try:
            signature, body = self._obey(method, path, message.body)
        except KeyError as error:
            said = (f"Unit {error} not found.",)
            answer = new_error(message, f"{NAME}.NoSuchUnit", "s", said)
        else:
            answer = new_method_return(message, signature, body)
        self._connection.send(answer)

    def _obey(self, method: str, path: str, words: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        if method == "GetAll":
            return "a{sv}", (self._properties(path, words[0]),)
        if method == "Subscribe":
            return None, ()
        unit = self._unit(words[0])
        if method == "LoadUnit":
            return "o", (unit.path,)
        if method == "GetUnitFileState":
            return "s", (self._known(unit.name).get("file_state", "disabled"),)
        if method == "KillUnit":
            self._signal(unit, words[2])
            return None, ()
        if method == "ResetFailedUnit":
            unit.state = "inactive" if unit.state == "failed" else unit.state
            return None, ()
        if method == "StartUnit":
            self._start(unit)
        elif method == "RestartUnit":
            self._stop(unit)
            unit.starts_again = True
        elif method == "StopUnit":
            self._stop(unit)
        return "o", ("/org/freedesktop/systemd1/job/1",)


if __name__ == "__main__":
    # The bus ends first, where a test ends.
    with suppress(ConnectionError):
        Double(sys.argv[1], Path(sys.argv[2])).run()
