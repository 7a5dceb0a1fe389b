from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.metadata import (
    SLOT_BYTES,
    GlobalBlock,
    ProblemWord,
    decode_global,
    encode_global,
)


@pytest.mark.parametrize("maintenance", [False, True])
def test_the_flag_survives_the_round_trip(maintenance: bool) -> None:
    block = encode_global(maintenance)
    assert len(block) == SLOT_BYTES
    assert block.rstrip(b"\0") == b"maintenance=%d" % maintenance
    assert decode_global(block) == GlobalBlock(maintenance)


@pytest.mark.parametrize("block", [b"", b"\0", bytes(SLOT_BYTES), b"\0maintenance=1"])
def test_a_block_that_begins_with_nul_is_empty(block: bytes) -> None:
    found = decode_global(block)
    assert found.maintenance is None
    assert found.problem is not None
    assert (found.problem.host_id, found.problem.word) == (0, ProblemWord.EMPTY)


@pytest.mark.parametrize(
    ("block", "maintenance", "rejected"),
    [
        (b"maintenance=1\n", True, 1),
        (b"maintenance=True", True, 0),
        (b"maintenance=yes", True, 0),
        (b"maintenance=FALSE", False, 0),
        (b"maintenance = 0", False, 0),
        (b"  maintenance\t=  1 \r", True, 0),
        (b"maintenance=no", False, 0),
        (b"colour=red\nmaintenance=0\nnoise\n", False, 3),
        (b"maintenance=1\nmaintenance=true", True, 0),
        (b"maintenance=1".ljust(SLOT_BYTES, b"\0") + b"\nmaintenance=0", True, 0),
    ],
)
def test_a_boolean_goes_by_its_first_letter(block: bytes, maintenance: bool, rejected: int) -> None:
    assert decode_global(block) == GlobalBlock(maintenance, None, rejected)


@pytest.mark.parametrize(
    "block",
    [
        b"maintenanbe=1",
        b"maintenance",
        b"maintenance=",
        b"maintenance=q",
        b"Maintenance=1",
        b"main tenance=1",
        b"maintenance= ",
        b"maintenance = q",
        b"maintenance = 1\nmaintenance=0",
        b"maintenance=1\nmaintenance=0",
        b"maintenance=0\nmaintenance=q",
        b"maintenance=1\0\0torn",
        b"maintenance=1\n\xff",
        b"\xff" * SLOT_BYTES,
        b"\n",
    ],
)
def test_no_damage_switches_anything(block: bytes) -> None:
    found = decode_global(block)
    assert found.maintenance is None
    assert found.problem is not None
    assert found.problem.word is ProblemWord.GARBAGE
    assert found.problem.detail.isascii()


@given(block=st.binary(max_size=SLOT_BYTES))
def test_no_bytes_raise_or_switch_anything(block: bytes) -> None:
    found = decode_global(block)
    if b"maintenance" not in block:
        assert found.maintenance is None
    assert (found.maintenance is None) == (found.problem is not None)


@given(at=st.integers(0, 12), value=st.integers(1, 255), maintenance=st.booleans())
def test_a_byte_that_changes_never_turns_the_flag_round(
    at: int, value: int, maintenance: bool
) -> None:
    block = bytearray(encode_global(maintenance))
    before: Optional[int] = block[at]
    block[at] = value
    found = decode_global(bytes(block)).maintenance
    # Only the digit itself can say the opposite, and a boolean's other letters with it.
    if at < 12 and value != before:
        assert found is None


@given(until=st.integers(0, 10**12 - 1))
def test_an_end_survives_the_round_trip_and_a_flag_that_is_off_has_none(until: int) -> None:
    block = encode_global(True, until)
    assert len(block) == SLOT_BYTES
    assert decode_global(block) == GlobalBlock(maintenance=True, until=until)
    assert encode_global(False, until) == encode_global(False)


@given(until=st.integers(0, 10**12 - 1))
def test_ovirts_agents_read_the_flag_and_skip_the_end(until: int) -> None:
    """They split at newlines, skip a key that they do not know, and go by the first letter."""
    lines = encode_global(True, until).rstrip(b"\0").decode().split("\n")
    known = {key: value for key, _, value in (line.partition("=") for line in lines)}
    assert known["maintenance"] == "1"
    # A line that does not split into two at `=` would end their agents.
    assert [len(line.split("=")) for line in lines] == [2, 2]


@pytest.mark.parametrize(
    "line", ["maintenance-until=soon", "maintenance-until=", "maintenance-until=-5", "until=5"]
)
def test_an_end_that_is_no_time_is_skipped(line: str) -> None:
    found = decode_global(f"maintenance=1\n{line}".encode())
    assert (found.maintenance, found.until, found.rejected_lines) == (True, None, 1)


def test_two_ends_are_none() -> None:
    found = decode_global(b"maintenance=1\nmaintenance-until=5\nmaintenance-until=6")
    assert (found.maintenance, found.until) == (True, None)
