"""Values as differences: whatever a host sees and remembers comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from he_fsm.history.values import SAME, changed, full, made, patched
from he_fsm.memory import Memory
from he_fsm.serialise import PARTS
from he_fsm.snapshot import LocalVm, Reading, Snapshot, VmState
from he_fsm.testing.strategies import Situation, situations


def sent(plain: Any) -> Any:
    return json.loads(json.dumps(plain))


@given(situations(), situations())
def test_a_difference_leads_from_one_value_to_the_other(one: Situation, other: Situation) -> None:
    for kind, before, after in (
        (Memory, one.memory, other.memory),
        (Snapshot, one.snapshot, other.snapshot),
    ):
        patch = changed(before, after)
        assert (before if patch is SAME else patched(before, sent(patch), kind)) == after


@given(situations())
def test_a_whole_value_comes_back(situation: Situation) -> None:
    assert made(sent(full(situation.memory)), Memory) == situation.memory
    assert made(sent(full(situation.snapshot)), Snapshot) == situation.snapshot
    assert changed(situation.memory, situation.memory) is SAME


def test_what_a_later_release_adds_is_left_out() -> None:
    before = LocalVm(VmState.UP)
    assert patched(before, {"state": "paused", "colour": "red"}, LocalVm) == LocalVm(VmState.PAUSED)
    assert made({"value": 1.0, "age_s": 0, "colour": "red"}, Reading) == Reading(1.0, 0)


@pytest.mark.parametrize(
    ("before", "patch"),
    [
        (LocalVm(VmState.UP), {"state": "dancing"}),
        (LocalVm(VmState.UP), {"state": 5}),
        (LocalVm(VmState.UP), [[]]),
        (LocalVm(VmState.UP), []),
        (LocalVm(VmState.UP), 7),
        (Memory(), {"since": "long ago"}),
        (Memory(), {"since": {"x": 1}}),
        (Memory(), {"alarms": [{}]}),
        (Memory(), {"sightings": {"one": []}}),
        (Memory(), {"sightings": {"1": {"since": 1.0}}}),
    ],
)
def test_what_no_release_writes_is_an_error(before: Any, patch: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        patched(before, patch, type(before))


def test_every_kind_names_the_parts_that_its_class_has() -> None:
    for kind, parts in PARTS.items():
        fields = getattr(kind, "_fields", None) or [each.name for each in kind.__attrs_attrs__]
        assert set(parts.__annotations__) == set(fields), kind
