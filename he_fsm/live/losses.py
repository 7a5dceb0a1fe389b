"""What a cluster should survive, as faults of the scenario language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from he_fsm.words import id_ranges, span_text

# For how long all hosts lose the storage.
_STORAGE_AWAY_S: Final = 600


@attrs.frozen
class Question:
    """What is asked: in words, and as entries of a timeline, each with its time."""

    text: str
    faults: tuple[tuple[str, str], ...]


def losses(hosts: Sequence[int]) -> Iterator[Question]:
    """Return a question for each loss that a cluster of these living hosts should survive."""
    if not hosts:
        return
    for host in hosts:
        yield Question(f"host {host} loses its power", (("0s", f"host: {host}, power: off"),))
    every = f"hosts: [{id_ranges(hosts)}]"
    yield Question("the gateway is lost for all hosts", (("0s", f"{every}, set: {{gateway: 0}}"),))
    yield Question(
        f"the storage is lost for all hosts, for {span_text(_STORAGE_AWAY_S)}",
        (("0s", f"{every}, storage: cut"), (f"{_STORAGE_AWAY_S}s", f"{every}, storage: restore")),
    )
