"""The whole whiteboard: slot 0, and the slot of every host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Optional, Union

from he_fsm.errors import RecordFieldError
from he_fsm.metadata.codec import (
    GlobalBlock,
    SlotContent,
    decode_global,
    decode_slot,
    encode_global,
    encode_slot,
)
from he_fsm.metadata.layout import PARSE_VERSION, SLOT_BYTES, WHITEBOARD_BYTES
from he_fsm.metadata.record import HostRecord, SlotProblem
from he_fsm.value import Value


class Whiteboard(Value):
    """One reading of the whiteboard. `slots` holds the slots in use by host id, ascending."""

    __slots__ = ("global_block", "slots")

    def __init__(
        self,
        global_block: GlobalBlock,
        slots: Mapping[int, SlotContent],
    ) -> None:
        """Take the parts."""
        self.global_block: Final = global_block
        self.slots: Final = slots

    @property
    def records(self) -> dict[int, HostRecord]:
        """The valid records by host id, ascending."""
        return {i: slot for i, slot in self.slots.items() if isinstance(slot, HostRecord)}

    @property
    def problems(self) -> dict[int, SlotProblem]:
        """The problems of the slots that can't be believed, by host id, ascending."""
        return {i: slot for i, slot in self.slots.items() if isinstance(slot, SlotProblem)}

    @classmethod
    def parse(
        cls,
        data: Union[bytes, bytearray, memoryview],
        *,
        version: int = PARSE_VERSION,
        score_max: Optional[int] = None,
    ) -> Whiteboard:
        """
        Decode a whiteboard of any length; never raises, whatever the bytes.

        Bytes past the end count as NUL, and nothing after slot 2000 is read. *version* and
        *score_max* are passed to `decode_slot`.
        """
        with memoryview(data) as whole, whole[:WHITEBOARD_BYTES] as view:
            blocks = (
                (host_id, bytes(view[host_id * SLOT_BYTES : (host_id + 1) * SLOT_BYTES]))
                # The first bytes of all slots in one slice: 2000 empty slots are skipped fast.
                for host_id, first in enumerate(bytes(view[::SLOT_BYTES]))
                if host_id and first
            )
            slots = {
                host_id: slot
                for host_id, block in blocks
                if (slot := decode_slot(host_id, block, version=version, score_max=score_max))
            }
            return cls(decode_global(bytes(view[:SLOT_BYTES])), slots)

    @staticmethod
    def build(
        records: Iterable[HostRecord],
        *,
        maintenance: Optional[bool] = False,
        version: int = PARSE_VERSION,
    ) -> bytes:
        """
        Encode a whiteboard that ends with the slot of the highest host id.

        Each record's own `text` is written after it. *maintenance* None leaves slot 0 empty,
        as it is before the flag is first set.

        Raises:
            RecordTooLongError: see `encode_record`.
            RecordFieldError: see `encode_record`; or two records have the same host id.
        """
        blocks: dict[int, bytes] = {}
        for record in records:
            if record.host_id in blocks:
                msg = f"two records are of host {record.host_id}"
                raise RecordFieldError(msg, "host_id")
            blocks[record.host_id] = encode_slot(record, record.text, version=version)
        blocks[0] = bytes(SLOT_BYTES) if maintenance is None else encode_global(maintenance)
        board = bytearray(SLOT_BYTES * (max(blocks) + 1))
        for host_id, block in blocks.items():
            board[host_id * SLOT_BYTES : (host_id + 1) * SLOT_BYTES] = block
        return bytes(board)
