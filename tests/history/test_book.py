"""Looks as bytes: what comes back, what today decides, and what can't be read."""

from __future__ import annotations

import json
import zlib
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.history.book import FORMAT, BookError, Recorded, Writer, end_of, outcome_text, read
from he_fsm.history.frames import KEY, LOOK, Damage, Frame, framed, unframed
from he_fsm.history.look import Decided, Look, Seen, Session
from he_fsm.policy import TALK
from he_fsm.snapshot import Readings
from he_fsm.step import step
from he_fsm.testing.strategies import Situation, situations
from he_fsm.tick import Facts, Identity
from tests.history.recordings import decided_today, recorded, ring_of

HOST_2 = recorded()["2"]


def looks_in(data: bytes, **options: Any) -> list[Recorded]:
    return [each for each in read(data, **options) if isinstance(each, Recorded)]


def text_of(frame: bytes) -> bytes:
    (found,) = unframed(frame)
    assert isinstance(found, Frame)
    return zlib.decompressobj().decompress(found.content)


def key_with(look: Look, **changes: Any) -> bytes:
    """Return a frame that stands by itself, with other values in what it says of itself."""
    frame = Writer(HOST_2[0][0]).frame(look)
    seen, _, decided = text_of(frame).partition(b"\n")
    plain = {**json.loads(seen), **changes}
    return framed(KEY, zlib.compress(json.dumps(plain).encode() + b"\n" + decided))


def test_every_look_comes_back_as_it_was() -> None:
    out = looks_in(ring_of(HOST_2))
    assert [(each.session, each.look) for each in out] == HOST_2
    assert [each.number for each in out] == list(range(1, len(HOST_2) + 1))


def test_today_decides_the_same_byte_for_byte() -> None:
    last = None
    for each in looks_in(ring_of(HOST_2)):
        seen = each.look.seen
        today = outcome_text(last, seen.before, decided_today(each.session, seen))
        assert today == outcome_text(last, seen.before, each.look.decided), each.number
        last = each.look
    asked = looks_in(ring_of(HOST_2), ask=decided_today)
    assert [each.number for each in asked if each.otherwise is not None] == []


def test_another_decision_is_named_and_what_follows_rests_on_what_was_decided_then() -> None:
    def never_starts(session: Session, seen: Seen) -> Decided:
        today = decided_today(session, seen)
        if today.edge == "best_host":
            return attrs.evolve(today, edge=None, memory=seen.before, effects=())
        return today

    out = looks_in(ring_of(HOST_2), ask=never_starts)
    other = [each for each in out if each.otherwise is not None]
    assert [each.look.decided.edge for each in other] == ["best_host"]
    assert [each.look for each in out] == [look for _, look in HOST_2]


@given(st.lists(situations(), min_size=1, max_size=4))
def test_whatever_hosts_see_comes_back(drawn: list[Situation]) -> None:
    host_id = drawn[0].snapshot.host_id
    session = Session(
        identity=Identity(host_id=host_id, hostname="h"), policy=TALK, program="x", boot="b"
    )
    looks = []
    for each in drawn:
        snapshot = each.snapshot
        facts = Facts(
            now=snapshot.now,
            wall_offset_s=0.1,
            readings=Readings.of(),
            vm=snapshot.vm,
            leases=snapshot.leases,
            local_maintenance=snapshot.local_maintenance,
            results=snapshot.results,
            boot_now=snapshot.boot_now,
        )
        seen = Seen(
            before=each.memory,
            facts=facts,
            own=snapshot.own,
            whiteboard=snapshot.whiteboard,
            score=1,
            score_why="ünlike, or no text at all: \udc80",
        )
        decided = Decided.of(step(each.memory, snapshot, each.policy))
        looks.append(Look(seen=seen, decided=decided, done_at=snapshot.now + 0.125))
    writer = Writer(session)
    out = looks_in(b"".join(map(writer.frame, looks)))
    assert [each.look for each in out] == looks


def test_a_torn_look_is_left_out_and_counted() -> None:
    ring = ring_of(HOST_2)
    out = list(read(ring[:-7]))
    assert [type(each) for each in out[-2:]] == [Recorded, Damage]
    assert len(out) == len(HOST_2)
    end = end_of(ring[:-7])
    assert (end.number, end.is_damaged) == (len(HOST_2) - 1, True)
    assert end_of(ring[: end.at]) == attrs.evolve(end, is_damaged=False)


def test_looks_that_were_lost_are_counted_in_the_next_one() -> None:
    writer = Writer(HOST_2[0][0], number=50)
    first = writer.frame(HOST_2[0][1])
    writer.lost = 7
    writer.begin_anew()
    out = looks_in(first + writer.frame(HOST_2[1][1]))
    assert [(each.number, each.lost) for each in out] == [(50, 0), (51, 7)]


def test_a_look_in_full_comes_often_enough_for_damage_to_cost_little() -> None:
    _, look = HOST_2[0]
    writer = Writer(HOST_2[0][0])
    data = b"".join(writer.frame(look) for _ in range(1500))
    kinds = [each.kind for each in unframed(data) if isinstance(each, Frame)]
    assert [number for number, kind in enumerate(kinds) if kind == KEY] == [0, 1024]


def test_a_name_that_a_later_release_adds_is_left_out() -> None:
    look = HOST_2[0][1]
    policy = {**attrs.asdict(HOST_2[0][0].policy), "colour": "red"}
    [out] = looks_in(key_with(look, policy=policy, colour="red"))
    assert out.look == look
    assert out.session.policy == HOST_2[0][0].policy


def test_a_memory_that_knows_more_today_is_no_other_decision() -> None:
    look = HOST_2[0][1]
    frame = Writer(HOST_2[0][0]).frame(look)
    seen, _, decided = text_of(frame).partition(b"\n")
    plain = json.loads(seen)
    del plain["before"][0]["draining_since"]
    older = framed(KEY, zlib.compress(json.dumps(plain).encode() + b"\n" + decided))

    def with_more(session: Session, seen: Seen) -> Decided:
        today = decided_today(session, seen)
        return attrs.evolve(today, memory=today.memory._replace(draining_since=5.0))

    [out] = looks_in(older, ask=with_more)
    assert out.otherwise is None
    [out] = looks_in(frame, ask=with_more)
    assert out.otherwise is not None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (framed(KEY, b"garbage"), "record 1 at byte 0: expected a look of format 1"),
        (framed(LOOK, zlib.compress(b"{}\n{}")), "record 1 at byte 0: expected a look"),
        (framed(KEY, zlib.compress(b"{}\n{}")), "record 1 at byte 0: expected a look"),
        (framed(KEY, zlib.compress(b"[" * 100_000)), "record 1 at byte 0: expected a look"),
        (framed(KEY, zlib.compress(b'{"format": NaN}\n{}')), "record 1 at byte 0: expected a look"),
        (framed(KEY, zlib.compress(bytes(2**27))), "more than 67108864 bytes"),
    ],
)
def test_what_is_no_look_is_named_with_its_record(data: bytes, says: str) -> None:
    with pytest.raises(BookError, match=says):
        list(read(data))


def test_a_later_format_is_named_as_one() -> None:
    data = key_with(HOST_2[0][1], format=FORMAT + 1)
    with pytest.raises(BookError, match="format 2 is of a later release; this one reads formats"):
        list(read(data))


def test_a_policy_that_can_not_be_is_an_error_of_its_record() -> None:
    policy = {**attrs.asdict(HOST_2[0][0].policy), "loop_s": -1.0}
    with pytest.raises(BookError, match="record 1 at byte 0"):
        list(read(key_with(HOST_2[0][1], policy=policy)))
