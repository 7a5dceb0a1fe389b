"""Shared storage with a deadline for every call: a process does the work, and can be killed."""

from __future__ import annotations

import logging
import math
import os
import select
import subprocess
import sys
import threading
import time
from typing import Final, Optional

import attrs

from he_fsm import errors
from he_fsm.errors import HostIdBusyError, LockspaceError, StorageError
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.runtime.storage import protocol
from he_fsm.runtime.storage.protocol import Answer, Request, StorageSettings
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile

_log = logging.getLogger(__name__)

BACKOFF_S: Final = 0.5
BACKOFF_MAX_S: Final = 10.0
# Starting a process is no storage's fault, and on a busy machine it may take its time.
START_S: Final = 30.0
_CLOSE_S: Final = 1.0
_READ_BYTES: Final = 1 << 20


class _LateError(Exception):
    """No answer by the deadline."""


class _DeadError(Exception):
    """The worker has ended."""


class StorageClient:
    """
    The whiteboard and the leases of one host; can be used from several threads.

    The storage has *deadline_s* seconds for each call, from when the call's turn has come, and for
    its turn a call waits as long: so every call ends within twice that time, whatever the storage
    does. Calls that yield wait until no other waits. When a call is not answered in time, the
    worker process is killed; the first call after a back-off, which doubles up to
    *backoff_max_s*, starts another, which joins again if this host had joined. All calls raise
    `StorageError` where the storage can't be used; the leases' calls raise `LockspaceError` too.
    """

    def __init__(
        self,
        settings: StorageSettings,
        deadline_s: float,
        *,
        backoff_s: float = BACKOFF_S,
        backoff_max_s: float = BACKOFF_MAX_S,
    ) -> None:
        """
        Start the worker, without waiting for it.

        Raises:
            ValueError: the offset is none, see `WhiteboardFile`.
            StorageError: no process can be started.
        """
        # The worker would only say it at the first call.
        WhiteboardFile(settings.whiteboard, settings.offset)
        self._settings = settings
        self._deadline_s = deadline_s
        self._backoff_first_s = backoff_s
        self._backoff_max_s = backoff_max_s
        self._backoff_s = backoff_s
        self._not_before = -math.inf
        self._has_joined = False
        # A new worker has to take the host id that the one before had.
        self._must_rejoin = False
        self._is_closed = False
        # One request at a time.
        self._turns = _Turns()
        self._worker: Optional[_Worker] = _Worker(settings)

    def read(self, *, yields: bool = False) -> bytes:
        """Read all slots, see `WhiteboardFile.read`."""
        return self._call(Request(op="read"), yields=yields)

    def write_slot(self, slot: int, block: bytes) -> None:
        """
        Write this host's slot, see `WhiteboardFile.write_slot`.

        Raises:
            LockspaceError: it is another host's, or this host does not hold its id now.
        """
        self._call(Request(op="write_slot", slot=slot), block)

    def write_global(self, maintenance: bool, until: Optional[int] = None) -> None:
        """Set the cluster's flag, see `WhiteboardFile.write_global`."""
        self._call(Request(op="write_global", maintenance=maintenance, until=until))

    def mend_global(self, maintenance: bool, until: Optional[int] = None) -> bool:
        """Write slot 0 again if it can't be believed, see `WhiteboardFile.mend_global`."""
        answer = self._call(Request(op="mend_global", maintenance=maintenance, until=until))
        return protocol.flag_from_bytes(answer)

    def end_global(self, until: int) -> bool:
        """End the cluster's maintenance if that ends then, see `WhiteboardFile.end_global`."""
        return protocol.flag_from_bytes(self._call(Request(op="end_global", until=until)))

    def join(self) -> None:
        """Take this host's id and keep it renewed, see `EmbeddedLeases.join`."""
        self._call(Request(op="join"))
        self._has_joined = True
        self._must_rejoin = False

    def leave(self) -> None:
        """Release this host's id, see `EmbeddedLeases.leave`."""
        had_joined, self._has_joined = self._has_joined, False
        self._must_rejoin = False
        try:
            self._call(Request(op="leave"))
        except LockspaceError:
            # Refused. After any other error it may have happened, and is not to be undone.
            self._has_joined = had_joined
            raise

    def status(self, *, yields: bool = False) -> LeaseStatus:
        """Read who holds what."""
        return protocol.status_from_bytes(self._call(Request(op="status"), yields=yields))

    def close(self) -> None:
        """End the worker: the host id is no longer renewed, but not given back either."""
        self._is_closed = True
        worker = self._worker
        if worker is not None:
            # Not under the guard: a call that waits for hung storage ends by this.
            worker.kill()
        # A call that hung ends by this, so the turn comes soon.
        is_last = self._turns.take(self._deadline_s)
        try:
            self._discard_worker()
        finally:
            if is_last:
                self._turns.give()
        if worker is not None:
            worker.wait(_CLOSE_S)

    def _call(self, request: Request, body: bytes = b"", *, yields: bool = False) -> bytes:
        if not self._turns.take(self._deadline_s, yields=yields):
            msg = f"{self._is_late}: other requests went first"
            raise StorageError(msg)
        try:
            # What was waited for the turn is not the storage's doing.
            return self._ask(request, body, time.monotonic() + self._deadline_s)
        except _LateError:
            raise StorageError(self._give_up(self._is_late)) from None
        except _DeadError:
            raise StorageError(self._give_up("the storage worker has ended")) from None
        finally:
            self._turns.give()

    @property
    def _is_late(self) -> str:
        return f"the storage did not answer within {self._deadline_s:g} s"

    def _ask(self, request: Request, body: bytes, deadline: float) -> bytes:
        result = self._ready_worker(deadline).ask(request, body, deadline)
        self._backoff_s = self._backoff_first_s
        return result

    def _ready_worker(self, deadline: float) -> _Worker:
        worker = self._started_worker()
        if not worker.is_ready:
            try:
                worker.wait_until_ready(deadline)
            except _LateError:
                if time.monotonic() > worker.started_at + START_S:
                    raise
                msg = "the storage worker is still starting"
                raise StorageError(msg) from None
        if self._must_rejoin:
            self._rejoin(worker, deadline)
        return worker

    def _rejoin(self, worker: _Worker, deadline: float) -> None:
        try:
            worker.ask(Request(op="join"), b"", deadline)
        except LockspaceError as error:
            # One that hung may still be ending: the next call tries again.
            self._must_rejoin = not isinstance(error, HostIdBusyError)
            _log.warning("the host id could not be taken again: %s", error)
        else:
            self._must_rejoin = False

    def _started_worker(self) -> _Worker:
        if self._is_closed:
            msg = "the storage is closed"
            raise StorageError(msg)
        if self._worker is None:
            wait_s = self._not_before - time.monotonic()
            if wait_s > 0:
                msg = f"the storage did not work; it is tried again in {wait_s:.1f} s"
                raise StorageError(msg)
            self._worker = _Worker(self._settings)
        return self._worker

    def _give_up(self, why: str) -> str:
        """End the worker; each time it takes longer until another is started."""
        self._discard_worker()
        self._must_rejoin = self._has_joined and not self._settings.keeps_host_id
        if not self._is_closed:
            _log.warning("%s; the storage worker is started anew", why)
        self._not_before = time.monotonic() + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, self._backoff_max_s)
        return why

    def _discard_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
            worker.close()


