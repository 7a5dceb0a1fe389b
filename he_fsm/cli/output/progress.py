"""Progress bars on a terminal; elsewhere nothing is shown."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Callable, Final

if TYPE_CHECKING:
    from rich import progress

    from he_fsm.check.search.explored import Progress


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Return a function that shows on stderr how much is done, and the remaining time."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import (  # noqa: PLC0415 - only on a terminal
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with _bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


# What takes no longer than this needs no bar (seconds).
_LATE_S: Final = 2.0


@contextmanager
def late_bar(what: str, *, is_long: bool = False) -> Iterator[Callable[[float], None]]:
    """
    Return a function that takes how much is done, 0 to 1.

    On a terminal a bar is shown on stderr as soon as the work has taken two seconds; at once if it
    is known to be long.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    began = time.monotonic()
    with ExitStack() as stack:
        bars: list[Callable[[float], None]] = []

        def show(done: float) -> None:
            if not bars:
                if not is_long and time.monotonic() < began + _LATE_S:
                    return
                bars.append(stack.enter_context(_percent_bar(what)))
            bars[0](done)

        yield show


@contextmanager
def _percent_bar(what: str) -> Iterator[Callable[[float], None]]:
    from rich.progress import (  # noqa: PLC0415 - only on a terminal
        BarColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with _bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    ) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def exploring_bar() -> Iterator[Callable[[Progress], None]]:
    """Return a function that shows on stderr how many of the known states have been explored."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import (  # noqa: PLC0415 - only on a terminal
        BarColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with _bar(
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        # The total is unknown: each state may lead to new ones.
        TextColumn("left, at least:"),
        TimeRemainingColumn(),
    ) as bar:
        task = bar.add_task("exploring", total=None)

        def tell(now: Progress) -> None:
            rate = now.states / now.seconds if now.seconds else 0.0
            what = f"{now.states:,} states, {rate:,.0f}/s, depth {now.depth}"
            bar.update(task, total=now.whole, completed=now.whole - now.waiting, description=what)

        yield tell


def _bar(*columns: progress.ProgressColumn) -> progress.Progress:
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.progress import Progress as Bar  # noqa: PLC0415 - as above

    return Bar(*columns, console=Console(stderr=True), transient=True)
