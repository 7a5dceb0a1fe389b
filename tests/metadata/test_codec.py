from __future__ import annotations

import json
import zlib
from typing import Any, Callable, Optional

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.errors import HeFsmError, RecordFieldError, RecordTooLongError
from he_fsm.metadata import (
    HOST_ID_MAX,
    RECORD_BYTES,
    SLOT_BYTES,
    EngineStatus,
    HostRecord,
    ProblemWord,
    SlotProblem,
    decode_slot,
    encode_record,
    encode_slot,
)

UP = EngineStatus("up", "good", "Up")
RECORD = HostRecord(
    host_id=1,
    timestamp=523411,
    score=3400,
    engine=UP,
    hostname="node1.example.com",
    local_conf_timestamp=523408,
)
# The example of docs/metadata-format.md, written by oVirt.
LINE = (
    b'1|1|523411|1|3400|{"vm": "up", "health": "good", "detail": "Up"}'
    b"|node1.example.com|0|0|b0ee269b|1|523408"
)

host_ids = st.integers(1, HOST_ID_MAX)
words = st.text(st.characters(exclude_characters="|"), max_size=20)
engines = st.builds(
    EngineStatus,
    vm=st.sampled_from(["up", "down", "down_unexpected", "down_missing", "unknown"]),
    health=st.sampled_from(["good", "bad", "unknown"]),
    detail=words,
    reason=st.none() | words,
)
hostnames = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="|"), max_size=30
)
times = st.integers(0, 2**63)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
records = st.builds(
    HostRecord,
    host_id=host_ids,
    timestamp=times,
    score=st.integers(0, 3400),
    engine=engines,
    hostname=hostnames,
    local_maintenance=st.booleans(),
    stopped=st.booleans(),
    conf_on_shared_storage=st.booleans(),
    local_conf_timestamp=times,
    text=texts,
)


def with_crc(fields: list[str]) -> bytes:
    """Join the fields with the checksum that they need in field 9."""
    crc = zlib.crc32("|".join([*fields[:9], "00000000", *fields[10:]]).encode())
    return "|".join([*fields[:9], f"{crc:08x}", *fields[10:]]).encode()


def changed(crc: bool = True, **by_index: str) -> bytes:
    """Return the example line with other fields (`f2="7"`), and the checksum that they need."""
    fields = LINE.decode().split("|")
    for name, value in by_index.items():
        fields[int(name[1:])] = value
    return with_crc(fields) if crc else "|".join(fields).encode()


def problem(line: bytes, host_id: int = 1, **limits: Any) -> SlotProblem:
    found = decode_slot(host_id, line, **limits)
    assert isinstance(found, SlotProblem)
    assert found.host_id == host_id
    return found


def test_todays_form() -> None:
    assert decode_slot(1, LINE) == RECORD
    assert encode_record(RECORD) == LINE.ljust(RECORD_BYTES, b"\0")


@pytest.mark.parametrize("count", [7, 8, 9, 10, 11, 12, 14])
def test_every_number_of_fields_from_seven_on_is_read(count: int) -> None:
    fields = [*changed(f7="1", f8="1").decode().split("|"), "later", "and later"][:count]
    line = with_crc(fields) if count > 9 else "|".join(fields).encode()
    found = decode_slot(1, line)
    assert isinstance(found, HostRecord)
    assert found.local_maintenance is (count > 7)
    assert found.stopped is (count > 8)
    assert found.conf_on_shared_storage is (count > 11)
    assert found.local_conf_timestamp == (523408 if count > 11 else 0)


@pytest.mark.parametrize(
    ("change", "on_shared", "timestamp"),
    [
        ({"f11": "-2"}, True, -2),
        ({"f11": ""}, True, 0),
        ({"f11": "yesterday"}, True, 0),
        ({"f10": "yes"}, False, 523408),
        ({"f10": "-1"}, False, 523408),
        ({"f10": "", "f11": "1e9"}, False, 0),
    ],
    ids=str,
)
def test_a_field_that_nobody_decides_by_never_costs_the_record(
    change: dict[str, str], on_shared: bool, timestamp: int
) -> None:
    found = decode_slot(1, changed(**change))
    assert found == attrs.evolve(
        RECORD, conf_on_shared_storage=on_shared, local_conf_timestamp=timestamp
    )


def test_a_later_feature_version_is_read() -> None:
    found = decode_slot(1, changed(f1="7"))
    assert isinstance(found, HostRecord)
    assert (found.parse_version, found.feature_version) == (1, 7)


def test_a_flag_is_set_above_zero() -> None:
    found = decode_slot(1, changed(f7="2", f8="-1"))
    assert isinstance(found, HostRecord)
    assert (found.local_maintenance, found.stopped) == (True, False)


