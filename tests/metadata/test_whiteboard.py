from __future__ import annotations

from typing import Optional

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.errors import RecordFieldError
from he_fsm.metadata import (
    HOST_ID_MAX,
    SLOT_BYTES,
    WHITEBOARD_BYTES,
    EngineStatus,
    HostRecord,
    ProblemWord,
    Whiteboard,
    encode_slot,
)


def record_of(host_id: int, score: int = 2400, text: str = "") -> HostRecord:
    return HostRecord(
        host_id=host_id,
        timestamp=1000 + host_id,
        score=score,
        engine=EngineStatus("down", "bad", "unknown", "vm not running on this host"),
        hostname=f"node{host_id}.example.com",
        text=text,
    )


boards = st.dictionaries(st.integers(1, 300), st.integers(0, 2400), max_size=8).map(
    lambda scores: [record_of(i, score, f"score={score}\n") for i, score in scores.items()]
)


@given(records=boards, maintenance=st.sampled_from([None, False, True]))
def test_a_whiteboard_survives_the_round_trip(
    records: list[HostRecord], maintenance: Optional[bool]
) -> None:
    data = Whiteboard.build(records, maintenance=maintenance)
    board = Whiteboard.parse(data)
    assert board.records == {record.host_id: record for record in records}
    assert list(board.slots) == sorted(board.slots)
    assert [board.slots[r.host_id] for r in records] == records
    assert {r.text for r in board.records.values()} == {r.text for r in records}
    assert board.problems == {}
    assert board.global_block.maintenance is maintenance
    assert len(data) == SLOT_BYTES * (1 + max((r.host_id for r in records), default=0))


@given(data=st.binary(max_size=3 * SLOT_BYTES))
def test_no_bytes_raise(data: bytes) -> None:
    board = Whiteboard.parse(data)
    assert set(board.records) | set(board.problems) == set(board.slots)


def test_bytes_past_the_end_are_nul() -> None:
    data = Whiteboard.build([record_of(1), record_of(2)]).rstrip(b"\0")
    assert len(data) < 2 * SLOT_BYTES + 512
    assert sorted(Whiteboard.parse(data).records) == [1, 2]
    assert Whiteboard.parse(b"").slots == {}


def test_nothing_behind_slot_2000_is_read() -> None:
    data = Whiteboard.build([record_of(HOST_ID_MAX)])
    assert len(data) == WHITEBOARD_BYTES
    assert list(Whiteboard.parse(data + encode_slot(record_of(1))).slots) == [HOST_ID_MAX]


def test_one_bad_slot_hides_no_other() -> None:
    data = bytearray(Whiteboard.build([record_of(i) for i in (1, 2, 3)]))
    data[2 * SLOT_BYTES : 3 * SLOT_BYTES] = b"\xff" * SLOT_BYTES
    board = Whiteboard.parse(data)
    assert sorted(board.records) == [1, 3]
    assert board.problems[2].word is ProblemWord.GARBAGE


def test_any_buffer_is_read() -> None:
    data = Whiteboard.build([record_of(1)])
    assert Whiteboard.parse(memoryview(data)) == Whiteboard.parse(bytearray(data))


def test_the_limits_reach_every_slot() -> None:
    data = Whiteboard.build([record_of(1, 3000), record_of(2)])
    assert Whiteboard.parse(data, score_max=2400).problems[1].word is ProblemWord.RANGE
    newer = Whiteboard.build([record_of(1)], version=2)
    assert Whiteboard.parse(newer).problems[1].newer_timestamp == 1001
    expected = attrs.evolve(record_of(1), parse_version=2, feature_version=2)
    assert Whiteboard.parse(newer, version=2).records == {1: expected}


def test_two_records_of_one_host_are_refused() -> None:
    with pytest.raises(RecordFieldError, match="two records are of host 4"):
        Whiteboard.build([record_of(4), record_of(4)])
