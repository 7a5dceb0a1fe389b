"""A player on a Dask cluster, whose workers have he_fsm installed as well."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any, Callable, Final, TypeVar

import attrs

from he_fsm.campaign.builds import QUESTION, build_here, why_unlike
from he_fsm.campaign.run import Task, play_batch
from he_fsm.errors import CampaignError, MissingExtraError

_Result = TypeVar("_Result")

_ANSWERS_WITHIN_S: Final = 10
_LOOKS_EVERY_S: Final = 0.2
# Batches queued for each thread of a worker: enough that none is idle, few so that a stop is quick.
_WAITING: Final = 2
_WAITING_MIN: Final = 8


@attrs.frozen
class Cluster:
    """
    Plays on the workers of a Dask cluster.

    If a worker is lost, the scheduler gives its batches to another one. The result of a batch does
    not depend on the worker.
    """

    client: Any
    address: str
    # The workers that have the same he_fsm as this machine.
    _checked: set[str] = attrs.field(factory=set, init=False, eq=False)

    @property
    def has_workers(self) -> bool:
        """Return whether any worker has joined; until then nothing is played."""
        return bool(self.client.nthreads())

    def play(self, batches: Iterable[Task[_Result]]) -> Iterator[Sequence[_Result]]:
        """Yield the results of each batch as soon as it is done."""
        from distributed import KilledWorker, as_completed  # noqa: PLC0415 - the extra `dask`

        self._wait_for_workers()
        self.check()
        todo = iter(batches)
        first = [self._submit(each) for each in self._next(todo, self._room())]
        running = as_completed(first, loop=self.client.loop)
        try:
            for future in running:
                found: Sequence[_Result] = future.result()
                future.release()
                self.check_workers()
                for each in self._next(todo, self._room() - running.count()):
                    running.add(self._submit(each))
                yield found
        except KilledWorker as error:
            msg = f"a batch of runs has ended several workers of {self.address}: {error}"
            raise CampaignError(msg) from error
        except ModuleNotFoundError as error:
            msg = f"the workers of {self.address} don't have the package {error.name}"
            raise CampaignError(msg) from error
        # Dask cancels the running batches when the connection ends.
        except (CancelledError, OSError) as error:
            msg = f"the Dask scheduler at {self.address} is lost: {_first_line(error)}"
            raise CampaignError(msg) from error

    def check(self) -> None:
        """
        Ask the scheduler and all workers which he_fsm they have, before anything is sent.

        The scheduler unpickles the tasks as well.

        Raises:
            CampaignError: one of them has none, another release, or another build.
        """
        self._refuse("the scheduler", self._ask(self.client.run_on_scheduler))
        self.check_workers()

    def check_workers(self) -> None:
        """
        Ask the workers that have joined since.

        Raises:
            CampaignError: see `check`.
        """
        new = sorted(set(self.client.nthreads()) - self._checked)
        if not new:
            return
        answers = self._ask(self.client.run, workers=new, on_error="return")
        for worker in new:
            # One that is gone again was not asked.
            if worker in answers:
                self._refuse(f"the worker {worker}", answers[worker])
                self._checked.add(worker)

    def _ask(self, run: Callable[..., Any], **options: Any) -> Any:
        try:
            return run(eval, QUESTION, **options)
        except OSError as error:
            msg = f"the Dask scheduler at {self.address} is lost: {_first_line(error)}"
            raise CampaignError(msg) from error

    def _refuse(self, who: str, found: Any) -> None:
        why = why_unlike(found, build_here())
        if why is not None:
            msg = f"{who} of {self.address} can't play: {why}"
            raise CampaignError(msg)

    def _wait_for_workers(self) -> None:
        while not self.has_workers:
            time.sleep(_LOOKS_EVERY_S)

    def _next(self, batches: Iterator[Task[_Result]], count: int) -> Iterator[Task[_Result]]:
        return itertools.islice(batches, max(count, 0))

    def _room(self) -> int:
        """Return how many batches may be queued or running, with the present workers."""
        threads: dict[str, int] = self.client.nthreads()
        return max(_WAITING_MIN, _WAITING * sum(threads.values()))

    def _submit(self, batch: Task[_Result]) -> Any:
        # Not `pure`, so that Dask does not reuse another campaign's result for an equal call.
        return self.client.submit(play_batch, batch, pure=False)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


@contextmanager
def player_at(address: str) -> Iterator[Cluster]:
    """
    Make a player on a Dask cluster.

    Args:
        address: the address of its scheduler, like `tcp://scheduler:8786`.

    Raises:
        MissingExtraError: Dask is not installed here.
        CampaignError: *address* is not valid, or no scheduler answers there.
    """
    try:
        from distributed import Client  # noqa: PLC0415 - the extra `dask`
        from distributed.comm.addressing import get_address_host_port  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error.name, "dask", "--scheduler") from error
    try:
        # Checked first, since a client with an invalid address waits, and fails again when closed.
        get_address_host_port(address)
    except ValueError as error:
        msg = f"--scheduler {address}: expected an address like tcp://scheduler:8786: {error}"
        raise CampaignError(msg) from error
    try:
        client = Client(address, timeout=_ANSWERS_WITHIN_S, set_as_default=False)
    except (OSError, ValueError) as error:
        msg = f"no Dask scheduler answers at {address}"
        raise CampaignError(msg) from error
    try:
        yield Cluster(client, address)
    finally:
        client.close()
