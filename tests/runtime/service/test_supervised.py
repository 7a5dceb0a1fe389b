"""Long-lived threads and tasks go on after whatever they raise, and the status knows of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from he_fsm.runtime.service.supervised import SupervisedThread, troubles
from he_fsm.runtime.service.tasks import keep
from he_fsm.testing.waiting import until


class Work:
    """Fails so many times, then waits for its end."""

    def __init__(self, failures: list[BaseException]) -> None:
        self.failures = failures
        self.is_well = threading.Event()
        self.ends = threading.Event()

    def __call__(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.is_well.set()
        self.ends.wait()


@pytest.fixture
def threads() -> Iterator[list[tuple[Work, SupervisedThread]]]:
    made: list[tuple[Work, SupervisedThread]] = []
    yield made
    for work, thread in made:
        work.ends.set()
        thread.close()
        thread.join(5)


def begun(
    threads: list[tuple[Work, SupervisedThread]], name: str, *failures: BaseException
) -> SupervisedThread:
    work = Work(list(failures))
    thread = SupervisedThread(name, work, again_s=0.01)
    threads.append((work, thread))
    thread.start()
    assert work.is_well.wait(10)
    return thread


@pytest.mark.parametrize(
    "failure", [OSError(12, "Cannot allocate memory"), KeyError("x"), SystemExit(1)], ids=repr
)
def test_work_that_raises_begins_anew_and_is_told(
    threads: list[tuple[Work, SupervisedThread]],
    failure: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    thread = begun(threads, "guard", failure, failure)
    assert thread.is_running
    report = troubles()["guard"]
    assert (report["running"], report["restarts"]) == (True, 2)
    assert report["error"] == f"{type(failure).__name__}: {failure}"
    assert "thread guard failed, it begins anew" in caplog.text


def test_a_thread_that_is_well_is_no_trouble(
    threads: list[tuple[Work, SupervisedThread]],
) -> None:
    begun(threads, "well")
    assert "well" not in troubles()


def test_a_thread_whose_work_has_ended_unasked_is_told(
    threads: list[tuple[Work, SupervisedThread]],
) -> None:
    thread = begun(threads, "gone")
    threads[0][0].ends.set()
    until(lambda: not thread.is_running)
    assert troubles()["gone"]["running"] is False
    thread.close()
    assert "gone" not in troubles()


def test_a_task_goes_on_after_what_it_raises(caplog: pytest.LogCaptureFixture) -> None:
    failures = [OSError(28, "No space left on device"), ValueError("odd")]

    async def work() -> None:
        if failures:
            raise failures.pop(0)

    asyncio.run(keep("reload", work, again_s=0.01))
    assert failures == []
    assert caplog.text.count("task reload failed, it begins anew") == 2
