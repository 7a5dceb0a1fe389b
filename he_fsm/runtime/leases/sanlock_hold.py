"""
Take the engine's lease from sanlock, then become the VM: it is held as long as that process lives.

`python -m he_fsm.runtime.leases.sanlock_hold --settings ... --report-fd N -- COMMAND...` writes
what `ports.LeaseHolder` promises to the descriptor N. Where the owner has stopped renewing, and is
not dead yet, sanlock makes whoever asks wait until it is, and then gives the lease to one of them:
so this process waits as well, says nothing meanwhile, and can be killed. When the host loses its
id, sanlock ends the process.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import attrs

from he_fsm.errors import LeaseHeldError, LockspaceError, NotJoinedError
from he_fsm.runtime.leases import sanlock_errors
from he_fsm.runtime.leases.report import EXIT_HELD, LEASE_FD_VARIABLE, report, report_error
from he_fsm.runtime.leases.sanlock_daemon import SanlockDaemon
from he_fsm.runtime.leases.sanlock_module import call, register
from he_fsm.runtime.leases.sanlock_settings import SanlockSettings
from he_fsm.runtime.leases.vm_lock import VmLock


@attrs.frozen(kw_only=True)
class SanlockHolder:
    """Has a command take the engine's lease from sanlock; implements `ports.LeaseHolder`."""

    settings: SanlockSettings
    host_id: int

    def wrap(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """Give the command that takes the lease and then becomes *command*."""
        return (
            *(sys.executable, "-m", "he_fsm.runtime.leases.sanlock_hold"),
            *("--settings", self.settings.to_text()),
            *("--host-id", str(self.host_id)),
            *("--report-fd", str(report_fd)),
            "--",
            *command,
        )


class _HeldHereError(Exception):
    """A VM of this host has the lease, or is about to."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run as a command; give the exit status where it did not become another command."""
    options = _parser().parse_args(arguments)
    settings = options.settings
    # The command must not keep it open: whoever reads it sees the end when the VM has begun.
    os.set_inheritable(options.report_fd, False)
    program = shutil.which(options.command[0])
    if program is None:
        return report_error(options.report_fd, f"there is no command {options.command[0]}")
    try:
        descriptor = _take(settings, options.host_id)
    except _HeldHereError:
        report(options.report_fd, lease="held", owner=options.host_id, free_in=None)
        return EXIT_HELD
    except LeaseHeldError:
        report(options.report_fd, lease="held", owner=_owner(settings), free_in=None)
        return EXIT_HELD
    except LockspaceError as error:
        return report_error(options.report_fd, str(error))
    report(options.report_fd, lease="taken")
    environment = {**os.environ, LEASE_FD_VARIABLE: str(descriptor)}
    try:
        os.execve(program, options.command, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        return report_error(options.report_fd, f"{program} can't be run: {error.strerror}")


def _take(settings: SanlockSettings, host_id: int) -> int:
    """
    Give the descriptor by which this process, and what it becomes, holds the lease.

    Raises:
        LeaseHeldError: another host has it, or won it while this one waited.
    """
    lock = VmLock(Path(settings.vm_lock)).take()
    if lock is None:
        raise _HeldHereError
    descriptor = register(settings.run_dir)
    try:
        call(
            *(settings.run_dir, "acquire"),
            *(settings.lockspace.encode(), settings.resource.encode(), settings.disks),
            slkfd=descriptor,
            what=f"take the lease {settings.resource} of {settings.lockspace}",
            meanings=sanlock_errors.ACQUIRING,
        )
    except NotJoinedError as error:
        msg = f"host {host_id} has not joined the lockspace {settings.lockspace}, or has lost it"
        raise NotJoinedError(msg, error.errno) from error
    except LeaseHeldError as error:
        if error.errno == errno.EEXIST:
            raise _HeldHereError from error
        raise
    # safety: the lease ends with the last copy of the one, and no other VM is started, nor this
    # host's id taken anew, while there is a copy of the other.
    for inherited in (descriptor, lock):
        os.set_inheritable(inherited, True)
    return descriptor


def _owner(settings: SanlockSettings) -> Optional[int]:
    """Read who has the lease; None: nobody any more, or it can't be read now."""
    try:
        lease = SanlockDaemon(settings).engine_lease()
    except LockspaceError:
        return None
    return lease.owner if lease.timestamp else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sanlock_hold", description="Hold the engine's lease.")
    parser.add_argument(
        "--settings", required=True, type=SanlockSettings.from_text, help="sanlock's, as JSON"
    )
    parser.add_argument("--host-id", required=True, type=int, help="this host's id")
    parser.add_argument("--report-fd", required=True, type=int, help="where to say how it went")
    parser.add_argument("command", nargs="+", help="what to become")
    return parser


if __name__ == "__main__":
    sys.exit(main())