@given(record=records)
def test_a_record_survives_the_round_trip(record: HostRecord) -> None:
    try:
        block = encode_slot(record, record.text)
    except RecordTooLongError:
        return
    assert len(block) == SLOT_BYTES
    found = decode_slot(record.host_id, block)
    assert found == record
    assert isinstance(found, HostRecord)
    assert record.text.startswith(found.text)
    assert found.text == record.text or len(record.text.encode()) > SLOT_BYTES - RECORD_BYTES


@given(host_id=host_ids, block=st.binary(max_size=SLOT_BYTES))
def test_no_bytes_raise(host_id: int, block: bytes) -> None:
    found = decode_slot(host_id, block, score_max=3400)
    assert (found is None) == (block[:1] in {b"", b"\0"})


def flipped(block: bytes, at: int, value: int) -> bytes:
    return block[:at] + bytes([block[at] ^ value]) + block[at + 1 :]


def inserted(block: bytes, at: int, value: int) -> bytes:
    return block[:at] + bytes([value]) + block[at:]


def replaced(block: bytes, at: int, value: int) -> bytes:
    return block[:at] + bytes([value]) * 40 + block[at + 40 :]


@given(
    record=records,
    change=st.sampled_from([flipped, inserted, replaced]),
    at=st.integers(0, 200),
    value=st.integers(1, 255),
    is_of_2013=st.booleans(),
)
def test_no_damaged_slot_raises_or_says_another_score(
    record: HostRecord,
    change: Callable[[bytes, int, int], bytes],
    at: int,
    value: int,
    is_of_2013: bool,
) -> None:
    try:
        block = encode_slot(record)
    except RecordTooLongError:
        return
    if is_of_2013:
        block = b"|".join(block.split(b"|")[:7]).ljust(SLOT_BYTES, b"\0")
    found = decode_slot(record.host_id, change(block, at, value))
    if is_of_2013:
        return
    if isinstance(found, HostRecord):
        # Only damage that eats five separators takes the checksum away, behind all numbers.
        assert change is replaced or found == record
        assert (found.timestamp, found.score) == (record.timestamp, record.score)
    else:
        assert found is None or found.newer_timestamp is None


@given(host_id=host_ids, block=st.from_regex(rb"[0-9]{1,3}[|;a]([0-9a-f-]{0,9}\|){0,13}[^\0]*"))
def test_what_resembles_a_record_never_raises(host_id: int, block: bytes) -> None:
    decode_slot(host_id, block, score_max=2400)


@pytest.mark.parametrize(
    ("line", "word", "says"),
    [
        (b"noise", ProblemWord.GARBAGE, "begins with noise"),
        (b" " + LINE, ProblemWord.GARBAGE, "not with a version"),
        (b"-" + LINE, ProblemWord.GARBAGE, "not with a version"),
        ("\u0661".encode() + LINE[1:], ProblemWord.GARBAGE, "not with a version"),
        (b"1", ProblemWord.GARBAGE, "nothing but 1"),
        (b"1x" + LINE[1:], ProblemWord.GARBAGE, "not with a version and '|'"),
        (b"1;1;2", ProblemWord.GARBAGE, "not with a version and '|'"),
        (b"1|1|523411|1|3400|vm-down", ProblemWord.GARBAGE, "6 fields"),
        (changed(f1="x"), ProblemWord.GARBAGE, "feature version is x"),
        (changed(f1="0"), ProblemWord.TOO_OLD, "feature version is 0"),
        (changed(f2="13x8"), ProblemWord.GARBAGE, "timestamp is 13x8"),
        (changed(f2="-5"), ProblemWord.GARBAGE, "timestamp is -5"),
        (changed(f2="\u0661"), ProblemWord.GARBAGE, "timestamp is"),
        (changed(f2="+5"), ProblemWord.GARBAGE, "timestamp is '+5'"),
        (changed(f2="1_000"), ProblemWord.GARBAGE, "timestamp is '1_000'"),
        (changed(f2=" 5"), ProblemWord.GARBAGE, "timestamp is ' 5'"),
        (changed(f2=""), ProblemWord.GARBAGE, "timestamp is ''"),
        (changed(f2="--5"), ProblemWord.GARBAGE, "timestamp is '--5'"),
        (changed(f3="one"), ProblemWord.GARBAGE, "host id is one"),
        (changed(f3="7"), ProblemWord.WRONG_ID, "record of host 7"),
        (changed(f4="3e3"), ProblemWord.GARBAGE, "score is 3e3"),
        (changed(f4="-50"), ProblemWord.RANGE, "score is -50"),
        (changed(f4="3401"), ProblemWord.RANGE, "from 0 to 3400"),
        (changed(f6="a\nb"), ProblemWord.GARBAGE, "control character at byte 66"),
        (changed(f6="a\0b"), ProblemWord.GARBAGE, "control character"),
        (changed(f7="no"), ProblemWord.GARBAGE, "maintenance flag is no"),
        (changed(f8=""), ProblemWord.GARBAGE, "stopped flag is"),
        (changed(f6="n\u00f6d").replace(b"\xc3", b"\xff"), ProblemWord.GARBAGE, "not UTF-8"),
        (changed(crc=False, f4="3399"), ProblemWord.CRC, "checksum is b0ee269b, the fields give"),
        (changed(crc=False, f9=""), ProblemWord.CRC, "checksum is ''"),
        (LINE + b"\0x", ProblemWord.CRC, "checksum is b0ee269b"),
    ],
)
def test_each_damage_has_its_word(line: bytes, word: ProblemWord, says: str) -> None:
    found = problem(line, score_max=3400)
    assert found.word is word
    assert says in found.detail
    assert found.newer_timestamp is None


