"""The process of a VM, whatever it becomes: begun with a record, known by it, sent signals."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Optional

from he_fsm.runtime.hypervisors.vm_file import VmRecord, process_state
from he_fsm.snapshot import Outcome, Result

# In the run folder: what the process says, and whether it got the lease.
LOG: Final = "vm.log"
REPORT: Final = "vm.report"
# A process that waits for its record to be written, then becomes the command; no record, no VM.
_GATE: Final = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "vm")


def spawn(
    command: Sequence[str],
    run_dir: Path,
    *,
    pass_fds: tuple[int, ...] = (),
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a VM's process: in a session of its own, its words go to the run folder's log."""
    descriptor = os.open(run_dir / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        return subprocess.Popen(  # noqa: S603 - the product's own command
            command,
            stdin=stdin,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    finally:
        os.close(descriptor)


def begin(run_dir: Path, wrap: Callable[[int], Sequence[str]], claim: Callable[[int], bool]) -> int:
    """
    Start a VM's process, and give its number.

    Args:
        run_dir: the run folder of the host.
        wrap: gives the command that reports to a descriptor how it got the lease.
        claim: writes the record of a process; where it can't, the process ends without a VM.

    Raises:
        OSError: it can't be started.
    """
    # A file, not a pipe: it tells the next agent, should this one not live to read it.
    descriptor = os.open(
        run_dir / REPORT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o640
    )
    try:
        child = spawn(
            (*_GATE, *wrap(descriptor)), run_dir, pass_fds=(descriptor,), stdin=subprocess.PIPE
        )
    finally:
        os.close(descriptor)
    # Popen warns of a child that outlives it; this one is meant to, and is asked for by number.
    child.returncode = 0
    gate = child.stdin
    if gate is not None:
        with suppress(BrokenPipeError), gate:
            if claim(child.pid):
                gate.write(b"go\n")
    return child.pid


def why_not_started(run_dir: Path) -> Result:
    """Say what became of a start whose process has ended before the VM ran."""
    report = read_report(run_dir)
    answer = report.get("lease")
    if answer == "held":
        owner, free_in = report.get("owner"), report.get("free_in")
        who = "another host" if owner is None else f"host {owner}"
        when = "" if free_in is None else f", free in {free_in:.0f} s"
        return Result(Outcome.START_REFUSED, f"the lease is held by {who}{when}")
    if answer == "error":
        # Without the lease no VM was begun: nothing has failed here.
        return Result(Outcome.START_REFUSED, f"no lease: {report.get('detail')}")
    if answer is None:
        # The process waited for an owner that was dying, say, and was ended.
        return Result(Outcome.START_REFUSED, "the VM's process ended before it had the lease")
    return Result(Outcome.START_FAILED, "the VM's process ended before it ran")


def read_report(run_dir: Path) -> dict[str, Any]:
    """Return what the last process said of its lease (`ports.LeaseHolder`); empty: nothing."""
    try:
        report: dict[str, Any] = json.loads((run_dir / REPORT).read_bytes())
    except (OSError, ValueError):
        return {}
    return report


class OtherProcess:
    """
    A process that another one has begun, known by a descriptor: no other one of its number.

    Raises `ProcessLookupError` where it has ended before.
    """

    def __init__(self, pid: int, started_at_ticks: int) -> None:
        descriptor = _opened(pid, started_at_ticks)
        if descriptor is None:
            raise ProcessLookupError(pid)
        self.pid = pid
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Return the descriptor, which can be read when the process has ended."""
        return self._descriptor

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it executes any more."""
        return self.ends_within(0.0)

    def ends_within(self, limit_s: float) -> bool:
        """Wait for its end, so many seconds at most; return whether it has ended."""
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        return bool(waiting.poll(limit_s * 1000))

    def send(self, number: int) -> None:
        """Send a signal (0: only see whether that is allowed); raises `PermissionError`."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


def open_process(record: Optional[VmRecord]) -> Optional[int]:
    """Return a descriptor of a record's process; None: it has ended."""
    return None if record is None else _opened(record.pid, record.started_ticks)


def _opened(pid: int, started_at_ticks: int) -> Optional[int]:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    # safety: the number may have been given to another process since.
    if process_state(pid, started_at_ticks) is None:
        os.close(descriptor)
        return None
    return descriptor


def send_signal(record: VmRecord, number: signal.Signals) -> None:
    """Send a signal to a record's process, if it lives."""
    kill_process(record.pid, record.started_ticks, number)


def kill_process(pid: int, started_at_ticks: int, number: signal.Signals) -> None:
    """Send a signal to the process that was started then, if it lives, and to no other one."""
    descriptor = _opened(pid, started_at_ticks)
    if descriptor is None:
        return
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        # The process has ended meanwhile: there is nobody left to send a signal to.
        return
    finally:
        os.close(descriptor)


def has_ended(pid: int) -> bool:
    """Ask for the status of a process that may be a child of this one; others' are theirs."""
    try:
        ended, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return ended != 0
