"""The embedded lease of VMs that know nothing of it: see `beside`."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.files.hold import EmbeddedHolder
from he_fsm.runtime.leases.files.place import place_in
from he_fsm.runtime.ports import LeasePlace

# An order to the process beside waits for the lease for half a second, and for locks (seconds).
_ANSWER_S: Final = 3.0
_ANSWER_BYTES: Final = 4096


@attrs.frozen(kw_only=True)
class MovableEmbedded:
    """
    Has a command take the embedded lease; implements `ports.MovableLease`. Times in seconds.

    `socket`: where the VM of this host, of which there is one, has its lease looked after.
    """

    folder: Path
    host_id: int
    io_timeout_s: float
    watchdog_s: float
    socket: Path

    @property
    def place(self) -> LeasePlace:
        """The lease's file."""
        return place_in(self.folder)

    def wrap(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """Return the command that takes the lease and then becomes *command*."""
        holder = EmbeddedHolder(
            folder=self.folder,
            host_id=self.host_id,
            io_timeout_s=self.io_timeout_s,
            watchdog_s=self.watchdog_s,
        )
        return holder.wrap(self._beside((), command), report_fd)

    def wrap_awaiting(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """Return the command that becomes *command*, whose lease is picked up later."""
        return self._beside(("--report-fd", str(report_fd)), command)

    def put_down(self, pid: int, target: int) -> None:
        """Release the lease for the host *target*."""
        self._order(pid, order="put down", target=target)

    def pick_up(self, pid: int) -> None:
        """Take the lease."""
        self._order(pid, order="pick up")

    def holds(self, pid: int) -> bool:
        """Whether the VM has the lease."""
        return bool(self._order(pid, order="holds")["holds"])

    def _beside(self, options: Sequence[str], command: Sequence[str]) -> tuple[str, ...]:
        return (
            *(sys.executable, "-m", "he_fsm.runtime.leases.files.beside"),
            *("--folder", str(self.folder)),
            *("--host-id", str(self.host_id)),
            *("--io-timeout", repr(self.io_timeout_s)),
            *("--watchdog", repr(self.watchdog_s)),
            *("--socket", str(self.socket)),
            *options,
            "--",
            *command,
        )

    def _order(self, pid: int, **order: Any) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_ANSWER_S)
                connection.connect(str(self.socket))
                connection.sendall(json.dumps(order).encode())
                answer: dict[str, Any] = json.loads(connection.recv(_ANSWER_BYTES))
        except (OSError, ValueError) as error:
            msg = f"nobody looks after the lease of the VM (process {pid}): {error}"
            raise LockspaceError(msg) from error
        if "error" in answer:
            raise LockspaceError(answer["error"], answer["errno"])
        return answer
