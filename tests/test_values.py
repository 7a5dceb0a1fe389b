"""What all values promise, in the plain build and in the compiled one, where they are native."""

from __future__ import annotations

import copy
import inspect
import pickle
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
    VmState,
    step,
)
from he_fsm.effects import MigrateVm, Notify, StartVm
from he_fsm.liveness import Liveness
from he_fsm.memory import FailedStarts, Moves, Sighting, VmWatch
from he_fsm.metadata.record import ProblemWord, SlotProblem
from he_fsm.metadata.whiteboard import GlobalBlock, Whiteboard
from he_fsm.report.events import Event
from he_fsm.report.truth import Change
from he_fsm.score import Score, ScorePart
from he_fsm.snapshot import Outcome, Reading, Readings, Result
from he_fsm.tick import Facts, Identity

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
    *(UP, RECORD, PROBLEM, VM, LEASES, MEMORY, READINGS, READINGS.gateway, SNAPSHOT, TALK),
    *(FailedStarts(count=2, last_at=5.0), Moves(target=3, failures=1), MEMORY.vm),
    *(Placement(None, (1, 2), 2400, (), (1, 2)), Result(Outcome.START_REFUSED, "held")),
    *(StartVm(), MigrateVm(target=2), Notify("subject"), GlobalBlock(maintenance=True)),
    Whiteboard(GlobalBlock(maintenance=False), {1: RECORD, 2: PROBLEM}),
    *(Event(1.0, "1", "vm", {"text": "gone"}), Change(1.0, "lease", None, "held")),
    Score(2400, (ScorePart("gateway", 1000, 1000, "up"),)),
    Identity(host_id=1, hostname="host1"),
    Facts(now=2.0, wall_offset_s=1e9, readings=READINGS, vm=VM, leases=None),
]
TUPLES: list[Any] = [
    *(SEEN, Liveness(frozenset((1,)), frozenset(), 60.0), ScorePart("gateway", 0, 1000, "down")),
    step(MEMORY, SNAPSHOT, TALK),
]
VALUES = [pytest.param(each, id=type(each).__name__) for each in (*ATTRS, *TUPLES)]
# Those with mappings in them have none, and a decision has a row of the table, whose parts are
# functions.
UNHASHABLE = (Memory, Whiteboard, Event)


def fields_of(value: Any) -> dict[str, Any]:
    names = list(inspect.signature(type(value)).parameters)
    return {name: getattr(value, name) for name in names}


@pytest.mark.parametrize("value", VALUES)
def test_values_with_the_same_parts_are_equal(value: Any) -> None:
    again = type(value)(**fields_of(value))
    assert again is not value
    assert again == value
    assert value != object()


@pytest.mark.parametrize("value", [each for each in ATTRS if not isinstance(each, UNHASHABLE)])
def test_equal_values_have_one_hash(value: Any) -> None:
    assert hash(type(value)(**fields_of(value))) == hash(value)


def another(part: Any) -> Any:
    """Give another part of the same type; None where there is no simple one."""
    if isinstance(part, bool):
        return not part
    if isinstance(part, (int, float)):
        return part + 1
    return part + "!" if type(part) is str else None


@pytest.mark.parametrize("value", [each for each in ATTRS if each is not TALK])
def test_a_value_with_another_part_is_another(value: Any) -> None:
    for name, part in fields_of(value).items():
        instead = another(part)
        if instead is not None and name != "text":
            changed = attrs.evolve(value, **{name: instead})
            assert changed != value
            assert fields_of(changed) == {**fields_of(value), name: instead}


def test_text_for_people_makes_no_other_record() -> None:
    assert attrs.evolve(RECORD, text="for people") == RECORD


@pytest.mark.parametrize("value", VALUES)
def test_nobody_changes_a_value(value: Any) -> None:
    before = fields_of(value)
    for name in before or ("anything",):
        with pytest.raises(AttributeError):
            setattr(value, name, None)
    assert fields_of(value) == before


@pytest.mark.parametrize(
    "value", [each for each in (*ATTRS, *TUPLES) if not hasattr(each, "idle_until")]
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


@pytest.mark.parametrize("value", ATTRS)
def test_attrs_knows_the_parts_of_its_values(value: Any) -> None:
    known = attrs.fields(type(value))
    assert [each.name for each in known] == list(inspect.signature(type(value)).parameters)
    assert list(attrs.asdict(value, recurse=False)) == [each.name for each in known]


def test_named_tuples_can_be_taken_apart_and_changed() -> None:
    alive, pending, changes_at = Liveness(frozenset((1,)), frozenset((2,)), 60.0)
    assert (alive, pending, changes_at) == ({1}, {2}, 60.0)
    assert SEEN._replace(since=2.0).since == 2.0
    assert SEEN._asdict()["timestamp"] == 7
