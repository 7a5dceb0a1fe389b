"""What a crowd answers is what its members say one by one."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from he_fsm import TALK, EngineStatus, HostRecord
from he_fsm.crowd import Crowd, CrowdSightings, CrowdSlots, unlike_the_crowd
from he_fsm.liveness import NEVER, look, who_is_alive
from he_fsm.memory import Sighting
from he_fsm.metadata.record import ProblemWord, SlotProblem
from he_fsm.placement import placement
from he_fsm.watchdogs import others_unlike

OWN_ID = 3
ENGINES = (
    EngineStatus("down", "bad", "unknown", "vm not running on this host"),
    EngineStatus("up", "good", "Up"),
    EngineStatus("up", "bad", "Paused"),
    EngineStatus("down", "bad", "WaitForLaunch"),
    EngineStatus("down", "bad", "Frozen"),
    EngineStatus("unknown", "unknown", "unknown"),
)
NOW = 1000.0


@st.composite
def records(draw: st.DrawFn, host_id: int, *, stops: bool = True) -> HostRecord:
    return HostRecord(
        host_id=host_id,
        timestamp=draw(st.integers(1, 5)),
        score=draw(st.sampled_from([0, 1000, 2400, 99_999])),
        engine=draw(st.sampled_from(ENGINES)),
        hostname=f"host{host_id}",
        stopped=stops and draw(st.booleans()),
        watchdog_s=draw(st.sampled_from([None, 60.0, 90.0])),
    )


@st.composite
def exceptions(draw: st.DrawFn, host_id: int) -> Sighting:
    record = draw(st.none() | records(host_id))
    content = draw(st.sampled_from([record, None]))
    problem = draw(st.sampled_from([None, ProblemWord.CRC]))
    timestamp = None if record is None else record.timestamp
    grew_at = draw(st.sampled_from([None, NOW, NOW - 59.5, NOW - 100]))
    return Sighting(content, timestamp, grew_at, NOW - 40, record, problem)


def ever_growing(record: HostRecord) -> Sighting:
    return Sighting(record, record.timestamp, NEVER, 0.0, record, None)


@st.composite
def crowds(draw: st.DrawFn) -> CrowdSightings:
    ids = draw(st.sets(st.integers(1, 12), min_size=1))
    crowd = Crowd.of({i: ever_growing(draw(records(i, stops=False))) for i in sorted(ids)})
    # What is known of a crowd that has changed is what is known of one that was so at once.
    for host_id in draw(st.sets(st.integers(1, 13), max_size=4)):
        crowd = crowd.changed({host_id: ever_growing(draw(records(host_id, stops=False)))})
    if len(crowd.ids) > 1 and draw(st.booleans()):
        crowd = crowd.without(min(crowd.ids))
    strangers = draw(st.sets(st.integers(1, 15).filter(lambda i: i != OWN_ID), max_size=4))
    others = {i: draw(exceptions(i)) for i in sorted(strangers)}
    return CrowdSightings(crowd, others, OWN_ID)


@given(seen=crowds())
def test_it_is_the_mapping_that_it_stands_for(seen: CrowdSightings) -> None:
    plain = {**seen.crowd.sightings, **seen.others}
    plain.pop(OWN_ID, None)
    assert dict(seen) == plain
    assert len(seen) == len(plain)
    assert [i for i in range(20) if i in seen] == sorted(plain)


@given(seen=crowds(), dead=st.frozensets(st.integers(1, 15), max_size=3))
def test_those_live_in_it_that_live_one_by_one(seen: CrowdSightings, dead: frozenset[int]) -> None:
    assert who_is_alive(seen, OWN_ID, NOW, 60.0, dead) == who_is_alive(
        dict(seen), OWN_ID, NOW, 60.0, dead
    )


@given(seen=crowds(), data=st.data(), dead=st.frozensets(st.integers(1, 15), max_size=3))
def test_the_engine_is_placed_as_by_each_record(
    seen: CrowdSightings, data: st.DataObject, dead: frozenset[int]
) -> None:
    own = data.draw(st.none() | records(OWN_ID) | st.just(seen.crowd.records.get(OWN_ID)))
    found = who_is_alive(seen, OWN_ID, NOW, 60.0, dead)
    plain = {i: each.record for i, each in seen.items() if each.record is not None}
    if own is not None:
        plain[OWN_ID] = own
    expected = placement(plain, found.alive, TALK, found.pending)
    for _ in range(2):
        assert seen.placement(own, found.alive, found.pending, TALK) == expected


@given(seen=crowds())
def test_watchdogs_and_problems_are_found_as_one_by_one(seen: CrowdSightings) -> None:
    assert others_unlike(seen, TALK) == others_unlike(dict(seen), TALK)
    odd = unlike_the_crowd(seen)
    assert all(
        each.problem is None and not each.is_newer for i, each in seen.items() if i not in odd
    )


@given(seen=crowds(), data=st.data())
def test_a_look_sees_what_it_would_see_of_each(seen: CrowdSightings, data: st.DataObject) -> None:
    shown: dict[int, HostRecord | SlotProblem | None] = {}
    for host_id in sorted({*seen.others, *data.draw(st.sets(st.integers(1, 15), max_size=4))}):
        broken = SlotProblem(host_id=host_id, word=ProblemWord.CRC, detail="crc")
        shown[host_id] = data.draw(st.none() | st.just(broken) | records(host_id))
    slots = CrowdSlots(seen.crowd, shown)
    before: Mapping[int, Sighting] = dict(seen)
    expected = look(before, dict(slots), OWN_ID, NOW, first=False)
    found = look(seen, slots, OWN_ID, NOW, first=False)
    assert dict(found) == dict(expected)
    assert (found is seen) == (expected is before)
