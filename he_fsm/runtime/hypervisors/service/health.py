"""Whether a service is well, as a command says by its exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Final, Optional

import attrs

from he_fsm.errors import MonitorError
from he_fsm.runtime.ports.monitors import HealthReport
from he_fsm.snapshot import Health

# A command that was killed is gone by then; one that hangs in the kernel is left behind (seconds).
_GONE_S: Final = 1.0
_SAID_BYTES: Final = 4096
_SAID_MAX: Final = 120


@attrs.frozen
class HealthCommand:
    """
    A command that ends with status 0 within *timeout_s* where the service is well.

    It is run only where the service runs: *pid* returns its process, or None. Implements
    `ports.Monitor`.
    """

    command: Sequence[str]
    timeout_s: float
    pid: Callable[[], Optional[int]]

    @property
    def deadline_s(self) -> float:
        """How long measuring may take."""
        return self.timeout_s + 2 * _GONE_S

    def measure(self) -> HealthReport:
        """
        Run the command once.

        Raises:
            MonitorError: it can't be run; that says nothing about the service.
        """
        if self.pid() is None:
            return HealthReport(Health.UNKNOWN, "the service does not run here", 0.0)
        began = time.monotonic()
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(  # noqa: S603 - what the administrator has configured
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError as error:
                msg = f"the health command {self.command[0]} can't be run: {error.strerror}"
                raise MonitorError(msg) from error
            status = self._status(process)
            took_s = time.monotonic() - began
            if status is None:
                why = f"no answer within {self.timeout_s:g} s"
                return HealthReport(Health.BAD, why, took_s)
            if status == 0:
                return HealthReport(Health.GOOD, f"status 0 in {took_s:.2f} s", took_s)
            return HealthReport(Health.BAD, f"status {status}{_last_line(said)}", took_s)

    def _status(self, process: subprocess.Popen[bytes]) -> Optional[int]:
        """Return its exit status; None: it took too long, and was killed with all its group."""
        try:
            return process.wait(self.timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GONE_S)
            return None


def _last_line(said: IO[bytes]) -> str:
    """Return the end of what was said, as the end of a sentence."""
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _SAID_BYTES))
    lines = said.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1].strip()[:_SAID_MAX]}" if lines else ""
