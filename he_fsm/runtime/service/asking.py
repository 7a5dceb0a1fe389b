"""Questions that can't be given up, each with a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from typing import Optional, TypeVar

from he_fsm.errors import HeFsmError

_Answer = TypeVar("_Answer")


class Asking:
    """
    Asks one question at a time, in a thread of its own.

    Some calls can't be given up: a daemon that is stopped never answers, storage that hangs never
    returns. Such a call stays behind, and until it ends nothing else is asked.
    """

    def __init__(self, name: str, wait_s: float, late: Callable[[], HeFsmError]) -> None:
        """Wait so many seconds for an answer; *late* makes the error if it is not there by then."""
        self._name = name
        self._wait_s = wait_s
        self._late = late
        self._asked: Optional[threading.Thread] = None

    @property
    def is_waiting(self) -> bool:
        """Whether an earlier question has not been answered yet."""
        return self._asked is not None and self._asked.is_alive()

    def ask(self, question: Callable[[], _Answer]) -> _Answer:
        """
        Return the answer to a question, or raise what it raises.

        Raises:
            HeFsmError: it is not there in time, or an earlier one is not there yet.
        """
        if self.is_waiting:
            raise self._late()
        answer: Future[_Answer] = Future()

        def answered() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:  # noqa: BLE001 - whoever asked gets it
                answer.set_exception(error)

        self._asked = threading.Thread(target=answered, name=self._name, daemon=True)
        self._asked.start()
        try:
            return answer.result(self._wait_s)
        except LateError as error:
            raise self._late() from error