class _Turns:
    """One call at a time. Calls that yield wait until no other one waits."""

    def __init__(self) -> None:
        self.is_taken = False
        self._waiting = 0
        self._changed = threading.Condition()

    def take(self, limit_s: float, *, yields: bool = False) -> bool:
        """Wait for the turn, so many seconds at most; return whether it has come."""
        with self._changed:
            self._waiting += not yields
            try:
                is_free = self._changed.wait_for(
                    lambda: not self.is_taken and not (yields and self._waiting), limit_s
                )
                self.is_taken = self.is_taken or is_free
                return is_free
            finally:
                self._waiting -= not yields

    def give(self) -> None:
        """Release it for the next request."""
        with self._changed:
            self.is_taken = False
            self._changed.notify_all()


class _Worker:
    """One worker process and the pipes to it; one request at a time."""

    def __init__(self, settings: StorageSettings) -> None:
        self.started_at = time.monotonic()
        self.is_ready = False
        self._last_id = 0
        self._buffer = b""
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "he_fsm.runtime.storage.worker"],
                stdin=requests,
                stdout=answers,
            )
        except OSError as error:
            os.close(self._requests)
            os.close(self._answers)
            msg = f"the storage worker can't be started: {error.strerror}"
            raise StorageError(msg) from error
        finally:
            os.close(requests)
            os.close(answers)
        # Its end is waited for by somebody who has the time, so that no zombie stays.
        self._reaper = threading.Thread(target=self._process.wait, name="reaper", daemon=True)
        self._reaper.start()
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._send(Request(op="open", settings=settings), b"")

    def wait_until_ready(self, deadline: float) -> None:
        """Wait for the answer to the first request, which touches no storage."""
        self._answer(deadline)
        self.is_ready = True

    def ask(self, request: Request, body: bytes, deadline: float) -> bytes:
        """Send a request; give the bytes of its answer."""
        self._send(request, body)
        return self._answer(deadline)

    def kill(self) -> None:
        """End the process, without waiting: one that hangs in the kernel may not end soon."""
        self._process.kill()

    def wait(self, limit_s: float) -> None:
        """Wait for the end of a process that was killed, but not for ever."""
        self._reaper.join(limit_s)

    def close(self) -> None:
        """Close the pipes; no other method but `wait` may be called any more."""
        os.close(self._requests)
        os.close(self._answers)

    def _send(self, request: Request, body: bytes) -> None:
        self._last_id += 1
        line = protocol.to_line(attrs.evolve(request, id=self._last_id, size=len(body)))
        try:
            # It fits at once: the pipe is empty, as each request waits for its answer.
            os.write(self._requests, line + body)
        except BrokenPipeError as error:
            raise _DeadError from error

    def _answer(self, deadline: float) -> bytes:
        while b"\n" not in self._buffer:
            self._buffer += self._receive(deadline)
        line, _, begun = self._buffer.partition(b"\n")
        answer = protocol.from_line(line, Answer)
        if answer.id != self._last_id:
            # Whatever it answers, it is not what was asked.
            raise _DeadError
        pieces = [begun]
        missing = answer.size - len(begun)
        while missing > 0:
            pieces.append(self._receive(deadline))
            missing -= len(pieces[-1])
        self._buffer = b""
        if answer.kind is not None:
            raise _error(answer)
        return b"".join(pieces)

    def _receive(self, deadline: float) -> bytes:
        wait_s = max(0.0, deadline - time.monotonic())
        if not self._poll.poll(math.ceil(wait_s * 1000)):
            raise _LateError
        data = os.read(self._answers, _READ_BYTES)
        if not data:
            raise _DeadError
        return data


def _error(answer: Answer) -> Exception:
    """Return the error that the worker had."""
    kind = getattr(errors, answer.kind or "", ValueError)
    if issubclass(kind, LockspaceError):
        return kind(answer.error, answer.errno)
    if kind is StorageError:
        return StorageError(answer.error)
    return ValueError(answer.error)
