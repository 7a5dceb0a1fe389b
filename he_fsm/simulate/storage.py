"""The shared whiteboard of a simulated cluster: latency, slow writers, damage."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from typing import Callable, Optional, Union

from he_fsm.metadata.codec import decode_global, decode_slot, encode_global
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.metadata.record import HostRecord, SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard

EMPTY = bytes(SLOT_BYTES)
# Copies kept of each slot, for a storage that shows an old one.
_KEPT = 8


class Note:
    """
    A record that is written whole.

    Its bytes are made when somebody asks for them. Readers of the release that wrote it get the
    record itself, as they would by decoding (a law of the codec's).
    """

    __slots__ = ("_block", "make", "record", "version")

    def __init__(self, record: HostRecord, version: int, make: Callable[[], bytes]) -> None:
        """Take the record, and what makes its block."""
        self.record = record
        self.version = version
        self.make = make
        self._block: Optional[bytes] = None

    @property
    def block(self) -> bytes:
        """The 4096 bytes."""
        if self._block is None:
            self.encode()
        assert self._block is not None  # noqa: S101 - it has just been made
        return self._block

    def encode(self) -> None:
        """Make the bytes now."""
        self._block = self.make()


Written = Union[bytes, Note]


class Reader:
    """What one release makes of the blocks: decoded once for all hosts that run it."""

    def __init__(self, version: int, slots: Iterable[int]) -> None:
        """Begin with nothing decoded of *slots*."""
        self.version = version
        self.slots: dict[int, Union[HostRecord, SlotProblem]] = {}
        self.stale = set(slots)
        self.whiteboard: Optional[Whiteboard] = None


class Storage:
    """
    Slots of 4096 bytes. A write is seen by reads that begin *latency_s* or more after it.

    All times are true time, in seconds.
    """

    def __init__(self, latency_s: float, score_max: int) -> None:
        """Begin empty, slot 0 too."""
        self._latency_s = latency_s
        self._score_max = score_max
        self._visible: dict[int, Written] = {}
        # Writes that are not seen yet; until when they hide later ones, if they do.
        self._pending: list[tuple[float, int, int, Written, Optional[float]]] = []
        self._last_visible_at: dict[int, float] = {}
        self._sequence = 0
        self._readers: dict[int, Reader] = {}
        self._written: dict[int, deque[Written]] = {}
        self._copies: dict[int, bytes] = {}
        # How many bytes of the next write arrive, and until when readers see what comes of it.
        self._torn: dict[int, tuple[int, Optional[float]]] = {}
        # What readers are shown in place of a slot, and until when.
        self._masks: dict[int, tuple[bytes, float]] = {}
        # Called with a slot and the time from which on something else can be read in it.
        self.on_change: Callable[[int, float], None] = _ignore

    def write(self, slot: int, block: Written, time: float, delay_s: float = 0.0) -> float:
        """
        Write a whole slot; it is seen after latency and delay, never before an earlier write.

        Returns:
            When it is seen.
        """
        at = self.write_late(slot, block, time, delay_s)
        self.on_change(slot, at)
        return at

    def write_late(self, slot: int, block: Written, time: float, delay_s: float = 0.0) -> float:
        """Write what was written at *time*, of which everybody knows who has to; see `write`."""
        at = max(time + self._latency_s + delay_s, self._last_visible_at.get(slot, 0.0))
        self._last_visible_at[slot] = at
        torn = self._torn.pop(slot, None) if self._torn else None
        until = None
        if torn is not None:
            arriving, until = torn
            block = _bytes_of(block)[:arriving] + self.latest(slot)[arriving:]
        written = self._written.get(slot)
        if written is None:
            written = self._written[slot] = deque(maxlen=_KEPT)
        written.append(block)
        self._sequence += 1
        heapq.heappush(self._pending, (at, self._sequence, slot, block, until))
        return at

    def write_global(self, time: float, *, maintenance: bool, until: Optional[int] = None) -> float:
        """Write slot 0 as the maintenance command does; give when that is seen."""
        return self.write(0, encode_global(maintenance, until), time)

    def end_global(self, time: float, until: int) -> bool:
        """End a maintenance if slot 0 still says that it ends then; return whether it was."""
        before = decode_global(self.latest(0))
        if before.maintenance is not True or before.until != until:
            return False
        self.write_global(time, maintenance=False)
        return True

    def latest(self, slot: int) -> bytes:
        """Return what was last written to a slot by its owner, seen by others or not yet."""
        written = self._written.get(slot)
        return _bytes_of(written[-1]) if written else EMPTY

    def oldest_copy(self, slot: int) -> bytes:
        """Return an older copy of a slot, as a storage that has lost writes would show."""
        written = self._written.get(slot)
        return _bytes_of(written[0]) if written else EMPTY

    def read(self, time: float, version: int) -> Whiteboard:
        """Read all slots at *time*, as a release of parse version *version* decodes them."""
        if self._pending and self._pending[0][0] <= time:
            self._arrive(time)
        reader = self._readers.get(version)
        if reader is None:
            reader = self._readers[version] = Reader(version, self._visible)
        if reader.stale or reader.whiteboard is None:
            self._decode(reader)
        assert reader.whiteboard is not None  # noqa: S101 - _decode made it
        return reader.whiteboard

    def _arrive(self, time: float) -> None:
        """Make the writes visible whose time has come."""
        pending = self._pending
        while pending and pending[0][0] <= time:
            _, _, slot, block, until = heapq.heappop(pending)
            self._show(slot, block)
            if until is not None and until > time:
                # Nobody is told: it is what the write shows.
                self._masks[slot] = _bytes_of(block), until
                self._mark(slot)

    def _show(self, slot: int, block: Written) -> None:
        if self._visible.get(slot) != block:
            self._visible[slot] = block
            for reader in self._readers.values():
                reader.stale.add(slot)

    def _decode(self, reader: Reader) -> None:
        slots = dict(reader.slots)
        for slot in reader.stale:
            if slot == 0:
                continue
            content = self._decoded(slot, reader.version)
            if content is None:
                slots.pop(slot, None)
            else:
                slots[slot] = content
        before = reader.whiteboard
        if before is None or 0 in reader.stale:
            global_block = decode_global(_bytes_of(self._seen(0)))
        else:
            global_block = before.global_block
        reader.slots = slots
        reader.stale = set()
        reader.whiteboard = Whiteboard(global_block, slots)

    def _decoded(self, slot: int, version: int) -> Union[HostRecord, SlotProblem, None]:
        seen = self._seen(slot)
        if isinstance(seen, Note) and seen.version == version:
            return seen.record
        return decode_slot(slot, _bytes_of(seen), version=version, score_max=self._score_max)

    def _seen(self, slot: int) -> Written:
        mask = self._masks.get(slot)
        return self._visible.get(slot, EMPTY) if mask is None else mask[0]

    def damage(self, slot: int, block: bytes, time: float) -> None:
        """Overwrite a slot at once, for every reader, until its owner writes again."""
        self._arrive(time)
        self._show(slot, block)
        self.on_change(slot, time)

    def mask(self, slot: int, block: bytes, time: float, until: float) -> None:
        """Show every reader *block* in place of the slot, whatever is written."""
        self._masks[slot] = block, until
        self._mark(slot)
        self.on_change(slot, time)

    def shown_later(self, time: float, but_for: int) -> list[float]:
        """Return from when on can be read what is written by *time*, but for that in one slot."""
        return [each[0] for each in self._pending if each[0] > time and each[2] != but_for]

    def is_plain(self, slot: int) -> bool:
        """Whether what is written to a slot now arrives whole and is shown."""
        hides = any(each[2] == slot and each[4] is not None for each in self._pending)
        return not (hides or slot in self._masks or slot in self._torn)

    def unmask(self, slot: int, time: float) -> None:
        """Show what is there again, unless a later fault has hidden it for longer."""
        torn = self._torn.get(slot)
        if torn is not None and torn[1] is not None and torn[1] <= time:
            del self._torn[slot]
        if slot in self._masks and self._masks[slot][1] <= time:
            del self._masks[slot]
            self._mark(slot)
            self.on_change(slot, time)

    def _mark(self, slot: int) -> None:
        for reader in self._readers.values():
            reader.stale.add(slot)

    def tear_next(self, slot: int, arriving_bytes: int, until: Optional[float] = None) -> None:
        """
        Tear the slot's next write: only its first bytes arrive.

        *until*: so long every reader sees what comes of it, whatever is written later.
        """
        self._torn[slot] = arriving_bytes, until

    def keep_copy(self, slot: int) -> None:
        """Keep a copy of the slot, to be replayed later."""
        self._copies[slot] = self.latest(slot)

    def kept_copy(self, slot: int) -> bytes:
        """Return the copy that was kept; where there is none, the oldest there is."""
        return self._copies.get(slot) or self.oldest_copy(slot)


def _ignore(_slot: int, _at: float) -> None:
    """Tell nobody."""


def _bytes_of(written: Written) -> bytes:
    return written.block if isinstance(written, Note) else written
