"""
Whiteboards of a real mixed cluster: host 1 has oVirt's own agent, host 2 has he_fsm's.

ovirt-hosted-engine-ha 2.5.3-dev and vdsm 4.50.7 wrote them together with this project;
tests/runtime/hypervisors/vdsm/original_agent.py says how, and writes them anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from he_fsm.metadata import Whiteboard
from he_fsm.metadata.record import HostRecord

GOLDEN = Path(__file__).parents[1] / "golden" / "mixed-boards.json"
THEIRS, OURS = 1, 2
BOARDS: dict[str, Any] = json.loads(GOLDEN.read_text("ascii"))


def board(moment: str) -> Whiteboard:
    slots = []
    for number in ("0", "1", "2"):
        fields, text = (part.encode() for part in BOARDS[moment][number])
        slots.append(fields.ljust(512, b"\0") + text.ljust(3584, b"\0"))
    return Whiteboard.parse(b"".join(slots))


def record(moment: str, host_id: int) -> HostRecord:
    return board(moment).records[host_id]


@pytest.mark.parametrize("moment", BOARDS)
def test_every_slot_is_believed(moment: str) -> None:
    read = board(moment)
    assert sorted(read.records) == [THEIRS, OURS]
    assert read.problems == {}


@pytest.mark.parametrize(
    ("moment", "running", "is_global"),
    [
        ("the engine is the original's", THEIRS, False),
        ("ours has set global maintenance", THEIRS, True),
        ("the original has set global maintenance", THEIRS, True),
        ("the original has stopped beside its engine", THEIRS, False),
        ("the engine is ours", OURS, False),
        ("ours has stopped beside its engine", OURS, False),
    ],
)
def test_the_engine_and_the_flag_are_read_whoever_wrote_them(
    moment: str, running: int, *, is_global: bool
) -> None:
    read = board(moment)
    up = [host_id for host_id, each in read.records.items() if each.engine.vm == "up"]
    assert up == [running]
    assert read.records[running].engine.health == "good"
    assert bool(read.global_block.maintenance) is is_global


@pytest.mark.parametrize(
    ("moment", "host_id"),
    [
        ("the original has stopped beside its engine", THEIRS),
        ("ours has stopped beside its engine", OURS),
    ],
)
def test_a_stopped_agent_of_either_kind_is_understood_as_stopped(moment: str, host_id: int) -> None:
    assert record(moment, host_id).stopped
    assert not record("the engine is the original's", host_id).stopped


def test_scores_mean_the_same() -> None:
    """Both hosts are without a fault: policy `ovirt` has the original's sum."""
    scores = {record("the engine is the original's", each).score for each in (THEIRS, OURS)}
    assert scores == {3400}
