"""What agents that have run for a long time know of each other when a run begins."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from typing import Final, NamedTuple

from he_fsm.memory import Sighting
from he_fsm.metadata.record import HostRecord
from he_fsm.simulate.host import SimHost
from he_fsm.simulate.page import Page
from he_fsm.simulate.storage import Storage

# "For a long time": how long warm agents have been in their state, and silent ones silent.
LONG_S: Final = 3600.0


class LastLook(NamedTuple):
    """The last look of an agent before time 0: when (true time, own clock), and what it wrote."""

    time: float
    now: float
    page: Page


def has_written(host: SimHost) -> bool:
    """Whether a host's agent has written its record until time 0."""
    return host.is_up and host.config.agent_running and host.member.is_joined


class Before:
    """What stood on the whiteboard at time 0, and who had been writing."""

    def __init__(self, writers: frozenset[int], records: Mapping[int, HostRecord]) -> None:
        """Take the ids of those that had been writing, and the records."""
        self.writers = writers
        self._records = records

    @classmethod
    def of(cls, hosts: Collection[SimHost], storage: Storage) -> Before:
        """Read the whiteboard; all records of the time before have been written."""
        writers = frozenset(host.host_id for host in hosts if has_written(host))
        slots = storage.read(0.0, 1).slots
        return cls(writers, {i: each for i, each in slots.items() if isinstance(each, HostRecord)})

    def seen_by(self, host_id: int, now: float) -> dict[int, Sighting]:
        """Return what a host has seen of the others with its look at *now* (its own clock)."""
        long_ago = now - LONG_S
        return {
            slot: Sighting(
                record,
                record.timestamp,
                now if slot in self.writers else long_ago,
                long_ago,
                record,
                None,
            )
            for slot, record in self._records.items()
            if slot != host_id
        }

    def without(self, slots: Container[int]) -> Before:
        """Return the same without some slots, so that they are not gone through for each host."""
        rest = {slot: record for slot, record in self._records.items() if slot not in slots}
        return Before(self.writers, rest)
