"""Whiteboards written by oVirt's own code, with what a correct reader finds in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from he_fsm.metadata import (
    RECORD_BYTES,
    SLOT_BYTES,
    HostRecord,
    ProblemWord,
    SlotProblem,
    Whiteboard,
    encode_record,
    encode_slot,
    engine_from_text,
    human_text,
)

HERE = Path(__file__).parent
BOARDS = {path.stem: path for path in (HERE / "golden").glob("*.metadata")}

# The monotonic clocks of the golden hosts began at this moment.
WALL_OFFSET_S = 1_700_000_000
WORDS = {
    "bad-version": ProblemWord.GARBAGE,
    "too-few-fields": ProblemWord.GARBAGE,
    "bad-number": ProblemWord.GARBAGE,
    "not-utf8": ProblemWord.GARBAGE,
    "bad-crc": ProblemWord.CRC,
    "too-new": ProblemWord.TOO_NEW,
    "too-old": ProblemWord.TOO_OLD,
}

boards = pytest.mark.parametrize("name", sorted(BOARDS))


def read(name: str) -> tuple[bytes, dict[str, Any]]:
    path = BOARDS[name]
    return path.read_bytes(), json.loads(path.with_suffix(".json").read_text())


def fields_of(record: HostRecord, keys: list[str]) -> dict[str, Any]:
    """Return the fields as oVirt's parser names them, but for the raw engine status."""
    fields = {
        "host-id": record.host_id,
        "host-ts": record.timestamp,
        "score": record.score,
        "hostname": record.hostname,
        "maintenance": record.local_maintenance,
        "stopped": record.stopped,
        "conf_on_shared_storage": record.conf_on_shared_storage,
        "local_conf_timestamp": record.local_conf_timestamp,
        "extra": record.text,
    }
    return {key: fields[key] for key in keys if key in fields}


@boards
def test_every_slot_is_what_a_correct_reader_finds(name: str) -> None:
    data, golden = read(name)
    board = Whiteboard.parse(data)
    assert sorted(board.slots) == sorted(int(host_id) for host_id in golden["hosts"])
    for host_id, expected in golden["hosts"].items():
        slot = board.slots[int(host_id)]
        if expected["status"] == "error":
            assert isinstance(slot, SlotProblem)
            assert slot.word is WORDS[expected["error"]]
        elif not expected["host_id_matches_slot"]:
            assert isinstance(slot, SlotProblem)
            assert slot.word in {ProblemWord.WRONG_ID, ProblemWord.GARBAGE}
        else:
            assert isinstance(slot, HostRecord)
            keys = sorted(expected["fields"])
            wanted = {**expected["fields"], "extra": expected["extra"] or ""}
            found = fields_of(slot, keys)
            assert found == {key: wanted[key] for key in found}
            assert slot.text == wanted["extra"]
            assert slot.parse_version == expected["parse_version"]
            assert slot.feature_version == expected["feature_version"]
            assert slot.engine == engine_from_text(expected["fields"]["engine-status"])
            if not expected["fields"]["engine-status"].startswith("vm-"):
                decoded = expected["engine_status"]
                assert slot.engine.vm == decoded["vm"]
                assert slot.engine.health == decoded["health"]
                assert slot.engine.detail == decoded["detail"]
                assert slot.engine.reason == decoded.get("reason")
                assert slot.engine.rank == expected["engine_status_score"]


@boards
def test_slot_0_is_what_a_correct_reader_finds(name: str) -> None:
    data, golden = read(name)
    found = Whiteboard.parse(data).global_block
    expected = golden["global"]
    assert found.maintenance == (expected["parsed"] or {}).get("maintenance")
    if not expected["empty"] and expected["error"] is None:
        assert found.rejected_lines == expected["rejected_lines"]


@boards
def test_an_intact_record_is_written_back_byte_for_byte(name: str) -> None:
    data, golden = read(name)
    for host_id, record in Whiteboard.parse(data).records.items():
        if golden["hosts"][str(host_id)]["token_count"] == 12:
            start = host_id * SLOT_BYTES
            original = data[start : start + RECORD_BYTES].ljust(RECORD_BYTES, b"\0")
            assert encode_record(record) == original


@boards
def test_the_text_is_written_back_line_for_line(name: str) -> None:
    data, golden = read(name)
    for host_id, record in Whiteboard.parse(data).records.items():
        # A text that is cut off, or none, can't be written again from the record.
        cut_off = not record.text.endswith("\n")
        if golden["hosts"][str(host_id)]["token_count"] != 12 or cut_off:
            continue
        lines = record.text.splitlines()
        extra = dict(line.split("=", 1) for line in lines[7:])
        assert human_text(record, extra, WALL_OFFSET_S) == record.text
        if record.hostname.isascii():
            whole = data[host_id * SLOT_BYTES : (host_id + 1) * SLOT_BYTES]
            assert encode_slot(record, record.text) == whole.ljust(SLOT_BYTES, b"\0")
