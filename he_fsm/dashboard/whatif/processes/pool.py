"""The processes that answer: a few of them, each watched, and replaced where it fails."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.errors import HeFsmError

_log = logging.getLogger(__name__)
WORKERS: Final = 2
# After so long a process that still computes is killed, and the question with it (seconds).
WITHIN_S: Final = 20.0
# A process that nobody waits for any more ends its run within this time, or is killed (seconds).
GRACE_S: Final = 1.0
# So many questions may wait for a process; more are refused at once.
WAITING_MAX: Final = 16
_ANSWER_BYTES_MAX: Final = 64 << 20
_MODULE: Final = "he_fsm.dashboard.whatif.processes.worker"


class BusyError(HeFsmError):
    """More questions wait than will be answered soon."""


class TooLongError(HeFsmError):
    """The answer took too long, or its process failed."""


@attrs.define(eq=False)
class _Worker:
    """One process; it is started when it is needed."""

    is_closed: bool = False
    # It was ended from here, as nobody waits for what it computes.
    _is_given_up: bool = False
    _process: Optional[asyncio.subprocess.Process] = None

    async def ask(self, line: bytes, within_s: float) -> dict[str, Any]:
        """
        Send a question and wait for its answer, so many seconds at most.

        Raises:
            TooLongError: there is none in time, or the process ended.
        """
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await _start()
            self._is_given_up = False
        if self.is_closed:
            await self.end()
            msg = "the dashboard ends"
            raise TooLongError(msg)
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        assert process.stdout is not None  # noqa: S101 - as above
        try:
            process.stdin.write(line)
            await process.stdin.drain()
            answer = await asyncio.wait_for(process.stdout.readline(), within_s)
        except asyncio.TimeoutError:
            await self.end()
            _log.warning("a what-if question took more than %g s, and was ended", within_s)
            advice = "fewer hosts, less time, or he-fsm simulate"
            msg = f"this takes more than {within_s:g} s: {advice}"
            raise TooLongError(msg) from None
        except (OSError, ValueError) as error:
            await self.end()
            msg = f"the process that computes answers failed: {error}"
            raise TooLongError(msg) from error
        if not answer.endswith(b"\n"):
            await self.end()
            if not self._is_given_up:
                _log.warning(
                    "the process that computes answers has ended by itself; a new one starts"
                )
            msg = "the process that computes answers has ended: too little memory, or a bug"
            raise TooLongError(msg)
        found: dict[str, Any] = json.loads(answer)
        return found

    def hurry(self) -> None:
        """Tell the process that nobody waits any more."""
        process = self._process
        if process is not None and process.stdin is not None and process.returncode is None:
            process.stdin.write(b"\n")

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None and self._process.returncode is None:
            self._is_given_up = True
            self._process.kill()

    async def end(self) -> None:
        """End the process and wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", _MODULE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_ANSWER_BYTES_MAX,
    )


class Pool:
    """
    Answers questions in processes of its own; at most one question of a page at a time.

    A newer question of a page ends the one before it.
    """

    def __init__(self, workers: int = WORKERS, within_s: float = WITHIN_S) -> None:
        """Make the pool; processes are started when they are needed."""
        self.within_s = within_s
        self._workers = [_Worker() for _ in range(workers)]
        # Made with the first question: before Python 3.10, a queue belongs to the event loop in
        # which it is made.
        self._queue: Optional[asyncio.LifoQueue[_Worker]] = None
        self._waiting = 0
        self._latest: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._jobs: set[asyncio.Task[dict[str, Any]]] = set()

    @property
    def _idle(self) -> asyncio.LifoQueue[_Worker]:
        """The processes that answer nothing now, the one that did so last in front."""
        if self._queue is None:
            self._queue = asyncio.LifoQueue()
            for worker in reversed(self._workers):
                self._queue.put_nowait(worker)
        return self._queue

    async def ask(self, plain: Mapping[str, Any], page: str = "") -> Optional[dict[str, Any]]:
        """
        Return the answer to a question (see `asking.reply`); None: a newer one has replaced it.

        Args:
            page: who asks, for what "newer" means; empty: nobody in particular.

        Raises:
            BusyError: too many questions wait.
            TooLongError: the answer took too long.
        """
        task = asyncio.ensure_future(self._answer(plain))
        if page:
            before = self._latest.get(page)
            if before is not None:
                before.cancel()
            self._latest[page] = task
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelled() and self._latest.get(page) is not task:
                return None
            task.cancel()
            raise
        finally:
            if self._latest.get(page) is task:
                del self._latest[page]

    async def _answer(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        if self._waiting >= WAITING_MAX:
            msg = "too many questions at once: try again in a moment"
            raise BusyError(msg)
        self._waiting += 1
        try:
            worker = await self._idle.get()
        finally:
            self._waiting -= 1
        line = json.dumps(plain).encode() + b"\n"
        job = asyncio.ensure_future(worker.ask(line, self.within_s))
        self._jobs.add(job)
        job.add_done_callback(lambda done: self._is_free(worker, done))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            worker.hurry()
            loop = asyncio.get_running_loop()
            late = loop.call_later(GRACE_S, worker.kill)
            job.add_done_callback(lambda _: late.cancel())
            raise

    def _is_free(self, worker: _Worker, job: asyncio.Task[dict[str, Any]]) -> None:
        self._jobs.discard(job)
        self._idle.put_nowait(worker)
        if not job.cancelled() and job.exception() is not None:
            # Whoever waits is told; where nobody waits any more, nothing is lost.
            _log.debug("a what-if question ended: %s", job.exception())

    async def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.is_closed = True
            worker.kill()
        # One that is being started is ended by its own question.
        await asyncio.gather(*self._jobs, return_exceptions=True)
        for worker in self._workers:
            await worker.end()
