"""A page: what a simulated host writes into its slot, look after look."""

from __future__ import annotations

from he_fsm import tick as loop
from he_fsm.memory import Memory
from he_fsm.metadata.record import EngineStatus, HostRecord
from he_fsm.score import Score
from he_fsm.simulate.host import SimHost
from he_fsm.simulate.storage import Note, Storage
from he_fsm.tick import Facts


class Page:
    """What a host writes with one look after the other, but for the time."""

    __slots__ = ("facts", "memory", "record", "score", "version")

    def __init__(
        self, record: HostRecord, memory: Memory, facts: Facts, score: Score, version: int
    ) -> None:
        """Take the first record, and what its block is made of."""
        self.record = record
        self.memory = memory
        self.facts = facts
        self.score = score
        self.version = version

    def says(self, score: int, engine: EngineStatus, local_maintenance: bool) -> bool:
        """Whether a record of this host says the same, but for its timestamp."""
        record = self.record
        return (
            record.score == score
            and record.engine is engine
            and record.local_maintenance == local_maintenance
        )

    def shows(self, memory: Memory, facts: Facts, score: Score) -> bool:
        """Whether the text for people is the same, too."""
        before = self.facts
        return (
            memory.state is self.memory.state
            and facts.readings is before.readings
            and facts.wall_offset_s == before.wall_offset_s
            and (score is self.score or score == self.score)
        )

    def note(self, record: HostRecord) -> Note:
        """Return a record of this page as the storage takes it."""

        def make() -> bytes:
            return loop.make_block(record, self.memory, self.facts, self.score.why, self.version)

        return Note(record, self.version, make)

    def write(self, storage: Storage, host: SimHost, time: float) -> float:
        """Write the first record; return from when on it can be read."""
        note = self.note(self.record)
        if host.encoded_version != self.version:
            # A release's first record goes through the codec, which refuses what fits no slot.
            host.encoded_version = self.version
            note.encode()
        return storage.write(host.host_id, note, time, host.slow_s)
