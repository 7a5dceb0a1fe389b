"""The lines of the text part that tell machines something, each with a checksum of its own."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.metadata import SLOT_BYTES, HostRecord, decode_slot, encode_slot, human_text
from he_fsm.metadata.record import EngineStatus
from he_fsm.metadata.told import told_policy_print, told_release, watchdog_line

RECORD = HostRecord(
    host_id=3,
    timestamp=7200,
    score=2400,
    engine=EngineStatus("up", "good", "Up"),
    hostname="node3.example.com",
    watchdog_s=10.0,
)
OVIRT = human_text(RECORD, {"maintenance": "False", "state": "EngineUp", "stopped": "False"}, 0.0)


def read(block: bytes) -> HostRecord:
    found = decode_slot(3, block)
    assert isinstance(found, HostRecord)
    return found


@given(
    watchdog_s=st.none() | st.integers(1, 10**6).map(float) | st.floats(1e-3, 1e6),
    text=st.sampled_from(["", OVIRT, "x" * 5000, "ü" * 3000, OVIRT.rstrip()]),
    timestamp=st.integers(0, 2**40),
)
def test_what_is_written_is_read_whatever_the_text(
    watchdog_s: Optional[float], text: str, timestamp: int
) -> None:
    record = RECORD._replace(watchdog_s=watchdog_s, timestamp=timestamp)
    block = encode_slot(record, text)
    assert len(block) == SLOT_BYTES
    assert read(block) == record
    # Written again as it was read, also by somebody who changes the time of the record.
    again = read(block).at(timestamp + 1)
    assert read(encode_slot(again, again.text)) == again


def test_ovirts_lines_keep_their_places() -> None:
    lines = read(encode_slot(RECORD, OVIRT)).text.splitlines()
    assert lines[:-1] == OVIRT.splitlines()
    assert lines[-1].startswith("watchdog-fire-timeout=10 crc32:")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"timeout=10 ", b"timeout=90 "),
        (b"timeout=10 ", b"timeout=1e1 "),
        (b"timeout=10 ", b"timeout=-10 "),
        (b"crc32:", b"crc32;"),
        (b"watchdog-fire-timeout=", b"watchdog_fire_timeout="),
    ],
)
def test_a_damaged_line_tells_nothing_and_spoils_nothing(old: bytes, new: bytes) -> None:
    block = encode_slot(RECORD, OVIRT)
    assert block.count(old) == 1
    assert read(block.replace(old, new)) == RECORD._replace(watchdog_s=None)


@pytest.mark.parametrize(("host_id", "timestamp"), [(4, 7200), (3, 7199)])
def test_the_line_of_another_record_tells_nothing(host_id: int, timestamp: int) -> None:
    old = watchdog_line(3, 7200, 10.0).encode()
    block = encode_slot(RECORD, OVIRT).replace(
        old, watchdog_line(host_id, timestamp, 10.0).encode()
    )
    assert read(block) == RECORD._replace(watchdog_s=None)


@pytest.mark.parametrize("watchdog_s", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_time_is_not_told(watchdog_s: Optional[float]) -> None:
    assert watchdog_line(3, 7200, watchdog_s) == ""


@given(
    watchdog_s=st.none() | st.just(10.0),
    text=st.sampled_from(["", OVIRT, "x" * 5000, "ü" * 3000, OVIRT.rstrip()]),
    timestamp=st.integers(0, 2**40),
)
def test_a_policys_fingerprint_is_told_behind_the_watchdogs_time(
    watchdog_s: Optional[float], text: str, timestamp: int
) -> None:
    record = RECORD._replace(watchdog_s=watchdog_s, timestamp=timestamp)
    block = encode_slot(record, text, policy_print="5f0c7d1e")
    assert len(block) == SLOT_BYTES
    found = read(block)
    # Records that differ in this alone are equal: no decision reads it.
    assert found == read(encode_slot(record, text)) == record
    assert found.text.splitlines()[-1].startswith("policy-fingerprint=5f0c7d1e crc32:")
    assert told_policy_print(3, timestamp, found.text) == "5f0c7d1e"
    # It is of the record that it was written with.
    for host_id, moment in ((4, timestamp), (3, timestamp + 1)):
        assert told_policy_print(host_id, moment, found.text) is None
    again = encode_slot(found, found.text, policy_print="00000001")
    assert again.count(b"policy-fingerprint=") == 1
    assert b"policy-fingerprint=" not in encode_slot(found, found.text)


@pytest.mark.parametrize("new", [b"=5f0c7d1f ", b"=5F0C7D1E ", b"= ", b":5f0c7d1e "])
def test_a_damaged_fingerprint_tells_nothing_and_spoils_nothing(new: bytes) -> None:
    block = encode_slot(RECORD, OVIRT, policy_print="5f0c7d1e").replace(b"=5f0c7d1e ", new)
    assert told_policy_print(3, 7200, read(block).text) is None
    assert read(block) == RECORD


@pytest.mark.parametrize("release", ["0.1.0", "2.0rc1", "1!3.4.post5+local-6"])
def test_a_release_is_told_last_and_is_of_its_record(release: str) -> None:
    block = encode_slot(RECORD, OVIRT, policy_print="5f0c7d1e", release=release)
    found = read(block)
    assert found == RECORD
    assert found.text.splitlines()[-1].startswith(f"agent-release={release} crc32:")
    assert told_release(3, 7200, found.text) == release
    assert told_policy_print(3, 7200, found.text) == "5f0c7d1e"
    assert told_release(4, 7200, found.text) is None
    assert b"agent-release=" not in encode_slot(found, found.text)


@pytest.mark.parametrize("new", [b"=0.1.1 ", b"=0.1.0", b"= ", b"=0 1.0 "])
def test_a_damaged_release_tells_nothing_and_spoils_nothing(new: bytes) -> None:
    block = encode_slot(RECORD, OVIRT, release="0.1.0").replace(b"=0.1.0 ", new)
    assert told_release(3, 7200, read(block).text) is None
    assert read(block) == RECORD
