"""
The execution of a campaign's runs: which runs are left, and the players.

A player takes batches and yields their results as they are done, in any order. The players on this
machine are here; the one on a Dask cluster is in `cluster.py`.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Final, Optional, Protocol, TypeVar

import attrs

from he_fsm.campaign.model import Campaign, Design
from he_fsm.campaign.play import play
from he_fsm.campaign.results import RunResult
from he_fsm.campaign.store import Results
from he_fsm.errors import CampaignError

_Result = TypeVar("_Result")


@attrs.frozen
class Batch:
    """Some runs of one design, to be played by one process."""

    design: Design
    seeds: tuple[int, ...]

    def play(self) -> list[RunResult]:
        """Play them, one after the other."""
        return [play(self.design, seed) for seed in self.seeds]

    def singly(self) -> Iterator[Batch]:
        """Return each run as a batch of its own."""
        return (attrs.evolve(self, seeds=(seed,)) for seed in self.seeds)


# A batch takes about a second: long enough to be worth sending to another process, and short
# enough for a quick stop.
_BATCH_STRIKES: Final = 100.0
_BATCH_MAX: Final = 32
# New objects between two searches for cyclic garbage.
_GARBAGE: Final = 50_000
# Batches queued for each process: enough that none is idle, few so that a stop is quick.
_WAITING: Final = 2


_Played_co = TypeVar("_Played_co", covariant=True)


class Task(Protocol[_Played_co]):
    """What one process plays: runs, or episodes."""

    def play(self) -> Sequence[_Played_co]:
        """Play all."""

    def singly(self) -> Iterator[Task[_Played_co]]:
        """Return what can be played one after the other."""


class Player(Protocol):
    """Plays batches."""

    def play(self, batches: Iterable[Task[_Result]]) -> Iterator[Sequence[_Result]]:
        """
        Yield the results of runs as soon as they are done.

        Raises:
            CampaignError: the player has failed.
        """


def run_campaign(campaign: Campaign, player: Player, results: Results) -> Iterator[int]:
    """
    Play the runs of a campaign that are not in *results* yet, and add them.

    Yields:
        How many runs have just ended.

    Raises:
        CampaignError: the player or the results file failed; the runs added before stay.
    """
    for done in player.play(batches(campaign, set(results.runs))):
        results.add(done)
        yield len(done)


def batches(campaign: Campaign, known: set[tuple[str, int]]) -> Iterator[Batch]:
    """Yield the unknown runs in batches: some seeds of all designs, then the next seeds."""
    strikes = max(1.0, *(design.strikes_about for design in campaign.designs))
    size = max(1, min(_BATCH_MAX, int(_BATCH_STRIKES / strikes)))
    for first in range(campaign.seed, campaign.seed + campaign.runs, size):
        for design in campaign.designs:
            chunk = range(first, min(first + size, campaign.seed + campaign.runs))
            seeds = tuple(seed for seed in chunk if (design.variation.name, seed) not in known)
            if seeds:
                yield Batch(design, seeds)


def play_batch(batch: Task[_Result]) -> Sequence[_Result]:
    """Play the runs of a batch, one after the other."""
    return batch.play()


@attrs.frozen
class Here:
    """Plays in this process."""

    def play(self, batches: Iterable[Task[_Result]]) -> Iterator[Sequence[_Result]]:
        """Yield each run as soon as it is done."""
        for batch in batches:
            for single in batch.singly():
                yield single.play()


@attrs.frozen
class Processes:
    """Plays in processes of this machine, usually one for each core."""

    pool: futures.Executor
    waiting: int

    def play(self, batches: Iterable[Task[_Result]]) -> Iterator[Sequence[_Result]]:
        """Yield the results of each batch as soon as it is done."""
        todo = iter(batches)
        # The first submit starts the processes.
        with _interrupted_later():
            running = {self.pool.submit(play_batch, each) for each in _next(todo, self.waiting)}
        try:
            while running:
                done, running = futures.wait(running, return_when=futures.FIRST_COMPLETED)
                running |= {self.pool.submit(play_batch, each) for each in _next(todo, len(done))}
                for each in done:
                    yield each.result()
        except BrokenProcessPool as error:
            msg = "a process that played runs has ended: was it killed, or is there no memory left?"
            raise CampaignError(msg) from error


def _next(batches: Iterator[Task[_Result]], count: int) -> Iterator[Task[_Result]]:
    return itertools.islice(batches, count)


@contextmanager
def player_here(jobs: Optional[int] = None) -> Iterator[Player]:
    """
    Make a player on this machine.

    Args:
        jobs: how many processes; None: one for each usable core; 1: only this process.
    """
    count = len(os.sched_getaffinity(0)) if jobs is None else jobs
    if count == 1:
        yield Here()
        return
    # Spawn, don't fork: this process may have threads, which a fork would lose.
    context = multiprocessing.get_context("spawn")
    pool = futures.ProcessPoolExecutor(count, mp_context=context, initializer=_begin)
    try:
        yield Processes(pool, count * _WAITING)
    finally:
        # A stop waits for the running batches, not for the queued ones.
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """
    Block SIGINT (Ctrl-C) while processes are started, and raise it afterwards.

    Children inherit the blocked SIGINT, until they ignore it themselves (`_begin`). And what this
    process sends them when they start is not interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _begin() -> None:
    """Ignore SIGINT, which is for the parent process, and end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Runs make little cyclic garbage, and imported modules stay for ever: collect seldom.
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
