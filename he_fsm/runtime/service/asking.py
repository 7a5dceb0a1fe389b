"""Questions that can't be given up, each with a limit."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from typing import Any, Final, Optional, TypeVar

from he_fsm.errors import HeFsmError

_Answer = TypeVar("_Answer")
_Question = tuple[Callable[[], Any], "Future[Any]"]
# A thread that was asked nothing for so long ends (seconds).
_IDLE_S: Final = 30.0


class Asking:
    """
    Asks one question at a time, in a thread of its own.

    Some calls can't be given up: a daemon that is stopped never answers, storage that hangs never
    returns. Such a call stays behind, and until it ends nothing else is asked. Questions are asked
    by one thread at a time.
    """

    def __init__(self, name: str, wait_s: float, late: Callable[[], HeFsmError]) -> None:
        """Wait so many seconds for an answer; *late* makes the error if it is not there by then."""
        self._name = name
        self._wait_s = wait_s
        self._late = late
        self._last: Optional[Future[Any]] = None
        # Starting a thread costs more than most questions do, so it stays for the next ones.
        self._answerer: Optional[_Answerer] = None

    def ask(self, question: Callable[[], _Answer]) -> _Answer:
        """
        Return the answer to a question, or raise what it raises.

        Raises:
            HeFsmError: it is not there in time, or an earlier one is not there yet.
        """
        if self._last is not None and not self._last.done():
            raise self._late()
        answer: Future[_Answer] = Future()
        if self._answerer is None or not self._answerer.take(question, answer):
            self._answerer = _Answerer(self._name)
            self._answerer.take(question, answer)
        self._last = answer
        try:
            return answer.result(self._wait_s)
        except LateError as error:
            raise self._late() from error


class _Answerer:
    """A thread that answers questions, and ends when there were none for a time."""

    def __init__(self, name: str) -> None:
        self._questions: queue.SimpleQueue[_Question] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._has_ended = False
        # A daemon thread: a question that is never answered must not keep the process.
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def take(self, question: Callable[[], Any], answer: Future[Any]) -> bool:
        """Take a question; False: the thread has ended."""
        with self._guard:
            if not self._has_ended:
                self._questions.put((question, answer))
            return not self._has_ended

    def _run(self) -> None:
        while True:
            try:
                question, answer = self._questions.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._guard:
                    self._has_ended = self._questions.empty()
                if self._has_ended:
                    return
                continue
            try:
                answer.set_result(question())
            except BaseException as error:  # noqa: BLE001 - whoever asked gets it
                answer.set_exception(error)
            # Nothing is kept for as long as the next question is waited for.
            del question, answer