def test_without_a_highest_score_any_is_believed() -> None:
    found = decode_slot(1, changed(f4="999999"))
    assert isinstance(found, HostRecord)
    assert found.score == 999999


def test_a_checksum_in_upper_case_is_wrong() -> None:
    assert problem(changed(crc=False, f9="B0EE269B")).word is ProblemWord.CRC


def test_the_checksum_is_judged_before_any_number_is_believed() -> None:
    assert problem(changed(crc=False, f2="52x411")).word is ProblemWord.CRC
    assert problem(changed(crc=False, f3="2")).word is ProblemWord.CRC


def test_only_the_first_512_bytes_are_the_record() -> None:
    block = LINE.ljust(RECORD_BYTES, b"\0") + b"|13|later"
    found = decode_slot(1, block)
    assert found == RECORD
    assert isinstance(found, HostRecord)
    assert found.text == "|13|later"


def test_bytes_behind_the_slot_are_not_read() -> None:
    found = decode_slot(1, encode_slot(RECORD, "text") + b"more")
    assert isinstance(found, HostRecord)
    assert found.text == "text"


@pytest.mark.parametrize("block", [b"", b"\0", bytes(SLOT_BYTES), b"\0" + LINE])
def test_a_slot_that_begins_with_nul_is_empty(block: bytes) -> None:
    assert decode_slot(1, block) is None


class TestNewerReleases:
    def newer(self, **fields: str) -> bytes:
        return changed(**{"f0": "2", "f1": "2", **fields})

    def test_a_whole_record_has_its_timestamp(self) -> None:
        found = problem(self.newer())
        assert found.word is ProblemWord.TOO_NEW
        assert found.newer_timestamp == 523411

    def test_what_this_release_writes_as_a_newer_one_is_whole(self) -> None:
        found = problem(encode_slot(RECORD, version=9))
        assert (found.word, found.newer_timestamp) == (ProblemWord.TOO_NEW, 523411)

    def test_a_reader_of_that_version_reads_it_and_all_older_ones(self) -> None:
        assert isinstance(decode_slot(1, self.newer(), version=2), HostRecord)
        assert decode_slot(1, LINE, version=2) == RECORD

    def test_without_a_checksum_both_versions_must_be_newer(self) -> None:
        whole = b"2|2|88123|1|anything|else|host"
        assert problem(whole).newer_timestamp == 88123
        flipped_digit = b"9|1|1378496098|1|1400|vm-down|ovirt.localdomain"
        found = problem(flipped_digit)
        assert (found.word, found.newer_timestamp) == (ProblemWord.TOO_NEW, None)

    def test_what_is_no_checksum_is_no_wrong_checksum(self) -> None:
        line = b"2|2|88123|1|a|b|c|d|e|B0EE269B"
        assert problem(line).newer_timestamp == 88123

    @pytest.mark.parametrize(
        ("line", "word"),
        [
            (b"2|2|88123|1|3400", ProblemWord.GARBAGE),
            (b"2|2|now|1|3400|up|host", ProblemWord.GARBAGE),
            (b"2|2|-1|1|3400|up|host", ProblemWord.GARBAGE),
            (b"2|2|88123|one|3400|up|host", ProblemWord.GARBAGE),
            (b"2|x|88123|1|3400|up|host", ProblemWord.GARBAGE),
            (b"2|2|88123|7|3400|up|host", ProblemWord.WRONG_ID),
            (b"2|2|88123|1|a|b|c|d|e|00000000", ProblemWord.CRC),
            (b"9garbage", ProblemWord.GARBAGE),
            (b"52", ProblemWord.GARBAGE),
            (b"2;\x01\x02", ProblemWord.GARBAGE),
            (b"2;\xff\xfe", ProblemWord.GARBAGE),
            (b"9|" + bytes(range(1, 200)), ProblemWord.GARBAGE),
        ],
    )
    def test_garbage_that_begins_with_a_digit_is_garbage(
        self, line: bytes, word: ProblemWord
    ) -> None:
        found = problem(line)
        assert (found.word, found.newer_timestamp) == (word, None)

    def test_an_unknown_layout_is_too_new_and_supersedes_nobody(self) -> None:
        found = problem(b'2;{"v":2,"ts":88123,"id":2,"score":3400}', 2)
        assert (found.word, found.newer_timestamp) == (ProblemWord.TOO_NEW, None)


