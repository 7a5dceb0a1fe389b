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
import pkgutil
import select
import signal
import sys
import threading
from typing import BinaryIO, Optional

import attrs

from he_fsm.errors import HeFsmError, LockspaceError
from he_fsm.runtime.ports import JoinedLeases
from he_fsm.runtime.storage import protocol
from he_fsm.runtime.storage.protocol import Answer, Request, StorageSettings
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile

_log = logging.getLogger(__name__)


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
            self.whiteboard.write_global(request.maintenance, request.until)
        elif request.op == "mend_global":
            is_written = self.whiteboard.mend_global(request.maintenance, request.until)
            return protocol.flag_to_bytes(is_written)
        elif request.op == "end_global" and request.until is not None:
            return protocol.flag_to_bytes(self.whiteboard.end_global(request.until))
        elif request.op == "join":
            self.leases.join()
        elif request.op == "leave":
            self.leases.leave()
        else:
            msg = f"there is no op {request.op!r}"
            raise ValueError(msg)
        return b""

    def _write_slot(self, slot: int, block: bytes) -> None:
        # safety: a slot belongs to the host that holds its host id.
        if slot != self.settings.host_id or not self.leases.is_joined:
            msg = f"slot {slot} is not written: this host does not hold host id {slot}"
            raise LockspaceError(msg, errno.EPERM)
        self.whiteboard.write_slot(slot, block)


def _leases(settings: StorageSettings) -> JoinedLeases:
    leases: JoinedLeases = pkgutil.resolve_name(settings.maker)(settings)
    return leases


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
    # POLLHUP is always reported; request no events.
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
