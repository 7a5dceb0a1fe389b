"""Questions that can't be given up: each has a limit, and one thread serves many."""

from __future__ import annotations

import threading

import pytest

from he_fsm.errors import StorageError
from he_fsm.runtime.service import asking
from he_fsm.runtime.service.asking import Asking


class _LateError(StorageError):
    """What the tests' questions end in if they are not answered in time."""


def _question(wait_s: float = 10.0) -> Asking:
    return Asking("test-question", wait_s, lambda: _LateError("it is late"))


def test_the_answer_is_returned() -> None:
    assert _question().ask(lambda: 7) == 7


def test_what_the_question_raises_is_raised() -> None:
    def refuses() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        _question().ask(refuses)


def test_many_questions_have_one_thread() -> None:
    question = _question()
    assert len({question.ask(threading.get_ident) for _ in range(5)}) == 1


def test_nothing_is_asked_while_an_earlier_question_waits() -> None:
    goes_on, asked = threading.Event(), threading.Event()
    question = _question(0.01)
    with pytest.raises(_LateError):
        question.ask(goes_on.wait)
    with pytest.raises(_LateError):
        question.ask(asked.set)
    assert not asked.is_set()
    goes_on.set()


def test_it_goes_on_when_the_earlier_question_was_answered() -> None:
    goes_on = threading.Event()
    question = _question(0.01)
    with pytest.raises(_LateError):
        question.ask(goes_on.wait)
    goes_on.set()
    assert _again(question) == 7


def _again(question: Asking) -> int:
    """Ask until there is an answer."""
    for _ in range(1000):
        try:
            return question.ask(lambda: 7)
        except _LateError:
            threading.Event().wait(0.01)
    pytest.fail("it never answers again")


def test_a_thread_that_is_asked_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_IDLE_S", 0.01)
    question = _question()
    first = question.ask(threading.current_thread)
    first.join(10.0)
    assert not first.is_alive()
    assert question.ask(lambda: 7) == 7
