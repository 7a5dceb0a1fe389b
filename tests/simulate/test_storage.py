from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.metadata import (
    SLOT_BYTES,
    EngineStatus,
    HostRecord,
    SlotProblem,
    Whiteboard,
    encode_slot,
)
from he_fsm.simulate.storage import EMPTY, Storage

LATENCY_S = 0.5
DOWN = EngineStatus("down", "bad", "unknown", "vm not running on this host")


def block(timestamp: int, *, host_id: int = 1, score: int = 2400, version: int = 1) -> bytes:
    record = HostRecord(
        host_id=host_id,
        timestamp=timestamp,
        score=score,
        engine=DOWN,
        hostname="host1",
        parse_version=version,
        feature_version=version,
    )
    return encode_slot(record, f"timestamp={timestamp}\n", version=version)


@pytest.fixture
def storage() -> Storage:
    return Storage(LATENCY_S, score_max=2400)


def shown(storage: Storage, time: float, *, slot: int = 1, version: int = 1) -> object:
    """Return the timestamp that a reader sees, the word for what it can't believe, or None."""
    content = storage.read(time, version).slots.get(slot)
    if isinstance(content, HostRecord):
        return content.timestamp
    return content.word.value if isinstance(content, SlotProblem) else None


def test_it_begins_empty(storage: Storage) -> None:
    assert storage.read(0.0, 1) == Whiteboard.parse(b"")
    assert storage.latest(1) == storage.oldest_copy(1) == storage.kept_copy(1) == EMPTY
    assert len(EMPTY) == SLOT_BYTES


def test_a_write_is_seen_by_readers_that_start_latency_after_it(storage: Storage) -> None:
    storage.write(1, block(7), 10.0)
    assert [shown(storage, time) for time in (10.0, 10.4, 10.5, 11.0)] == [None, None, 7, 7]
    assert storage.latest(1) == block(7)


def test_a_slow_writer_is_seen_later_and_never_overtakes_itself(storage: Storage) -> None:
    storage.write(1, block(7), 10.0, delay_s=15.0)
    storage.write(1, block(8), 20.0)
    assert shown(storage, 25.4) is None
    assert shown(storage, 25.5) == 8
    storage.write(2, block(9, host_id=2), 20.0)
    assert shown(storage, 25.6, slot=2) == 9


def test_slot_0_is_the_flag(storage: Storage) -> None:
    storage.write_global(0.0, maintenance=True)
    assert storage.read(0.0, 1).global_block.maintenance is None
    assert storage.read(1.0, 1).global_block.maintenance is True
    storage.write_global(1.0, maintenance=False)
    assert storage.read(2.0, 1).global_block.maintenance is False
    # Another slot's write leaves it as it was decoded.
    before = storage.read(2.0, 1).global_block
    storage.write(1, block(7), 2.0)
    assert storage.read(3.0, 1).global_block is before


def test_what_did_not_change_is_not_decoded_again(storage: Storage) -> None:
    storage.write(1, block(7), 0.0)
    first = storage.read(1.0, 1)
    assert storage.read(2.0, 1) is first
    storage.write(2, block(7, host_id=2), 2.0)
    second = storage.read(3.0, 1)
    assert second is not first
    assert second.slots[1] is first.slots[1]
    # The same block again is no heartbeat.
    storage.write(2, block(7, host_id=2), 3.0)
    assert storage.read(4.0, 1) is second


def test_each_release_decodes_for_itself(storage: Storage) -> None:
    storage.write(1, block(7, version=2), 0.0)
    assert shown(storage, 1.0) == "too-new"
    assert shown(storage, 1.0, version=2) == 7


def test_scores_above_the_policys_are_not_believed(storage: Storage) -> None:
    storage.write(1, block(7, score=2401), 0.0)
    assert shown(storage, 1.0) == "range"


def test_damage_lasts_until_the_owner_writes_again(storage: Storage) -> None:
    storage.write(1, block(7), 0.0)
    storage.damage(1, b"\xff" * SLOT_BYTES, 10.0)
    assert shown(storage, 10.0) == "garbage"
    # It hit what was visible, not what the owner remembers to have written.
    assert storage.latest(1) == block(7)
    storage.write(1, block(8), 20.0)
    assert shown(storage, 20.4) == "garbage"
    assert shown(storage, 20.5) == 8


def test_damage_hits_what_had_arrived_and_not_what_is_under_way(storage: Storage) -> None:
    storage.write(1, block(7), 0.0)
    storage.write(1, block(8), 9.8)
    storage.damage(1, EMPTY, 10.0)
    assert shown(storage, 10.0) is None
    assert shown(storage, 10.3) == 8


def test_a_mask_hides_a_slot_whatever_is_written(storage: Storage) -> None:
    storage.write(1, block(7), 0.0)
    assert storage.is_plain(1)
    storage.mask(1, EMPTY, 0.0, 100.0)
    assert not storage.is_plain(1)
    assert storage.is_plain(2)
    storage.write(1, block(8), 50.0)
    assert shown(storage, 60.0) is None
    storage.unmask(1, 100.0)
    assert shown(storage, 100.0) == 8
    assert storage.is_plain(1)


def test_the_end_of_an_earlier_mask_does_not_end_a_later_one(storage: Storage) -> None:
    storage.write(1, block(7), 0.0)
    shown(storage, 1.0)
    storage.mask(1, b"\xff" * SLOT_BYTES, 1.0, 100.0)
    storage.mask(1, EMPTY, 1.0, 200.0)
    storage.unmask(1, 100.0)
    assert shown(storage, 100.0) is None
    storage.unmask(1, 200.0)
    assert shown(storage, 200.0) == 7
    storage.unmask(1, 300.0)
    assert shown(storage, 300.0) == 7


