"""Blocks as damaged storage would return them, for the verb `slot`."""

from __future__ import annotations

import random
import zlib
from typing import Any, Optional

import attrs

from he_fsm.metadata.codec import encode_slot
from he_fsm.metadata.layout import HOST_ID_MAX, RECORD_BYTES, SLOT_BYTES
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.text import human_text

# Damage that needs a record; a slot without one gets noise instead.
_OF_RECORDS = ("bad-crc", "too-new", "too-old", "wrong-id", "score")


@attrs.frozen(kw_only=True)
class Slot:
    """
    The source of a damaged block: a slot's number, its latest block and record, and older copies.

    `record`: None for slot 0. `newest`: the newest parse version that any host writes.
    """

    number: int
    latest: bytes
    record: Optional[HostRecord]
    oldest: bytes
    copy: bytes
    newest: int = 1


def damaged(slot: Slot, word: str, argument: Any, seed: int) -> bytes:
    """
    Return the block that readers see after *word* (with its argument) of the verb `slot`.

    `torn` and `snapshot`, which do not overwrite a slot at once, are not known here.
    """
    if word == "corrupt" or (slot.record is None and word in _OF_RECORDS):
        noise = random.Random(f"{seed}/noise/{slot.number}")  # noqa: S311 - no secret
        return b"\xfe" + bytes(noise.randrange(256) for _ in range(SLOT_BYTES - 1))
    plain = {
        "zero": lambda: bytes(SLOT_BYTES),
        "text": lambda: bytes(argument).ljust(SLOT_BYTES, b"\0"),
        "stale": lambda: slot.oldest,
        "replay": lambda: slot.copy or slot.oldest,
        "bad-text": lambda: slot.latest[:RECORD_BYTES] + b"\xff" * (SLOT_BYTES - RECORD_BYTES),
    }
    if word in plain:
        return plain[word]()
    if slot.record is None:
        msg = f"there is no damage {word!r}"
        raise ValueError(msg)
    return _other_record(slot.record, word, argument, slot.newest)


def _other_record(record: HostRecord, word: str, argument: Any, newest: int) -> bytes:
    """Make a block from a record, with a wrong checksum, id, version or score."""
    if word == "bad-crc":
        return _with_flipped_digit(_block(record), record.host_id)
    if word == "wrong-id":
        return _block(record._replace(host_id=record.host_id % HOST_ID_MAX + 1))
    if word in ("too-new", "too-old"):
        version = newest + 1 if word == "too-new" else 0
        other = record._replace(parse_version=version, feature_version=version)
        return _block(other, version)
    return _with_score(_block(record), argument)


def _with_flipped_digit(block: bytes, host_id: int) -> bytes:
    """Flip one digit of the score after the checksum was computed."""
    flipped = bytearray(block)
    at = flipped.index(b"|", flipped.index(f"|{host_id}|".encode(), 4) + 1) + 1
    flipped[at] = ord("7") if flipped[at] != ord("7") else ord("8")
    return bytes(flipped)


def _with_score(block: bytes, score: int) -> bytes:
    """Write any score into an intact block, even one that no agent would write."""
    fields = block[:RECORD_BYTES].rstrip(b"\0").split(b"|")
    fields[4] = b"%d" % score
    fields[9] = b"00000000"
    fields[9] = b"%08x" % zlib.crc32(b"|".join(fields))
    return b"|".join(fields).ljust(RECORD_BYTES, b"\0") + block[RECORD_BYTES:]


def _block(record: HostRecord, version: int = 1) -> bytes:
    return encode_slot(record, human_text(record, {}, 0.0), version=version)
