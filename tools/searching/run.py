"""One search: scenarios by number, on several processes."""

from __future__ import annotations

import multiprocessing
import random
import traceback
from collections.abc import Iterator
from typing import NamedTuple

from searching.checks import CHECKS, Check
from searching.draw import Spec, read, text_of
from searching.shrink import shrunk

# So many scenarios are a process's next work; so long one that fails is made smaller.
_CHUNK = 8
_SHRINKING_S = 60.0


class Job(NamedTuple):
    """A scenario to be drawn and checked: the number of its check, the search's seed, its own."""

    check: int
    seed: int
    number: int
    shrinks: bool


class Found(NamedTuple):
    """What is wrong with one scenario; nothing: `wrong` is empty."""

    check: str
    number: int
    wrong: list[str]
    text: str


def drawn(check: Check, seed: int, number: int) -> Spec:
    """Draw a scenario by the search's seed and its own number: always the same."""
    return check.draw(random.Random(f"{check.name}/{seed}/{number}"))  # noqa: S311 - no secret


def wrong_with(check: Check, spec: Spec) -> list[str]:
    """Say what is wrong with a scenario; an exception is wrong as well."""
    try:
        return list(check.find(read(spec)))
    except Exception:  # noqa: BLE001 - whatever it is, it has been found
        return [f"an exception\n{traceback.format_exc()}"]


def done(job: Job) -> Found:
    """Draw and check one scenario; make it smaller if something is wrong with it."""
    check = CHECKS[job.check]
    spec = drawn(check, job.seed, job.number)
    wrong = wrong_with(check, spec)
    if wrong and job.shrinks:
        kinds = {each.partition(":")[0] for each in wrong}

        def fails(smaller: Spec) -> bool:
            return any(each.partition(":")[0] in kinds for each in wrong_with(check, smaller))

        spec = shrunk(spec, fails, _SHRINKING_S)
        wrong = wrong_with(check, spec)
    return Found(check.name, job.number, wrong, text_of(spec) if wrong else "")


def search(
    seed: int, count: int, *, first: int = 0, processes: int = 2, shrinks: bool = True
) -> Iterator[Found]:
    """Check scenarios *first* to *first* + *count* of each check, in no order."""
    jobs = [
        Job(check, seed, number, shrinks)
        for number in range(first, first + count)
        for check in range(len(CHECKS))
    ]
    if processes == 1:
        yield from map(done, jobs)
        return
    with multiprocessing.Pool(processes) as pool:
        yield from pool.imap_unordered(done, jobs, _CHUNK)
