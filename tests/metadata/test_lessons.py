"""What broke the systems of today does not break this one (docs/metadata-format.md)."""

from __future__ import annotations

import pytest

from he_fsm.metadata import (
    RECORD_BYTES,
    SLOT_BYTES,
    WHITEBOARD_BYTES,
    EngineStatus,
    HostRecord,
    ProblemWord,
    Whiteboard,
    decode_global,
    decode_slot,
    encode_global,
    encode_slot,
    human_text,
)


def record_of(host_id: int) -> HostRecord:
    return HostRecord(
        host_id=host_id,
        timestamp=1378,
        score=2400,
        engine=EngineStatus("up", "good", "Up"),
        hostname=f"node{host_id}.example.com",
    )


@pytest.fixture
def board() -> bytearray:
    return bytearray(Whiteboard.build([record_of(i) for i in (1, 2, 3)]))


@pytest.mark.parametrize("at", [RECORD_BYTES, SLOT_BYTES - 1])
def test_lesson_0_2_a_byte_that_is_no_utf8_in_a_text_harms_no_record(
    board: bytearray, at: int
) -> None:
    board[2 * SLOT_BYTES + at] = 0xFF
    found = Whiteboard.parse(board)
    assert sorted(found.records) == [1, 2, 3]
    assert found.records[2] == record_of(2)
    assert found.records[2].text == "\ufffd"


def test_lesson_0_2_a_byte_that_is_no_utf8_in_a_record_harms_only_that_one(
    board: bytearray,
) -> None:
    board[2 * SLOT_BYTES + 10] = 0xFF
    found = Whiteboard.parse(board)
    assert sorted(found.records) == [1, 3]
    assert found.problems[2].word is ProblemWord.GARBAGE


def test_lesson_0_3_a_flipped_digit_is_a_wrong_checksum() -> None:
    block = encode_slot(record_of(1)).replace(b"|1378|", b"|13x8|", 1)
    found = Whiteboard.parse(bytes(SLOT_BYTES) + block)
    assert found.problems[1].word is ProblemWord.CRC


def test_lesson_0_3_a_flipped_digit_in_the_form_of_2013_is_garbage() -> None:
    found = Whiteboard.parse(bytes(SLOT_BYTES) + b"1|1|13x8|1|2400|vm-down|node1.example.com")
    assert found.problems[1].word is ProblemWord.GARBAGE


def test_lesson_0_4_the_block_of_host_7_in_slot_3_is_not_host_3() -> None:
    found = Whiteboard.parse(bytes(3 * SLOT_BYTES) + encode_slot(record_of(7)))
    assert found.records == {}
    assert found.problems[3].word is ProblemWord.WRONG_ID
    assert found.problems[3].detail == "slot 3 holds a record of host 7"


@pytest.mark.parametrize("damage", [b"maintenanbe=1", b"maintenance=q", b"", b"\xff\xff"])
def test_lesson_0_6_a_damaged_block_0_neither_switches_nor_raises(damage: bytes) -> None:
    block = decode_global(damage.ljust(SLOT_BYTES, b"\0"))
    assert block.maintenance is None
    assert block.problem is not None


@pytest.mark.parametrize(
    "garbage",
    [
        b"2" + bytes(range(128, 256)) * 4,
        b"2\0\0\0\x01",
        b"52 files",
        b"2|" + b"\x01\x02" * 200,
        b"2023-11-20 23:36:51",
        b"7z\xbc\xaf\x27\x1c",
    ],
)
def test_lesson_b10_garbage_on_block_storage_is_no_newer_release(garbage: bytes) -> None:
    for host_id in (52, 300, 2000):
        board = Whiteboard.parse(bytes(host_id * SLOT_BYTES) + garbage)
        assert board.problems[host_id].word is ProblemWord.GARBAGE
        assert board.problems[host_id].newer_timestamp is None


def test_lesson_b11_a_corrupted_block_0_is_named_and_can_be_written_again() -> None:
    broken = decode_global(b"\x80maintenance=1")
    assert broken.problem is not None
    assert broken.problem.word is ProblemWord.GARBAGE
    assert decode_global(encode_global(maintenance=True)).maintenance is True


def test_lesson_b24_2000_empty_slots_are_nearly_free_and_id_2000_is_seen() -> None:
    assert Whiteboard.parse(bytes(WHITEBOARD_BYTES)).slots == {}
    assert list(Whiteboard.parse(Whiteboard.build([record_of(2000)])).records) == [2000]


def test_lesson_b27_every_time_that_people_read_is_of_this_century() -> None:
    text = human_text(record_of(1), {}, 1_700_000_000.0)
    dates = [line for line in text.splitlines() if "(" in line]
    assert len(dates) == 2
    assert all(line.endswith(" 2023)") for line in dates)


def test_lesson_b43_a_second_host_with_one_id_is_seen_by_its_name() -> None:
    twin = HostRecord(
        host_id=1, timestamp=5, score=2400, engine=record_of(1).engine, hostname="twin.example.com"
    )
    found = decode_slot(1, encode_slot(twin))
    assert isinstance(found, HostRecord)
    assert found.hostname != record_of(1).hostname
