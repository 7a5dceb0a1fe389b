"""
Take the engine's lease from sanlock, then become the VM: it is held as long as that process lives.

`python -m he_fsm.runtime.leases.sanlock.hold --settings ... --report-fd N -- COMMAND...` writes
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
from typing import TYPE_CHECKING, Optional

import attrs

from he_fsm.errors import LeaseHeldError, LockspaceError, NotJoinedError
from he_fsm.runtime.leases.files.hold import EXIT_HELD, LEASE_FD_VARIABLE, report, report_error
from he_fsm.runtime.leases.sanlock.daemon import errors as sanlock_errors
from he_fsm.runtime.leases.sanlock.daemon.command import SanlockDaemon
from he_fsm.runtime.leases.sanlock.daemon.module import call, register
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.sanlock.watching.daemon_watch import holds_lease
from he_fsm.runtime.leases.vm_lock import VmLock

if TYPE_CHECKING:
    from he_fsm.runtime.ports import LeasePlace


@attrs.frozen(kw_only=True)
class SanlockHolder:
    """
    Has a command take the engine's lease from sanlock; implements `ports.LeaseHolder`.

    The process that it becomes is registered with sanlock, so its lease can also be put down and
    picked up from outside, by its pid, for a live migration. Those calls make the process that
    calls them one that has this daemon for ever.
    """

    settings: SanlockSettings
    host_id: int

    @property
    def place(self) -> LeasePlace:
        """The lease as sanlock's clients name it."""
        # The process that becomes the VM begins here, and needs nothing of this.
        from he_fsm.runtime.ports import LeasePlace  # noqa: PLC0415

        settings = self.settings
        return LeasePlace(
            manager="sanlock",
            lockspace=settings.lockspace,
            resource=settings.resource,
            path=settings.resource_path,
            offset=settings.resource_offset,
        )

    def wrap(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """Return the command that takes the lease and then becomes *command*."""
        return self._wrapped((), command, report_fd)

    def wrap_awaiting(self, command: Sequence[str], report_fd: int) -> tuple[str, ...]:
        """
        Return the command that only registers with sanlock, and then becomes *command*.

        For a migration's receiving side, which executes nothing before `pick_up`. It writes
        {"lease": "awaited"} to *report_fd*, or an error.
        """
        return self._wrapped(("--await",), command, report_fd)

    def put_down(self, pid: int, target: int) -> None:  # noqa: ARG002 - sanlock has no heir
        """
        Release the process's lease; its VM is paused, and stays so.

        sanlock gives the lease to the first that asks, not to the *target* alone.

        Raises:
            LeaseLostError: the process does not have it.
            LockspaceError: nobody knows whether it is still held.
        """
        call(
            *(self.settings.run_dir, "release"),
            *self._lease,
            pid=pid,
            what=f"put the lease of process {pid} down",
            meanings=sanlock_errors.RELEASING,
        )

    def pick_up(self, pid: int) -> None:
        """
        Take the lease for the process; nothing happens where it has it already.

        Waits where the owner has failed and is not dead yet, as `wrap` does.

        Raises:
            LeaseHeldError: another has it; this process's VM must not execute.
            LockspaceError: it can't be had.
        """
        try:
            call(
                *(self.settings.run_dir, "acquire"),
                *self._lease,
                pid=pid,
                what=f"take the lease for process {pid}",
                meanings=sanlock_errors.PICKING_UP,
            )
        except LeaseHeldError as error:
            if error.errno != errno.EEXIST or not self.holds(pid):
                raise

    def holds(self, pid: int) -> bool:
        """Whether the process has the lease now, from the daemon that runs now."""
        return holds_lease(self.settings, pid)

    @property
    def _lease(self) -> tuple[bytes, bytes, list[tuple[str, int]]]:
        return lease_of(self.settings)

    def _wrapped(
        self, options: Sequence[str], command: Sequence[str], report_fd: int
    ) -> tuple[str, ...]:
        return (
            *(sys.executable, "-m", "he_fsm.runtime.leases.sanlock.hold"),
            *("--settings", self.settings.to_text()),
            *("--host-id", str(self.host_id)),
            *("--report-fd", str(report_fd)),
            *options,
            "--",
            *command,
        )


def lease_of(settings: SanlockSettings) -> tuple[bytes, bytes, list[tuple[str, int]]]:
    """Return the engine's lease as the module's verbs want it."""
    return settings.lockspace.encode(), settings.resource.encode(), settings.disks


class _HeldHereError(Exception):
    """A VM of this host has the lease, or is about to."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run as a command; give the exit status where it did not become another command."""
    options = _parser().parse_args(arguments)
    settings = options.settings
    # The command must not keep it open: the reader sees the end when the VM has begun.
    os.set_inheritable(options.report_fd, False)
    program = shutil.which(options.command[0])
    if program is None:
        return report_error(options.report_fd, f"there is no command {options.command[0]}")
    try:
        descriptor = _registered(settings)
        if not options.is_awaiting:
            _take(settings, options.host_id, descriptor)
    except _HeldHereError:
        report(options.report_fd, lease="held", owner=options.host_id, free_in=None)
        return EXIT_HELD
    except LeaseHeldError:
        report(options.report_fd, lease="held", owner=_owner(settings), free_in=None)
        return EXIT_HELD
    except LockspaceError as error:
        return report_error(options.report_fd, str(error))
    report(options.report_fd, lease="awaited" if options.is_awaiting else "taken")
    environment = {**os.environ, LEASE_FD_VARIABLE: str(descriptor)}
    try:
        os.execve(program, options.command, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        return report_error(options.report_fd, f"{program} can't be run: {error.strerror}")


def _registered(settings: SanlockSettings) -> int:
    """
    Return the descriptor by which this process, and what it becomes, can hold the lease.

    Raises:
        _HeldHereError: a VM is here already.
        LockspaceError: sanlock does not run.
    """
    lock = VmLock(Path(settings.vm_lock)).take()
    if lock is None:
        raise _HeldHereError
    descriptor = register(settings.run_dir)
    # safety: the lease ends with the last copy of the one, and no other VM is started, nor this
    # host's id taken anew, while there is a copy of the other.
    for inherited in (descriptor, lock):
        os.set_inheritable(inherited, True)
    return descriptor


def _take(settings: SanlockSettings, host_id: int, descriptor: int) -> None:
    """
    Take the lease for this process.

    Raises:
        LeaseHeldError: another host has it, or won it while this one waited.
    """
    try:
        call(
            *(settings.run_dir, "acquire"),
            *lease_of(settings),
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
    parser.add_argument(
        "--await", dest="is_awaiting", action="store_true", help="register, and take nothing"
    )
    parser.add_argument("command", nargs="+", help="what to become")
    return parser


if __name__ == "__main__":
    sys.exit(main())
