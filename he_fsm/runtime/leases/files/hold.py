"""
Take the engine's lease, then become the VM: the lease lives exactly as long as that process.

`python -m he_fsm.runtime.leases.files.hold --folder ... --host-id ... --report-fd N -- COMMAND`
writes what `ports.LeaseHolder` promises to the descriptor N. The command finds the number of the
lease's descriptor in the environment (`LEASE_FD_VARIABLE`); whoever inherits that holds the lease.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Optional

import attrs

from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.files.engine_lease import EngineLease, Held

if TYPE_CHECKING:
    from he_fsm.runtime.ports import LeasePlace

LEASE_FD_VARIABLE: Final = "HE_FSM_LEASE_FD"
EXIT_HELD: Final = 3
EXIT_ERROR: Final = 4


@attrs.frozen(kw_only=True)
class EmbeddedHolder:
    """Has a command take the embedded lease; implements `ports.LeaseHolder`. Times in seconds."""

    folder: Path
    host_id: int
    io_timeout_s: float
    watchdog_s: float

    @property
    def place(self) -> LeasePlace:
        """The lease's file."""
        # The process that becomes the VM begins here, and needs nothing of this.
        from he_fsm.runtime.leases.files.place import place_in  # noqa: PLC0415

        return place_in(self.folder)

    def wrap(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """Return the command that takes the lease and then becomes *command*."""
        return (
            *(sys.executable, "-m", "he_fsm.runtime.leases.files.hold"),
            *("--folder", str(self.folder)),
            *("--host-id", str(self.host_id)),
            *("--io-timeout", repr(self.io_timeout_s)),
            *("--watchdog", repr(self.watchdog_s)),
            *("--report-fd", str(report_fd)),
            "--",
            *command,
        )


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run as a command; give the exit status where it did not become another command."""
    options = _parser().parse_args(arguments)
    # The command must not keep it open: the reader sees the end when the VM has begun.
    os.set_inheritable(options.report_fd, False)
    program = shutil.which(options.command[0])
    if program is None:
        return report_error(options.report_fd, f"there is no command {options.command[0]}")
    lease = EngineLease(
        options.folder,
        options.host_id,
        io_timeout_s=options.io_timeout,
        watchdog_s=options.watchdog,
    )
    try:
        answer = lease.take()
    except LockspaceError as error:
        return report_error(options.report_fd, str(error))
    if isinstance(answer, Held):
        report(options.report_fd, lease="held", owner=answer.owner, free_in=answer.free_in)
        return EXIT_HELD
    os.set_inheritable(answer.descriptor, True)
    report(options.report_fd, lease="taken")
    environment = {**os.environ, LEASE_FD_VARIABLE: str(answer.descriptor)}
    try:
        os.execve(program, options.command, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        return report_error(options.report_fd, f"{program} can't be run: {error.strerror}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hold", description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("--folder", required=True, type=Path, help="the lockspace's folder")
    parser.add_argument("--host-id", required=True, type=int, help="this host's id")
    parser.add_argument("--io-timeout", required=True, type=float, help="in seconds")
    parser.add_argument("--watchdog", required=True, type=float, help="in seconds")
    parser.add_argument("--report-fd", required=True, type=int, help="where to say how it went")
    parser.add_argument("command", nargs="+", help="what to become")
    return parser


def report_error(descriptor: int, detail: str) -> int:
    """Say that the lease could not be asked for; give the exit status."""
    report(descriptor, lease="error", detail=detail)
    return EXIT_ERROR


def report(descriptor: int, **answer: object) -> None:
    """Report how it went; that the reader may be gone changes nothing."""
    try:
        os.write(descriptor, json.dumps(answer).encode() + b"\n")
    except OSError as error:
        print(f"nobody reads the report {answer}: {error.strerror}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
