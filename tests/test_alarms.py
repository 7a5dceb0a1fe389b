"""Alarms: what stays wrong is told again and again, ever more rarely, by one host, with its end."""

from __future__ import annotations

from typing import Any, Optional

import attrs
import pytest

from he_fsm import Health, LeaseView, Memory, Snapshot, State, Step, VmState, step
from he_fsm.alarms import MEANING
from he_fsm.effects import Alarm
from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.record import ProblemWord, SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.remembered import FailedStarts, Moves, RaisedAlarm, VmWatch
from he_fsm.snapshot import OwnerState
from he_fsm.testing.scenes import NOW, Scene, alarms_of, around, record, sighting

LOOP_S = 10.0
GOOD = VmWatch(since=NOW - 3000, was_good=True)
DOWN = Scene(state=State.ENGINE_DOWN, own_score=0, scores={2: 0, 3: 0})
UP = Scene(state=State.ENGINE_UP, vm=VmState.UP, health=Health.GOOD, watch=GOOD)
HANDS_OFF = Scene(
    state=State.GLOBAL_MAINTENANCE,
    global_maintenance=True,
    remembered_global=True,
    moves=Moves(seen_on=1),
)
DOOMED = LeaseView(doomed_until=NOW + 2000, doom="sanlock has ended")
MENDED = DOWN.but(engine_on=2)
# Host 4 renews its leases, and its agent writes nothing.
SILENT = Scene(state=State.ENGINE_DOWN, leases=LeaseView(owner=4, owner_state=OwnerState.LIVE))

# What is wrong, and for how long it has to last until people are told.
CASES: dict[str, tuple[Scene, float]] = {
    "slot-0": (UP.but(global_maintenance=None), 0.0),
    "engine-down": (DOWN, 10.0),
    "unwatched": (SILENT, 60.0),
    "hands-off": (HANDS_OFF, 0.0),
    "bad-endings": (MENDED.but(failed=FailedStarts(count=3, last_at=NOW - 900)), 0.0),
    "drain": (UP.but(own_score=0, scores={2: 0}, local_maintenance=True), 120.0),
    "blind": (Scene(state=State.UNKNOWN, can_read=False), 60.0),
    "doom": (MENDED.but(leases=DOOMED), 0.0),
    "sanlock-times": (UP.but(leases=LeaseView(watchdog_s=10.0)), 0.0),
    "watchdogs": (UP.but(told_s={2: 10.0}), 60.0),
    "health-unknown": (UP.but(health=Health.UNKNOWN), 300.0),
}
# What only somebody's command can end, and that command.
ENDS = {
    "engine-down": "mend what costs a host its score (he-fsm status says what)",
    "unwatched": "start he-fsm-agent on host 4, or power that host off",
    "hands-off": "he-fsm maintenance global --off",
    "drain": "he-fsm maintenance local --off",
}
cases = pytest.mark.parametrize("name", sorted(CASES))


def with_slot_0(snapshot: Snapshot, problem: Optional[SlotProblem]) -> Snapshot:
    board = snapshot.whiteboard
    assert board is not None
    return attrs.evolve(
        snapshot, whiteboard=Whiteboard(GlobalBlock(None, problem), dict(board.slots))
    )


def look(memory: Memory, scene: Scene, now: float) -> Step:
    """Look once; the others' records have grown since."""
    snapshot = scene.snapshot(now)
    if snapshot.whiteboard is not None:
        board = snapshot.whiteboard
        slots = {
            host_id: attrs.evolve(content, timestamp=int(now))
            for host_id, content in board.records.items()
        }
        snapshot = attrs.evolve(snapshot, whiteboard=attrs.evolve(board, slots=slots))
    return step(memory, snapshot, scene.policy)


def told_at(scene: Scene, name: str, until_s: float, every_s: float = LOOP_S) -> list[float]:
    """Return when people are told of an alarm while nothing changes, in seconds from `NOW`."""
    memory, found, now = scene.memory(), [], NOW
    while now <= NOW + until_s:
        decision = look(memory, scene, now)
        memory = decision.memory
        if name in alarms_of(decision):
            found.append(now - NOW)
        if decision.edge is None:
            now += every_s
    return found


def test_every_alarm_is_tried_here() -> None:
    assert set(CASES) == set(MEANING)


@cases
def test_what_is_wrong_is_told_when_it_has_lasted_for_long_enough(name: str) -> None:
    scene, after_s = CASES[name]
    assert told_at(scene, name, after_s + 50, every_s=2.5) == [after_s]


@cases
def test_a_look_wakes_for_the_moment_at_which_people_are_to_be_told(name: str) -> None:
    scene, after_s = CASES[name]
    first = look(scene.memory(), scene, NOW)
    if after_s:
        assert first.effects == ()
        assert first.wake_at <= NOW + after_s
    else:
        assert alarms_of(first) == [name]
        assert first.wake_at <= NOW + scene.policy.alarm_repeat_s


