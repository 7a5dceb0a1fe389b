"""A program under the lease, with all that it begins."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Optional, Union

import attrs

from he_fsm.runtime.hypervisors.event_loop import HasFileno
from he_fsm.runtime.hypervisors.service.body import BodyError, Ending
from he_fsm.runtime.hypervisors.service.tree import descendants, die_with, kill_below

_log = logging.getLogger("he_fsm.program")
# How the stop command finds the program, as commands of systemd's units do.
PID_VARIABLE: Final = "MAINPID"


@attrs.frozen(kw_only=True)
class ProgramOptions:
    """What to run, where, and what stops it: the name of a signal, or a command."""

    run: Sequence[str]
    stop: Union[str, Sequence[str]] = "SIGTERM"
    directory: Optional[str] = None


def make(options: Mapping[str, Any]) -> Program:
    """Make the program of some options, for the warden."""
    return Program(ProgramOptions(**options))


class Program:
    """One run of a program; implements `service.body.Body`. Its children are this process's."""

    def __init__(self, options: ProgramOptions) -> None:
        """Begin with `begin`."""
        self._options = options
        self.pid = 0
        self._is_stopping = False
        self._ending: Optional[Ending] = None

    def begin(self) -> int:
        """Start the program, in a session of its own."""
        try:
            self.pid = self._spawn(self._options.run, os.environ)
        except OSError as error:
            msg = f"{self._options.run[0]} can't be run: {error.strerror}"
            raise BodyError(msg) from error
        return self.pid

    @property
    def readers(self) -> Sequence[HasFileno]:
        """Return nothing: the end of a child is a signal."""
        return ()

    def look(self) -> Optional[Ending]:
        """Take the status of all children that have ended."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                if pid == self.pid:
                    self._ending = Ending(_in_words(status), self._is_stopping)
        return self._ending

    def stop(self) -> None:
        """Send the signal, or run the command; without the one the other."""
        if self._is_stopping or self._ending is not None:
            return
        self._is_stopping = True
        stop = self._options.stop
        if isinstance(stop, str):
            os.kill(self.pid, signal.Signals[stop])
            return
        try:
            self._spawn(stop, {**os.environ, PID_VARIABLE: str(self.pid)})
        except OSError as error:
            _log.error("%s can't be run, SIGTERM is sent: %s", stop[0], error.strerror)
            os.kill(self.pid, signal.SIGTERM)

    def end(self) -> bool:
        """Kill everything below this process."""
        is_gone = kill_below(os.getpid())
        self.look()
        return is_gone

    @property
    def is_gone(self) -> bool:
        """Whether no process is below this one."""
        self.look()
        return not descendants(os.getpid())

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        own = os.getpid()
        process = subprocess.Popen(  # noqa: S603 - what the administrator has configured
            command,
            cwd=self._options.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # safety: it inherits the lease. Whatever of it is left, even if keeper and warden are
            # killed at one time, keeps others from starting a second one.
            close_fds=False,
            # This process has one thread, and what is called was loaded before.
            preexec_fn=lambda: die_with(own),  # noqa: PLW1509
        )
        # Its status is asked for by number; Popen warns of a child that outlives it.
        process.returncode = 0
        return process.pid


def _in_words(status: int) -> str:
    number = os.waitstatus_to_exitcode(status)
    if number >= 0:
        return f"the program has ended with status {number}"
    try:
        name = signal.Signals(-number).name
    except ValueError:
        name = f"signal {-number}"
    return f"the program was ended by {name}"
