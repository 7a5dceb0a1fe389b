"""The processes that answer: they take no more time and no more questions than they may."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import psutil
import pytest

from he_fsm.dashboard.whatif.asking import reply
from he_fsm.dashboard.whatif.processes.pool import WAITING_MAX, BusyError, Pool, TooLongError
from tests.dashboard.whatif.files import PLAIN, WITH_FAULTS, as_json

# It would compute for hours: every look of every host, a hundred of them in a second.
ENDLESS = """\
scenarios:
  - name: endless
    world: {loop: 10ms, jitter: 1ms}
    hosts: 200
    engine: {running_on: 1}
    timeline: [{at: 0, every: 20s, host: 1, set: {gateway: 0.5}}]
    until: 31d
"""


def with_pool(pool: Pool, work: Coroutine[Any, Any, Any]) -> Any:
    async def run() -> Any:
        try:
            return await work
        finally:
            await pool.close()

    return asyncio.run(run())


def test_an_answer_is_the_one_of_the_same_question_in_this_process() -> None:
    async def work() -> Any:
        return await pool.ask({"text": WITH_FAULTS, "runs": 2})

    pool = Pool(workers=1)
    assert with_pool(pool, work()) == as_json(reply({"text": WITH_FAULTS, "runs": 2}))


def test_what_takes_too_long_is_ended_and_the_next_question_is_answered() -> None:
    async def work() -> Any:
        with pytest.raises(TooLongError, match="takes more than"):
            await pool.ask({"text": ENDLESS})
        pool.within_s = 60.0
        return await pool.ask({"text": PLAIN})

    pool = Pool(workers=1, within_s=1.5)
    assert "answer" in with_pool(pool, work())


def test_a_newer_question_of_a_page_takes_the_place_of_the_one_before() -> None:
    async def work() -> Any:
        first = asyncio.ensure_future(pool.ask({"text": ENDLESS}, "page"))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(pool.ask({"text": PLAIN}, "page"))
        return await asyncio.gather(first, second)

    pool = Pool(workers=1)
    replaced, answered = with_pool(pool, work())
    assert replaced is None
    assert "answer" in answered


def test_questions_of_other_pages_do_not_replace_each_other() -> None:
    async def work() -> Any:
        return await asyncio.gather(
            pool.ask({"text": PLAIN}, "one"),
            pool.ask({"text": PLAIN}, "other"),
            pool.ask({"text": PLAIN}),
        )

    pool = Pool(workers=2)
    assert all("answer" in each for each in with_pool(pool, work()))


def test_too_many_questions_at_once_are_refused() -> None:
    async def work() -> Any:
        waiting = [
            asyncio.ensure_future(pool.ask({"text": ENDLESS})) for _ in range(WAITING_MAX + 1)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            with pytest.raises(BusyError):
                await pool.ask({"text": PLAIN})
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    pool = Pool(workers=1)
    with_pool(pool, work())


def test_a_process_that_ends_is_replaced() -> None:
    async def work() -> Any:
        await pool.ask({"text": PLAIN})
        (process,) = psutil.Process().children()
        asked = asyncio.ensure_future(pool.ask({"text": ENDLESS}))
        await asyncio.sleep(0)
        process.kill()
        with pytest.raises(TooLongError, match=r"ended|failed"):
            await asked
        return await pool.ask({"text": PLAIN})

    pool = Pool(workers=1)
    assert "answer" in with_pool(pool, work())


def test_no_process_is_left_behind() -> None:
    async def work() -> list[psutil.Process]:
        await pool.ask({"text": PLAIN})
        return psutil.Process().children()

    pool = Pool(workers=1)
    (process,) = with_pool(pool, work())
    assert not process.is_running()