def test_an_alarm_that_goes_on_is_told_ever_more_rarely_up_to_a_day_apart() -> None:
    times = told_at(CASES["hands-off"][0], "hands-off", 5 * 86_400, every_s=100.0)
    pauses = [after - before for before, after in zip(times, times[1:])]
    assert pauses == [600, 1200, 2400, 4800, 9600, 19200, 38400, 76800, 86400, 86400, 86400]


@cases
def test_an_alarm_says_what_is_wrong_and_with_which_command_it_ends(name: str) -> None:
    scene, after_s = CASES[name]
    memory, now = scene.memory(), NOW
    for now in (NOW, NOW + after_s):
        decision = look(memory, scene, now)
        memory = decision.memory
    (alarm,) = decision.alarms
    assert alarm.name == name
    assert alarm.text
    assert ENDS.get(name, "") in alarm.text


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(
            SILENT.but(leases=LeaseView(owner=4, free_at=NOW + 70)), id="the host is dying"
        ),
        pytest.param(SILENT.but(leases=LeaseView(owner=2)), id="the agent writes"),
        pytest.param(
            SILENT.but(
                state=State.GLOBAL_MAINTENANCE, global_maintenance=True, remembered_global=True
            ),
            id="all are to keep their hands off",
        ),
    ],
)
def test_an_engine_is_unwatched_only_where_its_host_lives_and_its_agent_is_silent(
    scene: Scene,
) -> None:
    assert told_at(scene, "unwatched", 65.0) == []


def test_an_agent_that_said_that_it_stops_leaves_no_engine_unwatched() -> None:
    memory = SILENT.memory()
    said = sighting(record(4, 0)._replace(stopped=True), grew_at=NOW - 600)
    memory = memory._replace(sightings={**memory.sightings, 4: said})
    for after_s in (0.0, 60.0, 120.0):
        decision = look(memory, SILENT, NOW + after_s)
        memory = decision.memory
        assert "unwatched" not in alarms_of(decision)


def test_local_maintenance_of_all_hosts_is_named_with_the_host_on_which_to_end_it() -> None:
    scene = DOWN.but(state=State.LOCAL_MAINTENANCE, scores={}, local_maintenance=True)
    snapshot = scene.snapshot(NOW + 10)
    own = attrs.evolve(snapshot.own, local_maintenance=True)
    first = look(scene.memory(), scene, NOW)
    decision = step(first.memory, attrs.evolve(snapshot, own=own), scene.policy)
    (alarm,) = decision.alarms
    assert "host 1 is in local maintenance" in alarm.text
    assert alarm.text.endswith("To end it: he-fsm maintenance local --off, on host 1")


@pytest.mark.parametrize(
    ("remembered", "says"),
    [
        (None, "no host knows its value: all act as in global maintenance"),
        (True, "global maintenance is taken as on, and slot 0 is written again"),
        (False, "global maintenance is taken as off, and slot 0 is written again"),
    ],
)
def test_a_damaged_slot_0_is_told_with_what_follows_from_it(
    remembered: Optional[bool], says: str
) -> None:
    state = State.ENGINE_DOWN if remembered is False else State.GLOBAL_MAINTENANCE
    scene = MENDED.but(state=state, remembered_global=remembered)
    damage = SlotProblem(host_id=0, word=ProblemWord.GARBAGE, detail="damaged by this test")
    decision = step(scene.memory(), with_slot_0(scene.snapshot(), damage), scene.policy)
    (alarm,) = decision.alarms
    assert alarm.name == "slot-0"
    assert says in alarm.text


@pytest.mark.parametrize("name", sorted(set(CASES) - {"blind"}))
@pytest.mark.parametrize("was_told", [True, False])
def test_the_end_of_what_was_told_is_told_once(name: str, was_told: bool) -> None:
    raised = RaisedAlarm(
        name=name, since=NOW - 100, told=int(was_told), next_at=NOW + 500, is_open=was_told
    )
    well = UP.but(alarms=(raised,), moves=Moves(seen_on=2))
    if name == "hands-off":
        well = well.but(
            state=State.GLOBAL_MAINTENANCE, global_maintenance=True, remembered_global=True
        )
    over = well.step()
    assert alarms_of(over) == ([f"{name} over"] if was_told else [])
    again = look(over.memory, well, NOW + 1)
    assert alarms_of(again) == []
    assert again.alarms == ()


