"""What one machine is measured for: clocks, and how slow its storage is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm import TALK
from he_fsm.errors import StorageError
from he_fsm.runtime import machine
from he_fsm.runtime.config import Config, parse_config
from he_fsm.runtime.machine import Latency, measure
from he_fsm.runtime.storage.whiteboard_io import create


def config_of(whiteboard: Path) -> Config:
    text = f"host: {{id: 1}}\novirt: null\nstorage: {{path: {whiteboard.parent}}}\n"
    text += "monitors: {network: {test: none}}\n"
    return parse_config(text, "he-fsm.yaml", whiteboard.parent)


@given(st.lists(st.floats(0.0001, 30.0), min_size=1))
def test_an_io_timeout_has_room_for_twice_the_slowest_read(times: list[float]) -> None:
    found = Latency(times_s=tuple(times), is_direct=True)
    assert found.median_s <= found.p99_s <= found.worst_s <= found.io_timeout_s / 2
    assert found.is_slow_for(TALK) == (found.io_timeout_s > TALK.io_timeout_s)
    assert found.io_timeout_s == 1 or found.io_timeout_s - 1 < 2 * found.worst_s


def test_the_whiteboard_is_read_for_as_long_as_is_asked(tmp_path: Path) -> None:
    create(tmp_path / "whiteboard", 3)
    now = [0.0]

    def clock() -> float:
        now[0] += 0.25
        return now[0]

    found = measure(config_of(tmp_path / "whiteboard"), 20.0, clock)
    # A read is between two looks at the clock. After the first ten reads, which are always made,
    # a third look says whether the time is over: 10 x 0.5 s and 20 x 0.75 s.
    assert len(found.times_s) == 30
    assert set(found.times_s) == {0.25}


def test_a_whiteboard_without_a_slot_can_not_be_measured(tmp_path: Path) -> None:
    (tmp_path / "whiteboard").write_bytes(b"")
    with pytest.raises(StorageError, match="he-fsm storage init"):
        measure(config_of(tmp_path / "whiteboard"), 0.1)


def test_a_clock_that_loses_time_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "current_clocksource"
    source.write_text("jiffies\n")
    monkeypatch.setattr(machine, "_CLOCK_SOURCE", source)
    monkeypatch.setattr(machine, "is_synchronised", lambda: True)
    assert list(machine.clock_problems()) == [
        "the clock source is jiffies, which loses time while the machine is busy"
    ]
    source.write_text("tsc\n")
    assert list(machine.clock_problems()) == []
