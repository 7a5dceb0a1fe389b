"""The shared whiteboard of a simulated cluster: latency, slow writers, damage."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Optional, Union

import attrs

from he_fsm.metadata.codec import decode_global, decode_slot, encode_global
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.metadata.record import HostRecord, SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard

EMPTY = bytes(SLOT_BYTES)
# Copies kept of each slot, for a storage that shows an old one.
_KEPT = 8


@attrs.define
class Reader:
    """What one release makes of the blocks: decoded once for all hosts that run it."""

    version: int
    slots: dict[int, Union[HostRecord, SlotProblem]]
    stale: set[int]
    whiteboard: Optional[Whiteboard] = None


class Storage:
    """
    Slots of 4096 bytes. A write is seen by reads that begin *latency_s* or more after it.

    All times are true time, in seconds.
    """

    def __init__(self, latency_s: float, score_max: int) -> None:
        """Begin empty, slot 0 too."""
        self._latency_s = latency_s
        self._score_max = score_max
        self._visible: dict[int, bytes] = {}
        self._pending: list[tuple[float, int, int, bytes]] = []
        self._last_visible_at: dict[int, float] = {}
        self._sequence = 0
        self._readers: dict[int, Reader] = {}
        self._written: dict[int, deque[bytes]] = {}
        self._copies: dict[int, bytes] = {}
        self._torn: dict[int, int] = {}
        self._masks: dict[int, bytes] = {}

    def write(self, slot: int, block: bytes, time: float, delay_s: float = 0.0) -> None:
        """Write a whole slot; it is seen after latency and delay, never before an earlier write."""
        at = max(time + self._latency_s + delay_s, self._last_visible_at.get(slot, 0.0))
        self._last_visible_at[slot] = at
        torn = self._torn.pop(slot, None) if self._torn else None
        if torn is not None:
            before = self.latest(slot)
            block = block[:torn] + before[torn:]
        written = self._written.get(slot)
        if written is None:
            written = self._written[slot] = deque(maxlen=_KEPT)
        written.append(block)
        self._sequence += 1
        heapq.heappush(self._pending, (at, self._sequence, slot, block))

    def write_global(self, time: float, *, maintenance: bool) -> None:
        """Write slot 0 as the maintenance command does."""
        self.write(0, encode_global(maintenance), time)

    def latest(self, slot: int) -> bytes:
        """Give what was last written to a slot by its owner, seen by others or not yet."""
        written = self._written.get(slot)
        return written[-1] if written else EMPTY

    def oldest_copy(self, slot: int) -> bytes:
        """Give an older copy of a slot, as a storage that has lost writes would show."""
        written = self._written.get(slot)
        return written[0] if written else EMPTY

    def read(self, time: float, version: int) -> Whiteboard:
        """Read all slots at *time*, as a release of parse version *version* decodes them."""
        pending = self._pending
        while pending and pending[0][0] <= time:
            _, _, slot, block = heapq.heappop(pending)
            self._show(slot, block)
        reader = self._readers.get(version)
        if reader is None:
            reader = self._readers[version] = Reader(version, {}, set(self._visible))
        if reader.stale or reader.whiteboard is None:
            self._decode(reader)
        assert reader.whiteboard is not None  # noqa: S101 - _decode made it
        return reader.whiteboard

    def _show(self, slot: int, block: bytes) -> None:
        if self._visible.get(slot) != block:
            self._visible[slot] = block
            for reader in self._readers.values():
                reader.stale.add(slot)

    def _decode(self, reader: Reader) -> None:
        slots = dict(reader.slots)
        for slot in reader.stale:
            if slot == 0:
                continue
            block = self._masks.get(slot, self._visible.get(slot, EMPTY))
            content = decode_slot(slot, block, version=reader.version, score_max=self._score_max)
            if content is None:
                slots.pop(slot, None)
            else:
                slots[slot] = content
        before = reader.whiteboard
        if before is None or 0 in reader.stale:
            block = self._masks.get(0, self._visible.get(0, EMPTY))
            global_block = decode_global(block)
        else:
            global_block = before.global_block
        reader.slots = slots
        reader.stale = set()
        reader.whiteboard = Whiteboard(global_block, slots)

    def damage(self, slot: int, block: bytes, time: float) -> None:
        """Overwrite a slot at once, for every reader, until its owner writes again."""
        while self._pending and self._pending[0][0] <= time:
            _, _, number, pending = heapq.heappop(self._pending)
            self._show(number, pending)
        self._show(slot, block)

    def mask(self, slot: int, block: bytes) -> None:
        """Show every reader *block* in place of the slot, whatever is written."""
        self._masks[slot] = block
        self._mark(slot)

    @property
    def is_masked(self) -> bool:
        """Whether readers are shown something else than what is written."""
        return bool(self._masks)

    def unmask(self, slot: int) -> None:
        """Show what is there again."""
        self._masks.pop(slot, None)
        self._mark(slot)

    def _mark(self, slot: int) -> None:
        for reader in self._readers.values():
            reader.stale.add(slot)

    def tear_next(self, slot: int, arriving_bytes: int) -> None:
        """Let only the first bytes of the slot's next write arrive."""
        self._torn[slot] = arriving_bytes

    def keep_copy(self, slot: int) -> None:
        """Keep a copy of the slot, to be replayed later."""
        self._copies[slot] = self.latest(slot)

    def kept_copy(self, slot: int) -> bytes:
        """Give the copy that was kept; where there is none, the oldest there is."""
        return self._copies.get(slot) or self.oldest_copy(slot)
