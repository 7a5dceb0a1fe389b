"""
The engine's lease of a process that knows nothing of leases, as QEMU does.

`python -m he_fsm.runtime.leases.files.beside ... -- COMMAND...` leaves a small process behind, then
becomes the command. Both have the engine's file open, by one and the same opening: the lease is
held until the command has ended, whatever becomes of the other. What stands beside it

* ends the command when the lease is lost, as sanlock would (`LeaseKeeper`),
* puts the lease down and picks it up for a migration, on orders from a socket.

Orders are one JSON object a connection, {"order": "holds"}, {"order": "put down", "target": id} or
{"order": "pick up"}; the answer is {"holds": flag} or {"error": text, "errno": number or null}.
It ends with the command, and removes the socket.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn, Optional

from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.files import records
from he_fsm.runtime.leases.files.engine_lease import EngineLease, Held
from he_fsm.runtime.leases.files.hold import EXIT_ERROR, LEASE_FD_VARIABLE, report, report_error
from he_fsm.runtime.leases.files.keeper import LeaseKeeper

_log = logging.getLogger("he_fsm.lease")
# How long a migration's target may wait for the lease to be put down, and how long one that was
# put down is kept for who put it down and for the target (seconds); then anybody may take it.
_PICK_UP_S: Final = 0.5
_IN_THE_AIR_S: Final = 3.0
# Who connects and says nothing must not keep the others waiting (seconds).
_ORDER_S: Final = 1.0
_ORDER_BYTES: Final = 4096


class LeaseBeside:
    """The process beside: *descriptor* is the engine's file as the command has it open too."""

    def __init__(
        self, lease: EngineLease, descriptor: int, process: int, io_timeout_s: float
    ) -> None:
        """Look after the process of the descriptor *process* (a pidfd)."""
        self._lease = lease
        self._descriptor = descriptor
        self._process = process
        self._io_timeout_s = io_timeout_s
        self._keeper: Optional[LeaseKeeper] = None

    def keep(self) -> None:
        """Begin to watch the lease, which is held."""
        self._keeper = LeaseKeeper(
            self._descriptor, self._lease.folder, self._io_timeout_s, self.end
        )
        self._keeper.start()

    def serve(self, listener: socket.socket) -> None:
        """Obey until the command has ended."""
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(self._process, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._process in ready:
                    return
                with suppress(OSError):
                    self._answer(listener)

    def _answer(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_ORDER_S)
            try:
                order = json.loads(connection.recv(_ORDER_BYTES))
                self._obey(order)
                answer: dict[str, Any] = {"holds": self._keeper is not None}
            except LockspaceError as error:
                answer = {"error": str(error), "errno": error.errno}
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                answer = {"error": f"no order: {error!r}", "errno": None}
            connection.sendall(json.dumps(answer).encode())

    def _obey(self, order: Mapping[str, Any]) -> None:
        if order["order"] == "put down":
            self._put_down(int(order["target"]))
        elif order["order"] == "pick up":
            self._pick_up()

    def _put_down(self, target: int) -> None:
        if self._keeper is None:
            return
        self._keeper.stop()
        self._keeper = None
        try:
            self._lease.hand_over(self._descriptor, target, _IN_THE_AIR_S)
        except LockspaceError:
            self.keep()
            raise

    def _pick_up(self) -> None:
        if self._keeper is not None:
            return
        try:
            self._lease.pick_up_on(self._descriptor, _PICK_UP_S)
        except LockspaceError:
            # The lease may have been released since, or its owner has died; try a plain acquire.
            if isinstance(self._lease.take_on(self._descriptor), Held):
                raise
        self.keep()

    def end(self, why: str) -> None:
        """End the command, whose lease is lost."""
        _log.critical("the VM ends: %s", why)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run as a command; give the exit status where it did not become another command."""
    options = _parser().parse_args(arguments)
    if options.report_fd is not None:
        os.set_inheritable(options.report_fd, False)
    lease = EngineLease(
        options.folder,
        options.host_id,
        io_timeout_s=options.io_timeout,
        watchdog_s=options.watchdog,
    )
    held = os.environ.pop(LEASE_FD_VARIABLE, None)
    try:
        descriptor = records.open_engine(options.folder) if held is None else int(held)
    except LockspaceError as error:
        return _fail(options, str(error))
    os.set_inheritable(descriptor, True)
    try:
        listener = _listen(options.socket)
    except OSError as error:
        return _fail(options, f"{options.socket}: {error.strerror or error}")
    beside = LeaseBeside(lease, descriptor, os.pidfd_open(os.getpid()), options.io_timeout)
    if not _is_left_behind():
        if options.report_fd is not None:
            os.close(options.report_fd)
        _stay(beside, listener, options.socket, is_held=held is not None)
    listener.close()
    if options.report_fd is not None:
        report(options.report_fd, lease="awaited")
    try:
        os.execvp(options.command[0], options.command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        return _fail(options, f"{options.command[0]} can't be run: {error.strerror}")


def _is_left_behind() -> bool:
    """
    Fork the process beside off; say whether this is the one that becomes the command.

    It is nobody's child: QEMU asks for the status of no child that it does not know.
    """
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        return True
    if os.fork():
        os._exit(0)
    return False


def _stay(beside: LeaseBeside, listener: socket.socket, path: Path, *, is_held: bool) -> NoReturn:
    own_file = path.stat().st_ino
    try:
        if is_held:
            beside.keep()
        beside.serve(listener)
    except LockspaceError as error:
        # safety: nobody may execute whose lease can't be watched.
        beside.end(str(error))
    finally:
        # The next VM may be here already, with a socket of its own at this place.
        with suppress(OSError):
            if path.stat().st_ino == own_file:
                path.unlink()
        # Not the way of the process that it was forked from.
        os._exit(0)


def _listen(path: Path) -> socket.socket:
    """Listen where the last VM's may have been killed with its socket."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o600)
    except OSError:
        listener.close()
        raise
    return listener


def _fail(options: argparse.Namespace, why: str) -> int:
    if options.report_fd is None:
        print(why, file=sys.stderr)  # noqa: T201 - the VM's log
        return EXIT_ERROR
    return report_error(options.report_fd, why)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="beside", description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("--folder", required=True, type=Path, help="the lockspace's folder")
    parser.add_argument("--host-id", required=True, type=int, help="this host's id")
    parser.add_argument("--io-timeout", required=True, type=float, help="in seconds")
    parser.add_argument("--watchdog", required=True, type=float, help="in seconds")
    parser.add_argument("--socket", required=True, type=Path, help="where to take orders")
    parser.add_argument("--report-fd", type=int, help="where to say that the lease is awaited")
    parser.add_argument("command", nargs="+", help="what to become")
    return parser


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level="INFO")
    sys.exit(main())
