"""A run can be recorded and replayed: memories and snapshots survive JSON."""

from __future__ import annotations

import json

import cattrs
import pytest
from hypothesis import given

from he_fsm import TALK, step
from he_fsm.serialise import memory_from_plain, snapshot_from_plain, to_plain
from he_fsm.testing.strategies import Situation, situations


@given(situation=situations())
def test_what_is_read_back_decides_the_same(situation: Situation) -> None:
    memory, snapshot = situation.memory, situation.snapshot
    read_memory = memory_from_plain(json.loads(json.dumps(to_plain(memory))))
    read_snapshot = snapshot_from_plain(json.loads(json.dumps(to_plain(snapshot))))
    assert read_memory == memory
    assert read_snapshot == snapshot
    assert step(read_memory, read_snapshot, TALK) == step(memory, snapshot, TALK)


def test_an_object_of_another_form_is_refused() -> None:
    with pytest.raises(cattrs.BaseValidationError):
        memory_from_plain({"state": "NoSuchState"})