def test_of_a_torn_write_the_first_bytes_arrive_before_what_was_there(storage: Storage) -> None:
    storage.write(1, block(1111), 0.0)
    storage.tear_next(1, 10)
    storage.write(2, block(5, host_id=2), 1.0)
    storage.write(1, block(2222), 2.0)
    assert storage.latest(1) == block(2222)[:10] + block(1111)[10:]
    assert shown(storage, 3.0) == "crc"
    assert shown(storage, 3.0, slot=2) == 5
    # Once.
    storage.write(1, block(3333), 4.0)
    assert shown(storage, 5.0) == 3333


def test_a_torn_write_may_be_held_from_when_it_arrives(storage: Storage) -> None:
    storage.write(1, block(1111), 0.0)
    storage.tear_next(1, 10, until=100.0)
    storage.write(1, block(2222), 10.0, delay_s=5.0)
    storage.write(1, block(3333), 20.0)
    assert shown(storage, 15.4) == 1111
    assert [shown(storage, time) for time in (15.5, 30.0, 99.0)] == ["crc"] * 3
    storage.unmask(1, 100.0)
    assert shown(storage, 100.0) == 3333


def test_a_torn_write_that_arrives_too_late_to_be_held_is_seen_as_any_other(
    storage: Storage,
) -> None:
    storage.tear_next(1, 10, until=100.0)
    storage.write(1, block(2222), 99.0, delay_s=5.0)
    storage.unmask(1, 100.0)
    assert shown(storage, 105.0) in ("crc", "garbage")
    assert storage.is_plain(1)


def test_a_held_tear_is_forgotten_when_nothing_was_written(storage: Storage) -> None:
    storage.tear_next(1, 10, until=100.0)
    storage.unmask(1, 100.0)
    storage.write(1, block(2222), 101.0)
    assert shown(storage, 102.0) == 2222


def test_copies_are_of_what_the_owner_wrote(storage: Storage) -> None:
    for timestamp in range(1, 13):
        storage.write(1, block(timestamp), float(timestamp))
        if timestamp == 3:
            storage.keep_copy(1)
    assert storage.kept_copy(1) == block(3)
    # Of the last eight.
    assert storage.oldest_copy(1) == block(5)
    assert storage.kept_copy(2) == storage.oldest_copy(2)


@given(
    writes=st.lists(
        st.tuples(st.floats(0.0, 100.0), st.sampled_from([0.0, 0.2, 15.0])), max_size=8
    ),
    asked=st.floats(0.0, 150.0),
)
def test_a_reader_sees_the_last_write_that_has_arrived(
    writes: list[tuple[float, float]], asked: float
) -> None:
    storage = Storage(LATENCY_S, score_max=2400)
    arrived: object = None
    arrives_at = 0.0
    for number, (time, delay_s) in enumerate(sorted(writes), start=1):
        storage.write(1, block(number), time, delay_s)
        arrives_at = max(arrives_at, time + LATENCY_S + delay_s)
        if arrives_at <= asked:
            arrived = number
    assert shown(storage, asked) == arrived


# Whoever sleeps is told of everything that he could read.


@pytest.fixture
def told(storage: Storage) -> list[tuple[int, float]]:
    """Return the slots and times that are told, as they come."""
    found: list[tuple[int, float]] = []
    storage.on_change = lambda slot, at: found.append((slot, at))
    return found


def test_a_write_is_told_with_the_time_at_which_it_is_seen(
    storage: Storage, told: list[tuple[int, float]]
) -> None:
    storage.write(1, block(7), 10.0)
    storage.write(2, block(7, host_id=2), 10.0, delay_s=5.0)
    storage.write_global(11.0, maintenance=True)
    assert told == [(1, 10.5), (2, 15.5), (0, 11.5)]


def test_damage_and_both_ends_of_a_mask_are_told_at_once(
    storage: Storage, told: list[tuple[int, float]]
) -> None:
    storage.damage(1, EMPTY, 20.0)
    storage.mask(2, EMPTY, 30.0, 40.0)
    # The end of another one, which is over.
    storage.unmask(2, 35.0)
    storage.unmask(2, 40.0)
    assert told == [(1, 20.0), (2, 30.0), (2, 40.0)]


def test_what_is_written_late_is_told_nobody(
    storage: Storage, told: list[tuple[int, float]]
) -> None:
    assert storage.write_late(1, block(7), 10.0) == 10.5
    assert told == []
    assert shown(storage, 10.5) == 7


def test_a_slot_is_not_plain_while_something_hides_what_is_written(storage: Storage) -> None:
    storage.tear_next(1, 10, until=100.0)
    assert not storage.is_plain(1)
    assert storage.is_plain(2)
    storage.write(1, block(7), 10.0)
    # The torn write is under way, and will be shown until 100.
    assert not storage.is_plain(1)
    shown(storage, 20.0)
    assert not storage.is_plain(1)
    storage.unmask(1, 100.0)
    assert storage.is_plain(1)


def test_what_is_under_way_is_known_with_its_times(storage: Storage) -> None:
    storage.write(1, block(7), 10.0)
    storage.write(2, block(7, host_id=2), 10.0, delay_s=5.0)
    storage.write(3, block(7, host_id=3), 11.0)
    assert sorted(storage.shown_later(10.0, 3)) == [10.5, 15.5]
    assert sorted(storage.shown_later(10.5, 1)) == [11.5, 15.5]
    assert storage.shown_later(15.5, 1) == []