def test_an_alarm_that_comes_and_goes_grows_rare_as_well() -> None:
    """A day in which the engine runs nowhere for a minute in every ten."""
    busy = DOWN.but(leases=LeaseView(owner=3, owner_state=OwnerState.LIVE))
    memory, told, now = DOWN.memory(), [], NOW
    while now < NOW + 86_400:
        is_down = (now - NOW) % 600 < 60
        decision = look(memory, DOWN if is_down else busy, now)
        memory = decision.memory
        told += [now for name in alarms_of(decision) if name == "engine-down"]
        now += LOOP_S
    assert 5 <= len(told) <= 10


def test_an_alarm_that_is_raised_again_long_after_its_end_is_a_new_one() -> None:
    long_ago = RaisedAlarm(
        name="engine-down", since=NOW - 90_000, told=5, next_at=NOW - 80_000, ended_at=NOW - 79_000
    )
    calm = look(MENDED.but(alarms=(long_ago,)).memory(), MENDED, NOW)
    assert calm.memory.alarms == ()


def test_bad_endings_are_told_again_only_when_there_was_another() -> None:
    failed = FailedStarts(count=3, last_at=NOW)
    scene = MENDED.but(failed=failed)
    assert told_at(scene, "bad-endings", 7000) == [0]
    memory, told, now = scene.memory(), [], NOW
    while now <= NOW + 7000:
        if now == NOW + 2000:
            memory = memory._replace(failed=FailedStarts(count=4, last_at=now))
        decision = look(memory, scene, now)
        memory = decision.memory
        told += [now - NOW for name in alarms_of(decision) if name == "bad-endings"]
        if decision.edge is None:
            now += LOOP_S
    assert told == [0, 2000]


@around
def test_blindness_is_told_after_a_minute_and_takes_back_nothing_that_was_told(
    late_s: float, is_due: bool
) -> None:
    raised = tuple(
        RaisedAlarm(name=name, since=NOW - 900, told=2, next_at=NOW + 900, is_open=True)
        for name in ("engine-down", "bad-endings", "doom", "health-unknown")
    )
    blind = Scene(state=State.UNKNOWN, can_read=False, alarms=raised)
    begun = blind.step()
    assert alarms_of(begun) == []
    assert [alarm.name for alarm in begun.alarms] == [alarm.name for alarm in raised]
    later = step(begun.memory, blind.snapshot(NOW + 60 + late_s), blind.policy)
    assert alarms_of(later) == (["blind"] if is_due else [])


def test_a_host_in_maintenance_whose_storage_was_taken_away_says_nothing_of_others() -> None:
    """It sees no engine and no lease, which says nothing about where they are."""
    scene = DOWN.but(state=State.LOCAL_MAINTENANCE, local_maintenance=True, can_read=False)
    assert told_at(scene, "engine-down", 600) == []
    assert told_at(scene.but(leases=None, can_read=True), "engine-down", 600) == []


def test_doom_is_told_by_a_host_that_can_see_nothing_else() -> None:
    doomed = LeaseView(joined=False, doomed_until=NOW + 50, doom="sanlock has ended")
    decision = Scene(state=State.UNKNOWN, leases=doomed).step()
    assert alarms_of(decision) == ["doom"]
    assert decision.alarms[0].text == (
        "sanlock has ended; within 50 s. Nothing is started here until then"
    )


@pytest.mark.parametrize(
    "facts",
    [
        {"engine_on": 2},
        {"leases": LeaseView(owner=3, owner_state=OwnerState.LIVE)},
        {"leases": LeaseView(owner=3, owner_state=OwnerState.FAILING, free_at=NOW + 9000)},
        {"scores": {2: 1, 3: 0}},
        {"own_score": 2400, "began_at": NOW},
    ],
    ids=str,
)
def test_an_engine_that_runs_or_that_somebody_may_start_is_no_alarm(facts: dict[str, Any]) -> None:
    assert alarms_of(look(DOWN.but(**facts).memory(), DOWN.but(**facts), NOW)) == []
    assert told_at(DOWN.but(**facts), "engine-down", 15, every_s=5.0) == []


def test_hands_off_is_not_deaf_when_the_vm_dies_in_the_administrators_hands() -> None:
    running = HANDS_OFF.but(vm=VmState.UP, health=Health.GOOD, watch=GOOD)
    before = look(running.memory(), running, NOW)
    assert before.effects == ()
    (alarm,) = look(before.memory, HANDS_OFF, NOW + LOOP_S).effects
    assert isinstance(alarm, Alarm)
    assert alarm.text == (
        "the engine runs nowhere and nobody starts it: global maintenance is set. "
        "To end it: he-fsm maintenance global --off"
    )


def test_a_cluster_in_maintenance_whose_engine_was_never_seen_is_not_reported() -> None:
    """So it is set up: the engine is yet to be made."""
    assert HANDS_OFF.but(moves=Moves()).step().effects == ()
