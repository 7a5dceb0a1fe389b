"""What all values promise, in the plain build and in the compiled one, where they are native."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest

from he_fsm import (
    TALK,
    EngineStatus,
    Health,
    HostRecord,
    LeaseView,
    LocalVm,
    Memory,
    OwnerState,
    Placement,
    Snapshot,
    State,
    Step,
    VmState,
    step,
)
from he_fsm.effects import MigrateVm, Notify, StartVm
from he_fsm.liveness import Liveness
from he_fsm.memory import Sighting
from he_fsm.metadata.record import ProblemWord, SlotProblem
from he_fsm.metadata.whiteboard import GlobalBlock, Whiteboard
from he_fsm.remembered import FailedStarts, Moves, RaisedAlarm, VmWatch
from he_fsm.report.events import Event
from he_fsm.report.truth import Change
from he_fsm.score import Score, ScorePart
from he_fsm.snapshot import Outcome, Reading, Readings, Result
from he_fsm.tick import Facts, Identity
from he_fsm.value import Value

UP = EngineStatus("up", "good", "Up")
RECORD = HostRecord(host_id=1, timestamp=7, score=2400, engine=UP, hostname="host1")
PROBLEM = SlotProblem(host_id=2, word=ProblemWord.CRC, detail="the checksum is wrong")
SEEN = Sighting(RECORD, 7, 12.5, 1.0, RECORD, None)
VM = LocalVm(VmState.UP, Health.GOOD)
LEASES = LeaseView(owner=1, owner_state=OwnerState.LIVE, dead_hosts=frozenset((3,)))
MEMORY = Memory(state=State.ENGINE_UP, since=3.0, sightings={1: SEEN}, vm=VmWatch(since=3.0))
FULL = Reading(1.0)
READINGS = Readings(
    gateway=FULL, bridge=FULL, mem_free=Reading(None, 4.0), cpu_load=FULL, mem_load=FULL
)
SNAPSHOT = Snapshot(now=20.0, host_id=2, vm=VM, own=RECORD, leases=LEASES)
ATTRS: list[Any] = [
    *(READINGS, READINGS.gateway, TALK),
    Result(Outcome.START_REFUSED, "held"),
    *(StartVm(), MigrateVm(target=2), Notify("subject"), GlobalBlock(maintenance=True)),
    *(Event(1.0, "1", "vm", {"text": "gone"}), Change(1.0, "lease", None, "held")),
    Score(2400, (ScorePart("gateway", 1000, 1000, "up"),)),
    Identity(host_id=1, hostname="host1"),
]
MADE_OFTEN: list[Value] = [
    *(FailedStarts(count=2, last_at=5.0), Moves(target=3, failures=1), VmWatch(since=3.0)),
    RaisedAlarm(name="drain", since=3.0, told=1, next_at=9.0),
    *(UP, RECORD, PROBLEM, VM, LEASES, SEEN, SNAPSHOT, MEMORY),
    Whiteboard(GlobalBlock(maintenance=False), {1: RECORD, 2: PROBLEM}),
    *(Placement(None, (1, 2), 2400, (), (1, 2)), Liveness(frozenset((1,)), frozenset(), 60.0)),
    Facts(now=2.0, wall_offset_s=1e9, readings=READINGS, vm=VM, leases=None),
    step(MEMORY, SNAPSHOT, TALK),
]
VALUES = [pytest.param(each, id=type(each).__name__) for each in (*ATTRS, *MADE_OFTEN)]
# Those with mappings in them have none, and a decision has a row of the table, whose parts are
# functions.
UNHASHABLE = (Whiteboard, Event, Memory, Step)


def fields_of(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in attrs.fields(type(value))}


@pytest.mark.parametrize("value", VALUES)
def test_values_with_the_same_parts_are_equal(value: Any) -> None:
    again = type(value)(**fields_of(value))
    assert again is not value
    assert again == value
    assert value != object()


@pytest.mark.parametrize(
    "value", [each for each in (*ATTRS, *MADE_OFTEN) if not isinstance(each, UNHASHABLE)]
)
def test_equal_values_have_one_hash(value: Any) -> None:
    assert hash(type(value)(**fields_of(value))) == hash(value)


def another(part: Any) -> Any:
    """Return another part of the same type; None where there is no simple one."""
    if isinstance(part, bool):
        return not part
    if isinstance(part, (int, float)):
        return part + 1
    return part + "!" if type(part) is str else None


@pytest.mark.parametrize("value", [each for each in (*ATTRS, *MADE_OFTEN) if each is not TALK])
def test_a_value_with_another_part_is_another(value: Any) -> None:
    for name, part in fields_of(value).items():
        instead = another(part)
        if instead is not None and name != "text":
            changed = attrs.evolve(value, **{name: instead})
            assert changed != value
            assert fields_of(changed) == {**fields_of(value), name: instead}


def test_text_for_people_makes_no_other_record() -> None:
    assert attrs.evolve(RECORD, text="for people") == RECORD


@pytest.mark.parametrize("value", ATTRS)
def test_nobody_changes_a_value(value: Any) -> None:
    before = fields_of(value)
    for name in before or ("anything",):
        with pytest.raises(AttributeError):
            setattr(value, name, None)
    assert fields_of(value) == before


@pytest.mark.once
@pytest.mark.interpreted
def test_mypy_lets_nobody_change_what_is_made_with_every_look(tmp_path: Path) -> None:
    """Nothing refuses it when it runs: an `__init__` that may set its parts is twice as fast."""
    mypy = pytest.importorskip("mypy.api")
    lines, changes = [], 0
    for kind in map(type, MADE_OFTEN):
        lines += [f"from {kind.__module__} import {kind.__name__}"]
        lines += [f"def change_{kind.__name__}(value: {kind.__name__}) -> None:"]
        names = [each.name for each in attrs.fields(kind)]
        lines += [f"    value.{name} = value.{name}" for name in names]
        changes += len(names)
    (tmp_path / "changes.py").write_text("\n".join(lines), encoding="utf-8")
    said, *_ = mypy.run(["--config-file=", "--follow-imports=silent", str(tmp_path / "changes.py")])
    assert said.count("Cannot assign to final attribute") == changes, said


@pytest.mark.parametrize("value", MADE_OFTEN)
def test_what_is_made_with_every_look_has_no_other_parts(value: Any) -> None:
    with pytest.raises(AttributeError):
        value.another = None


@pytest.mark.parametrize(
    "value", [each for each in (*ATTRS, *MADE_OFTEN) if not hasattr(each, "idle_until")]
)
def test_a_value_is_the_same_in_another_process(value: Any) -> None:
    for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):  # noqa: S301
        assert again == value
        assert repr(again) == repr(value)


@pytest.mark.parametrize("value", VALUES)
def test_a_value_shows_its_parts(value: Any) -> None:
    shown = [name for name in fields_of(value) if (type(value), name) != (HostRecord, "text")]
    parts = ", ".join(f"{name}={getattr(value, name)!r}" for name in shown)
    assert repr(value) == f"{type(value).__name__}({parts})"


@pytest.mark.parametrize("value", VALUES)
def test_attrs_knows_the_parts_of_its_values(value: Any) -> None:
    known = [each.name for each in attrs.fields(type(value))]
    assert list(attrs.asdict(value, recurse=False)) == known
    if os.environ.get("HE_FSM_COMPILED") != "1":
        assert list(inspect.signature(type(value)).parameters) == known


def test_what_is_made_with_every_look_can_be_taken_apart_and_changed() -> None:
    alive, pending, changes_at = Liveness(frozenset((1,)), frozenset((2,)), 60.0)
    assert (alive, pending, changes_at) == ({1}, {2}, 60.0)
    assert SEEN._replace(since=2.0).since == 2.0
    assert SEEN._asdict()["timestamp"] == 7
    with pytest.raises(TypeError):
        SEEN._replace(no_such_part=1)