class TestWriting:
    def test_a_record_of_exactly_512_bytes_fits(self) -> None:
        spare = RECORD_BYTES - len(LINE)
        fits = attrs.evolve(RECORD, hostname=RECORD.hostname + "x" * spare)
        assert len(encode_record(fits).rstrip(b"\0")) == RECORD_BYTES
        assert decode_slot(1, encode_slot(fits, "text")) == fits
        with pytest.raises(RecordTooLongError, match="takes 513 bytes, 512 fit") as caught:
            encode_record(attrs.evolve(fits, hostname=fits.hostname + "x"))
        assert caught.value.field == "hostname"

    def test_the_limit_counts_bytes_and_not_characters(self) -> None:
        name = "\u00fc" * 220
        assert len(LINE) + len(name) < RECORD_BYTES
        with pytest.raises(RecordTooLongError) as caught:
            encode_record(attrs.evolve(RECORD, hostname=name))
        assert caught.value.field == "hostname"
        spare = RECORD_BYTES - len(LINE) + len(RECORD.hostname)
        fits = attrs.evolve(RECORD, hostname="\u00fc" * (spare // 2))
        assert decode_slot(1, encode_slot(fits)) == fits

    def test_the_field_that_is_too_long_is_named(self) -> None:
        engine = EngineStatus("up", "bad", "Up", "because " * 60)
        with pytest.raises(RecordTooLongError, match="its engine takes") as caught:
            encode_record(attrs.evolve(RECORD, engine=engine))
        assert caught.value.field == "engine"

    @pytest.mark.parametrize("hostname", ["a|b", "a\nb", "a\0b", "a\x1b[31m", "\udcff"])
    def test_a_hostname_that_no_reader_would_understand_is_refused(self, hostname: str) -> None:
        with pytest.raises(RecordFieldError, match="hostname of host 1") as caught:
            encode_record(attrs.evolve(RECORD, hostname=hostname))
        assert caught.value.field == "hostname"
        assert isinstance(caught.value, HeFsmError)

    def test_a_separator_in_the_engine_status_is_refused(self) -> None:
        with pytest.raises(RecordFieldError) as caught:
            encode_record(attrs.evolve(RECORD, engine=EngineStatus("up", "bad", "a|b")))
        assert caught.value.field == "engine"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("host_id", 0),
            ("host_id", 2001),
            ("timestamp", -1),
            ("score", -1),
        ],
    )
    def test_a_number_that_no_reader_would_believe_is_refused(self, field: str, value: int) -> None:
        with pytest.raises(RecordFieldError) as caught:
            encode_record(attrs.evolve(RECORD, **{field: value}))
        assert caught.value.field == field

    def test_control_characters_in_the_engine_status_are_escaped(self) -> None:
        record = attrs.evolve(RECORD, engine=EngineStatus("up", "bad", "a\n\0\u00fc"))
        raw = encode_record(record)
        assert json.loads(raw.split(b"|")[5])["detail"] == "a\n\0\u00fc"
        assert decode_slot(1, raw) == record

    @pytest.mark.parametrize("letter", ["x", "\u00fc", "\u20ac", "\U0001f600"])
    @pytest.mark.parametrize("shift", [0, 1, 2, 3])
    def test_a_long_text_is_cut_between_two_characters(self, letter: str, shift: int) -> None:
        text = "-" * shift + letter * 4000
        block = encode_slot(RECORD, text)
        assert len(block) == SLOT_BYTES
        found = decode_slot(1, block)
        assert isinstance(found, HostRecord)
        assert text.startswith(found.text)
        assert SLOT_BYTES - RECORD_BYTES - len(found.text.encode()) < len(letter.encode())

    def test_a_text_that_is_no_unicode_is_written_all_the_same(self) -> None:
        found = decode_slot(1, encode_slot(RECORD, "a\udcffb"))
        assert isinstance(found, HostRecord)
        assert found.text == "a?b"


@pytest.mark.parametrize("score_max", [None, 2400])
def test_a_number_of_500_digits_is_only_a_number(score_max: Optional[int]) -> None:
    line = b"1|1|" + b"9" * 480 + b"|1|0|None|h"
    found = decode_slot(1, line, score_max=score_max)
    assert isinstance(found, HostRecord)
    assert found.timestamp == int("9" * 480)
