"""The D-Bus of one host, with its logind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab.processes import start_in

# Both are there within a second (seconds).
_THERE_WITHIN_S: Final = 20.0
_LOOK_S: Final = 0.01
_ANSWER_S: Final = 2.0
_LOG: Final = "logind.log"
_CONFIG: Final = """<busconfig>
<type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default">
<allow user="*"/><allow own="*"/><allow send_type="signal"/><allow receive_type="signal"/>
<allow send_destination="*"/><allow receive_sender="*"/>
</policy></busconfig>
"""


def why_not() -> str:
    """Return why this machine can't shut a lab's host down in order; empty: it can."""
    if shutil.which("dbus-daemon") is None:
        return "the program dbus-daemon is not there: install the package dbus-daemon"
    return ""


class HostBus:
    """A bus of one host, from its boot to its end."""

    def __init__(self, run_dir: Path, delay_s: float) -> None:
        """Take the folder of the socket, and how long a shutdown waits; nothing is started."""
        self._socket = run_dir / "bus"
        self._config = run_dir / "bus.conf"
        self._delay_s = delay_s
        self._daemon: Optional[subprocess.Popen[bytes]] = None
        self._logind: Optional[subprocess.Popen[bytes]] = None

    @property
    def address(self) -> str:
        """The bus's address."""
        return f"unix:path={self._socket}"

    @property
    def is_up(self) -> bool:
        """Whether it was started, and its host has not gone down."""
        return self._logind is not None and self._logind.poll() is None

    def start(self, folder: Path) -> None:
        """
        Start bus and logind, which work in *folder*, if they do not run; wait until both answer.

        Raises:
            HeFsmError: they do not come up.
        """
        if self.is_up:
            return
        self.end()
        self._socket.unlink(missing_ok=True)
        self._config.write_text(_CONFIG.format(socket=self._socket), encoding="utf-8")
        program = shutil.which("dbus-daemon") or "dbus-daemon"
        bus = [program, "--nofork", f"--config-file={self._config}"]
        self._daemon = start_in(folder, bus, _LOG)
        self._await(self._socket.exists)
        logind = [sys.executable, "-m", "he_fsm.lab.logind", self.address, f"{self._delay_s:g}"]
        self._logind = start_in(folder, logind, _LOG)
        self._await(self._answers)

    def ask(self, method: str) -> None:
        """
        Call logind: `PowerOff`, `Reboot` or `CancelShutdown`.

        Raises:
            HeFsmError: it does not answer.
        """
        # Only who shuts hosts down needs the library.
        from jeepney import DBusAddress, new_method_call  # noqa: PLC0415 - optional
        from jeepney.io.blocking import open_dbus_connection  # noqa: PLC0415 - optional

        from he_fsm.runtime.logind.bus import MANAGER, NAME, PATH  # noqa: PLC0415 - optional

        try:
            with open_dbus_connection(self.address) as bus:
                words = () if method == "CancelShutdown" else (False,)
                call = new_method_call(
                    DBusAddress(PATH, NAME, MANAGER), method, "b" if words else None, words
                )
                bus.send_and_get_reply(call, timeout=_ANSWER_S)
        except (OSError, EOFError) as error:
            msg = f"the lab's logind does not answer {method}: {error}"
            raise HeFsmError(msg) from error

    @property
    def has_gone_down(self) -> bool:
        """Whether the shutdown waits for nobody any more."""
        return self._logind is not None and self._logind.poll() == 0

    def kill_logind(self) -> None:
        """Kill logind alone; the bus goes on."""
        _kill(self._logind)
        self._logind = None

    def end(self) -> None:
        """End both at once."""
        self.kill_logind()
        _kill(self._daemon)
        self._daemon = None

    def _answers(self) -> bool:
        from he_fsm.runtime.logind.bus import Logind, LogindError  # noqa: PLC0415 - optional

        try:
            bus = Logind(self.address)
        except LogindError:
            return False
        try:
            return bus.delay_s >= 0
        except LogindError:
            return False
        finally:
            bus.close()

    def _await(self, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + _THERE_WITHIN_S
        while not is_so():
            ended = self._daemon is None or self._daemon.poll() is not None
            if ended or time.monotonic() > until:
                self.end()
                msg = f"the D-Bus of a host does not come up; see {_LOG} of the host"
                raise HeFsmError(msg)
            time.sleep(_LOOK_S)


def _kill(process: Optional[subprocess.Popen[bytes]]) -> None:
    if process is not None:
        process.kill()
        process.wait()
