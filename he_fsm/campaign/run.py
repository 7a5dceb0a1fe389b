"""
Playing all runs of a campaign: which are left, and who plays them.

A player takes batches and gives their results as they come, in any order. Those on this machine are
here; the one for a Dask cluster is in `cluster.py`.
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
from typing import Final, Optional, Protocol

import attrs

from he_fsm.campaign.model import Campaign, Design
from he_fsm.campaign.play import play
from he_fsm.campaign.results import RunResult
from he_fsm.campaign.store import Results
from he_fsm.errors import CampaignError


@attrs.frozen
class Batch:
    """Some runs of one design, to be played by one process."""

    design: Design
    seeds: tuple[int, ...]


# About a second: a batch is worth the way to another process, and a stop does not wait long.
_BATCH_STRIKES: Final = 100.0
_BATCH_MAX: Final = 32
# So many new objects between two searches for garbage that goes round in circles.
_GARBAGE: Final = 50_000
# So many batches wait for each process: none is idle, and a stop is soon.
_WAITING: Final = 2


class Player(Protocol):
    """Plays batches."""

    def play(self, batches: Iterable[Batch]) -> Iterator[Sequence[RunResult]]:
        """
        Give results as soon as they are there.

        Raises:
            CampaignError: what plays them has failed.
        """


def run_campaign(campaign: Campaign, player: Player, results: Results) -> Iterator[int]:
    """
    Play what is left of a campaign, and note it in *results*.

    Yields:
        How many runs have just ended.

    Raises:
        CampaignError: the player or the results file failed; what was noted stays.
    """
    for done in player.play(batches(campaign, set(results.runs))):
        results.add(done)
        yield len(done)


def batches(campaign: Campaign, known: set[tuple[str, int]]) -> Iterator[Batch]:
    """Give the runs that are not known: some seeds of all designs, then the next, in batches."""
    strikes = max(1.0, *(design.strikes_about for design in campaign.designs))
    size = max(1, min(_BATCH_MAX, int(_BATCH_STRIKES / strikes)))
    for first in range(campaign.seed, campaign.seed + campaign.runs, size):
        for design in campaign.designs:
            chunk = range(first, min(first + size, campaign.seed + campaign.runs))
            seeds = tuple(seed for seed in chunk if (design.variation.name, seed) not in known)
            if seeds:
                yield Batch(design, seeds)


def play_batch(batch: Batch) -> list[RunResult]:
    """Play the runs of a batch, one after the other."""
    return [play(batch.design, seed) for seed in batch.seeds]


@attrs.frozen
class Here:
    """Plays in this process."""

    def play(self, batches: Iterable[Batch]) -> Iterator[Sequence[RunResult]]:
        """Give each run as soon as it is done."""
        for batch in batches:
            for seed in batch.seeds:
                yield [play(batch.design, seed)]


@attrs.frozen
class Processes:
    """Plays on the cores of this machine, in a process each."""

    pool: futures.Executor
    waiting: int

    def play(self, batches: Iterable[Batch]) -> Iterator[Sequence[RunResult]]:
        """Give the results of each batch as soon as it is done."""
        todo = iter(batches)
        # This starts the processes.
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


def _next(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    return itertools.islice(batches, count)


@contextmanager
def player_here(jobs: Optional[int] = None) -> Iterator[Player]:
    """
    Give a player on this machine.

    Args:
        jobs: how many processes; None: one for each core that may be used; 1: this one alone.
    """
    count = len(os.sched_getaffinity(0)) if jobs is None else jobs
    if count == 1:
        yield Here()
        return
    # New processes, not copies of this one: it may have threads, which copies would lose.
    context = multiprocessing.get_context("spawn")
    pool = futures.ProcessPoolExecutor(count, mp_context=context, initializer=_begin)
    try:
        yield Processes(pool, count * _WAITING)
    finally:
        # A stop waits for what is being played, not for what was to come.
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """
    Let Ctrl-C wait while processes are started.

    They inherit that they don't hear it, before they can say so themselves; and what this one
    tells them as they begin is not cut off.
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
    """Leave Ctrl-C to the process that started this one, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Little of what a run makes goes round in circles; what was imported stays.
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
