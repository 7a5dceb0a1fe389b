"""
The one process of a host that touches shared storage: `python -m he_fsm.runtime.storage.worker`.

It serves a `StorageClient` on stdin and stdout (see `protocol`), one request after the other.
Storage that hangs hangs this process alone; the client kills it. It ends when its stdin is closed.
An embedded host id is renewed here in between, and let go at the end; a sanlock daemon does both.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO, Final, Optional, Protocol

import attrs

from he_fsm.errors import HeFsmError, LockspaceError
from he_fsm.runtime.leases.embedded import EmbeddedLeases
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock import SanlockLeases
from he_fsm.runtime.leases.vm_lock import VmLock
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.runtime.storage import protocol
from he_fsm.runtime.storage.protocol import Answer, Request, StorageSettings
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile

_log = logging.getLogger(__name__)

# A renewal that failed is tried again this many times within one I/O timeout.
_RETRIES_PER_IO_TIMEOUT: Final = 2


class JoinedLeases(Protocol):
    """`ports.Leases`, and whether the host id is held at this moment."""

    def join(self) -> None:
        """Take this host's id, and keep it renewed."""

    def leave(self) -> None:
        """Give it back."""

    def status(self) -> LeaseStatus:
        """Read who holds what."""

    @property
    def is_joined(self) -> bool:
        """Whether this host holds its id."""


class Renewer:
    """Embedded leases, whose host id a thread of its own keeps from the moment it was joined."""

    def __init__(self, leases: EmbeddedLeases) -> None:
        self._leases = leases
        # Held while the files are used, so that leaving is never undone by a joining under way.
        self._guard = threading.Lock()
        self._is_wanted = threading.Event()
        self._trouble: Optional[str] = None
        threading.Thread(target=self._renew_for_ever, name="renewer", daemon=True).start()

    def join(self) -> None:
        """Take the host id, and keep it."""
        with self._guard:
            self._leases.join()
            self._is_wanted.set()

    def leave(self) -> None:
        """Give the host id back."""
        with self._guard:
            self._leases.leave()
            self._is_wanted.clear()

    def status(self) -> LeaseStatus:
        """Read who holds what."""
        return self._leases.status()

    @property
    def is_joined(self) -> bool:
        """Whether this host holds its id."""
        return self._leases.is_joined

    def _renew_for_ever(self) -> None:
        rules = self._leases.rules
        while self._is_wanted.wait():
            began = time.monotonic()
            with self._guard:
                is_renewed = not self._is_wanted.is_set() or self._renewed()
            wait_s = rules.renewal_s if is_renewed else rules.io_timeout_s / _RETRIES_PER_IO_TIMEOUT
            time.sleep(max(0.0, began + wait_s - time.monotonic()))

    def _renewed(self) -> bool:
        """Renew, or join again where the id was lost; complain once while it does not work."""
        try:
            if self._leases.is_joined:
                self._leases.renew()
            else:
                self._leases.join()
        except LockspaceError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                _log.warning("the host id can't be renewed: %s", error)
            return False
        if self._trouble is not None:
            self._trouble = None
            _log.info("the host id is renewed again")
        return True


@attrs.frozen
class Parts:
    """What serves the requests once `open` has said where the storage is."""

    settings: StorageSettings
    whiteboard: WhiteboardFile
    leases: JoinedLeases

    @classmethod
    def of(cls, settings: StorageSettings) -> Parts:
        """Make them; nothing on the storage is touched yet."""
        whiteboard = WhiteboardFile(settings.whiteboard, settings.offset)
        return cls(settings, whiteboard, _leases(settings))

    def perform(self, request: Request, body: bytes) -> bytes:
        """Do what is asked; give the answer's bytes."""
        if request.op == "read":
            return self.whiteboard.read()
        if request.op == "status":
            return protocol.status_to_bytes(self.leases.status())
        if request.op == "write_slot":
            self._write_slot(request.slot, body)
        elif request.op == "write_global":
            self.whiteboard.write_global(request.maintenance)
        elif request.op == "join":
            self.leases.join()
        elif request.op == "leave":
            self.leases.leave()
        else:
            msg = f"there is no op {request.op!r}"
            raise ValueError(msg)
        return b""

    def _write_slot(self, slot: int, block: bytes) -> None:
        # safety: a slot belongs to whoever holds its host id.
        if slot != self.settings.host_id or not self.leases.is_joined:
            msg = f"slot {slot} is not written: this host does not hold host id {slot}"
            raise LockspaceError(msg, errno.EPERM)
        self.whiteboard.write_slot(slot, block)


def _leases(settings: StorageSettings) -> JoinedLeases:
    times = settings.io_timeout_s, settings.watchdog_s
    if settings.sanlock is None:
        return Renewer(EmbeddedLeases(settings.leases, settings.host_id, settings.name, *times))
    rules = Rules(io_timeout_s=settings.io_timeout_s, watchdog_s=settings.watchdog_s)
    vm_lock = VmLock(Path(settings.sanlock.vm_lock))
    return SanlockLeases(settings.sanlock, settings.host_id, rules, vm_is_gone=vm_lock.is_free)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    parts: Optional[Parts] = None
    for line in requests:
        request = protocol.from_line(line, Request)
        body = requests.read(request.size)
        result = b""
        try:
            if request.settings is not None:
                parts = Parts.of(request.settings)
            elif parts is None:
                _refuse_unopened()
            else:
                result = parts.perform(request, body)
            answer = Answer(id=request.id, size=len(result))
        except (HeFsmError, ValueError) as error:
            answer = Answer(
                id=request.id,
                kind=type(error).__name__,
                error=str(error),
                errno=getattr(error, "errno", None),
            )
        answers.write(protocol.to_line(answer) + result)
        answers.flush()


def _refuse_unopened() -> None:
    msg = "the first request must be open"
    raise ValueError(msg)


def _end_with_parent() -> None:
    """End as soon as nobody can send requests any more, even while the storage hangs."""
    poll = select.poll()
    # Only the hang-up, which needs no asking for.
    poll.register(sys.stdin.fileno(), 0)
    poll.poll()
    os._exit(0)


def main() -> None:
    """Run as a process of its own."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # Whoever stops all processes of a host at once must not take the storage from the broker
    # before it has said its last: this process ends when the broker lets it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
