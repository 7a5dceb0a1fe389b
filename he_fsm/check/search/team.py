"""Who expands states: this process alone, or several that are sent handfuls of them."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import pickle
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Protocol

from he_fsm.check.expand import Bounds, Expander, Expansion
from he_fsm.check.layout import State
from he_fsm.check.numbers import Numbered
from he_fsm.check.search.explored import Explored

# Exploring makes no cyclic garbage: the collector would look at what is kept for good.
_OBJECTS_BETWEEN_SEARCHES = 200_000


@contextlib.contextmanager
def garbage_sought_seldom() -> Iterator[None]:
    """Make searches for cyclic garbage rare in this process, until the end of the context."""
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS_BETWEEN_SEARCHES, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Work(Protocol):
    """Expands handfuls of states, in any order."""

    def expand(self, explored: Explored, chunks: Iterator[list[State]]) -> Iterator[Expansion]:
        """Return what came of each."""

    def stop(self, explored: Explored) -> None:
        """Return what was taken and not expanded to the pool."""


class Alone:
    """Expands in this process."""

    def __init__(self, bounds: Bounds) -> None:
        """Begin."""
        self._expander = Expander(bounds)
        self._has_learnt = False
        self._under_way: list[State] = []

    def expand(self, explored: Explored, chunks: Iterator[list[State]]) -> Iterator[Expansion]:
        """Return what came of each."""
        if not self._has_learnt:
            self._expander.steps.numbers.learn(explored.known)
            self._has_learnt = True
        for chunk in chunks:
            self._under_way = chunk
            expansion = self._expander.expand(chunk)
            self._under_way = []
            yield expansion

    def stop(self, explored: Explored) -> None:
        """Return what was taken and not expanded to the pool."""
        explored.level += self._under_way
        self._under_way = []


class Team:
    """
    Processes that are sent states, and the values that the numbers in these stand for.

    What one of them has decided is passed on to the others as it is, so none decides it again.
    """

    def __init__(self, bounds: Bounds, workers: int) -> None:
        """Start them."""
        context = multiprocessing.get_context("fork")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, bounds), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        # For each worker, what it has to be told: it has begun with none of these values.
        self._news: list[list[Numbered]] = [[] for _ in range(workers)]
        self._has_begun = False
        self._busy: dict[int, list[State]] = {}
        self._decided: list[list[bytes]] = [[] for _ in range(workers)]

    def expand(self, explored: Explored, chunks: Iterator[list[State]]) -> Iterator[Expansion]:
        """Return what came of each, as it comes."""
        if not self._has_begun:
            self._has_begun = True
            self._news = [list(explored.known) for _ in self._pipes]
        for worker in range(len(self._pipes)):
            self._send(worker, chunks)
        while self._busy:
            for pipe in wait([self._pipes[worker] for worker in self._busy]):
                worker = self._pipes.index(pipe)  # type: ignore[arg-type]
                expansion: Expansion
                expansion, decided = self._pipes[worker].recv()
                del self._busy[worker]
                for other in range(len(self._pipes)):
                    if other != worker:
                        self._decided[other].append(decided)
                        self._news[other] += expansion.news
                yield expansion
                self._send(worker, chunks)

    def _send(self, worker: int, chunks: Iterator[list[State]]) -> None:
        chunk = next(chunks, None)
        if chunk is None:
            return
        self._busy[worker] = chunk
        news, self._news[worker] = self._news[worker], []
        decided, self._decided[worker] = self._decided[worker], []
        self._pipes[worker].send((news, decided, chunk))

    def stop(self, explored: Explored) -> None:
        """Return what was taken and not expanded to the pool."""
        for chunk in self._busy.values():
            explored.level += chunk
        self._busy = {}

    def close(self) -> None:
        """End the processes."""
        for process, pipe in zip(self._processes, self._pipes):
            process.terminate()
            pipe.close()
        for process in self._processes:
            process.join()


def _serve(pipe: Connection, bounds: Bounds) -> None:
    """Expand what is sent, until nobody sends any more."""
    # Who interrupts the check interrupts its first process alone, which ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_SEARCHES)
    expander = Expander(bounds)
    steps = expander.steps
    steps.tells = True
    while True:
        try:
            news, decided, chunk = pipe.recv()
        except EOFError:
            return
        steps.numbers.learn(news)
        for each in decided:
            steps.learn(pickle.loads(each))  # noqa: S301 - from a process of our own
        pipe.send((expander.expand(chunk), pickle.dumps(steps.decided_here())))
