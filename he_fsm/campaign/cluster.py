"""Playing runs on a Dask cluster, whose workers have he_fsm installed as well."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any, Final

import attrs

from he_fsm.campaign.results import RunResult
from he_fsm.campaign.run import Batch, play_batch
from he_fsm.errors import CampaignError, MissingExtraError

_ANSWERS_WITHIN_S: Final = 10
# So many batches wait for each thread of a worker: none is idle, and a stop is soon.
_WAITING: Final = 2
_WAITING_MIN: Final = 8


@attrs.frozen
class Cluster:
    """
    Plays on the workers of a Dask cluster.

    What a worker had when it was lost the scheduler gives to another one. A batch has one result,
    whoever played it.
    """

    client: Any
    address: str

    @property
    def has_workers(self) -> bool:
        """Whether any worker has joined; until then nothing is played."""
        return bool(self.client.nthreads())

    def play(self, batches: Iterable[Batch]) -> Iterator[Sequence[RunResult]]:
        """Give the results of each batch as soon as it is done."""
        from distributed import KilledWorker, as_completed  # noqa: PLC0415 - the extra `dask`

        todo = iter(batches)
        first = [self._submit(each) for each in self._next(todo, self._room())]
        running = as_completed(first, loop=self.client.loop)
        try:
            for future in running:
                found: list[RunResult] = future.result()
                future.release()
                for each in self._next(todo, self._room() - running.count()):
                    running.add(self._submit(each))
                yield found
        except KilledWorker as error:
            msg = f"a batch of runs has ended several workers of {self.address}: {error}"
            raise CampaignError(msg) from error
        except ModuleNotFoundError as error:
            msg = f"the workers of {self.address} don't have the package {error.name}"
            raise CampaignError(msg) from error
        # What was under way is cancelled where the connection ends.
        except (CancelledError, OSError) as error:
            msg = f"the Dask scheduler at {self.address} is lost: {_first_line(error)}"
            raise CampaignError(msg) from error

    def _next(self, batches: Iterator[Batch], count: int) -> Iterator[Batch]:
        return itertools.islice(batches, max(count, 0))

    def _room(self) -> int:
        """Give how many batches may be under way, with the workers that there are now."""
        threads: dict[str, int] = self.client.nthreads()
        return max(_WAITING_MIN, _WAITING * sum(threads.values()))

    def _submit(self, batch: Batch) -> Any:
        # Not `pure`: a key of its own, so that no other campaign's result is taken for this one.
        return self.client.submit(play_batch, batch, pure=False)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


@contextmanager
def player_at(address: str) -> Iterator[Cluster]:
    """
    Give a player on a Dask cluster.

    Args:
        address: of its scheduler, like `tcp://scheduler:8786`.

    Raises:
        MissingExtraError: Dask is not installed here.
        CampaignError: this is no address, or no scheduler answers there.
    """
    try:
        from distributed import Client  # noqa: PLC0415 - the extra `dask`
        from distributed.comm.addressing import get_address_host_port  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error.name, "dask", "--scheduler") from error
    try:
        # A client that is given a wrong one says so, waits, and complains once more when it ends.
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
