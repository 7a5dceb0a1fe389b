"""The holder as the agent has it that begins it: asked to take the lease, then left alone."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from he_fsm.errors import HypervisorError, LockspaceError
from he_fsm.runtime.hypervisors.libvirt.holder.settings import MESSAGE_BYTES, HolderSettings
from he_fsm.runtime.hypervisors.vm_file import started_ticks
from he_fsm.runtime.hypervisors.vm_process import spawn

_PROGRAM: Final = "he_fsm.runtime.hypervisors.libvirt.holder.process"
# How often it is looked whether the answer is still wanted (seconds).
_LOOK_S: Final = 0.05
# A process begins, and registers, in a fraction of that (seconds).
_READY_S: Final = 20.0
# More than the lease itself takes (seconds).
_SLACK_S: Final = 5.0


@attrs.frozen(kw_only=True)
class Wanted:
    """
    How the lease is to be taken: within so many seconds of its owner's death, say.

    `is_moved`: the domain has arrived by a migration. Its source may have the lease for a moment
    yet, and leaves it for this host, or else the domain does not get it.
    """

    is_moved: bool
    within_s: float


@attrs.frozen
class Taken:
    """A lease that the holder has: its version, and a copy of the descriptor by which it lives."""

    version: int
    descriptor: int


class UnwantedError(HypervisorError):
    """Nobody wants the answer any more."""


class Holder:
    """
    A holder that this agent has begun, for the domain's process that *settings* name.

    Raises `OSError` where it can't be begun. Until `keep`, the end of this object is the end of the
    holder; and once the lease was asked for, of the domain's process as well.
    """

    def __init__(self, settings: HolderSettings, run_dir: Path) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = (sys.executable, "-m", _PROGRAM, "--settings", settings.to_text())
        try:
            process = spawn(command, run_dir, stdin=theirs.fileno())
        except OSError:
            self._control.close()
            raise
        finally:
            theirs.close()
        # Popen warns of a child that outlives it; this one is meant to, and is asked for by number.
        process.returncode = 0
        self.pid = process.pid
        self.ticks = started_ticks(process.pid)

    def close(self) -> None:
        """Leave it alone."""
        self._control.close()

    def await_ready(self, is_unwanted: Callable[[], bool]) -> None:
        """
        Wait until the lease manager knows it.

        Raises:
            LockspaceError: the lease manager does not run, or the last domain's holder is left.
            HypervisorError: it has ended, or the answer is unwanted.
        """
        self._answer("ready", _READY_S, is_unwanted)

    def take(self, wanted: Wanted, is_unwanted: Callable[[], bool]) -> Taken:
        """
        Have it take the lease, unless *is_unwanted* says meanwhile that nobody waits any more.

        Raises:
            LockspaceError: there is no lease for the domain.
            HypervisorError: it has ended, or the answer is unwanted.
        """
        self._say(take=attrs.asdict(wanted))
        message, descriptors = self._answer("taken", wanted.within_s + _SLACK_S, is_unwanted)
        return Taken(int(message["taken"]), descriptors[0])

    def keep(self) -> None:
        """Have it go on without this agent, as long as the domain's process lives."""
        self._say(keep=True)

    def _say(self, **order: object) -> None:
        try:
            self._control.send(json.dumps(order).encode())
        except OSError as error:
            raise _ended() from error

    def _answer(
        self, word: str, within_s: float, is_unwanted: Callable[[], bool]
    ) -> tuple[dict[str, Any], list[int]]:
        self._control.settimeout(_LOOK_S)
        until = time.monotonic() + within_s
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, 1)
            except socket.timeout:
                if is_unwanted():
                    msg = "it is not wanted any more"
                    raise UnwantedError(msg) from None
                if time.monotonic() > until:
                    msg = f"the holder of the lease does not answer within {within_s:g} s"
                    raise HypervisorError(msg) from None
                continue
            except OSError as error:
                raise _ended() from error
            message: dict[str, Any] = json.loads(data) if data else {}
            if word in message:
                return message, descriptors
            for descriptor in descriptors:
                os.close(descriptor)
            if "refused" in message:
                raise LockspaceError(message["refused"])
            if "failed" in message:
                raise HypervisorError(message["failed"])
            raise _ended()


def _ended() -> HypervisorError:
    return HypervisorError("the holder of the lease has ended, and the domain with it; see vm.log")
