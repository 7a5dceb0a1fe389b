"""Who lives: the growth of timestamps on this host's own clock, and nothing else."""

from __future__ import annotations

import copy
from typing import Any, Optional

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.liveness import NEVER, Sightings, Slots, grow_no_older, look, who_is_alive
from he_fsm.memory import Sighting
from he_fsm.metadata.record import HostRecord, ProblemWord, SlotProblem
from he_fsm.testing.scenes import NOW, around, newer_release, record, sighting
from he_fsm.testing.strategies import Situation, situations

DEAD_AFTER_S = 60.0


def at(timestamp: int, host_id: int = 2) -> HostRecord:
    return record(host_id, timestamp=timestamp)


def damaged(word: ProblemWord = ProblemWord.CRC, host_id: int = 2) -> SlotProblem:
    return SlotProblem(host_id=host_id, word=word, detail="damaged by this test")


def watch(*contents: Any, first: bool = False, then_s: float = 10.0) -> Sightings:
    """Look at what host 2's slot holds, one after another, ending at `NOW`; None: it is empty."""
    sightings: Sightings = {}
    for number, content in enumerate(contents):
        now = NOW - then_s * (len(contents) - 1 - number)
        slots = {} if content is None else {2: content}
        is_first = first and number == 0
        sightings = look(sightings, slots, 1, now, first=is_first)
    return sightings


def alive(
    sightings: Sightings, now: float = NOW, dead_hosts: frozenset[int] = frozenset()
) -> tuple[list[int], list[int]]:
    liveness = who_is_alive(sightings, 1, now, DEAD_AFTER_S, dead_hosts)
    return sorted(liveness.alive), sorted(liveness.pending)


def test_a_record_that_grows_is_a_living_host() -> None:
    assert alive(watch(at(1), at(2), first=True)) == ([1, 2], [])


def test_a_record_that_was_there_at_the_first_look_proves_nothing() -> None:
    assert alive(watch(at(1), at(1), first=True)) == ([1], [2])


def test_a_record_that_changes_within_its_second_is_believed_and_is_no_sign_of_life() -> None:
    now_blocked = attrs.evolve(at(2), score=0)
    sightings = watch(at(1), at(2), now_blocked, first=True)
    assert sightings[2].record == sightings[2].content == now_blocked
    assert sightings[2].grew_at == NOW - 10


def test_a_slot_that_fills_while_this_host_looks_is_news() -> None:
    assert alive(watch(None, at(1))) == ([1, 2], [])


def test_a_slot_whose_damage_ends_in_its_first_record_is_no_news() -> None:
    assert alive(watch(damaged(), at(1))) == ([1], [2])
    assert alive(watch(damaged(), at(1), at(2))) == ([1, 2], [])


def test_this_host_is_alive_and_does_not_watch_its_own_slot() -> None:
    sightings = look({}, {1: at(5, host_id=1)}, 1, NOW, first=True)
    assert sightings == {}
    assert alive(sightings) == ([1], [])


@around
def test_a_host_is_dead_when_its_silence_was_long_enough(late_s: float, is_due: bool) -> None:
    sightings = {2: sighting(at(5), grew_at=NOW)}
    now = NOW + DEAD_AFTER_S + late_s
    assert alive(sightings, now) == ([1] if is_due else [1, 2], [])


@around
def test_a_host_that_was_never_seen_to_grow_is_pending_as_long(late_s: float, is_due: bool) -> None:
    sightings = {2: sighting(at(5), grew_at=None, since=NOW)}
    now = NOW + DEAD_AFTER_S + late_s
    assert alive(sightings, now) == ([1], [] if is_due else [2])


def test_the_next_change_by_silence_alone_is_told() -> None:
    sightings = {
        2: sighting(at(5, 2), grew_at=NOW - 20),
        3: sighting(at(5, 3), grew_at=None, since=NOW - 30),
        4: sighting(at(5, 4), grew_at=NOW - 70),
    }
    assert who_is_alive(sightings, 1, NOW, DEAD_AFTER_S, frozenset()).changes_at == NOW + 30
    assert who_is_alive({}, 1, NOW, DEAD_AFTER_S, frozenset()).changes_at == NEVER


def test_a_timestamp_that_goes_backwards_is_a_new_baseline_and_no_sign_of_life() -> None:
    sightings = watch(at(50), at(40), first=True)
    assert alive(sightings) == ([1], [2])
    assert sightings[2].problem is ProblemWord.REPLAYED
    assert sightings[2].record == at(50)
    assert sightings[2].since == NOW - 10


def test_a_host_that_has_booted_is_alive_when_its_new_timestamp_grows() -> None:
    sightings = watch(at(50), at(3), at(4), first=True)
    assert alive(sightings) == ([1, 2], [])
    assert sightings[2].problem is None
    assert sightings[2].record == at(4)


def test_an_old_block_and_the_last_believed_one_again_are_no_sign_of_life() -> None:
    sightings = watch(at(50), at(40), at(50), first=True)
    assert alive(sightings) == ([1], [2])
    assert sightings[2].problem is None


def test_after_a_replayed_block_growth_beyond_the_last_believed_record_is_life() -> None:
    assert alive(watch(at(50), at(40), at(50), at(51), first=True)) == ([1, 2], [])


def test_old_blocks_that_are_shown_in_rising_order_bring_nobody_back_to_life() -> None:
    """Host 2 died at its record 200, and is silent for 90 s; then the storage shows old blocks."""
    sightings: Sightings = {}
    shown = [(0, 80), (10, 100), (60, 150), (110, 200), (200, 100), (210, 150), (220, 180)]
    for now, timestamp in shown:
        sightings = look(sightings, {2: at(timestamp)}, 1, float(now), first=now == 0)
        assert alive(sightings, float(now)) == (([1], [2]) if now == 0 else ALIVE[now < 200])
    assert sightings[2].record == at(200)
    assert sightings[2].problem is ProblemWord.REPLAYED


ALIVE = {True: ([1, 2], []), False: ([1], [])}


def test_a_host_that_went_backwards_and_goes_on_growing_is_believed_after_a_few_loops() -> None:
    """Nothing is given up for good: old blocks are few, a living writer goes on."""
    sightings = watch(at(1), at(500), first=True)
    seen_alive = []
    for loop in range(8):
        now = NOW + 100 + 10 * loop
        sightings = look(sightings, {2: at(300 + 10 * loop)}, 1, now, first=False)
        seen_alive.append(2 in alive(sightings, now)[0])
    assert seen_alive == [False] * 5 + [True] * 3
    assert sightings[2].record == at(370)
    assert sightings[2].problem is None


def test_a_host_that_has_booted_while_this_one_was_blind_is_alive_with_its_first_growth() -> None:
    before = watch(at(1), at(500), first=True)
    blind = look(before, {2: at(300)}, 1, NOW + 1000, first=False, was_blind=True)
    assert alive(look(blind, {2: at(310)}, 1, NOW + 1010, first=False), NOW + 1010) == ([1, 2], [])


@given(
    blocks=st.lists(st.integers(0, 199), min_size=1, max_size=5),
    silent_s=st.integers(60, 90),
    every_s=st.integers(1, 20),
)
def test_no_few_old_blocks_of_a_dead_host_whatever_their_order_make_it_alive(
    blocks: list[int], silent_s: int, every_s: int
) -> None:
    sightings = watch(at(190), at(200), first=True)
    for number, timestamp in enumerate(blocks):
        now = NOW + silent_s + number * every_s
        sightings = look(sightings, {2: at(timestamp)}, 1, now, first=False)
        # A block from before the last growth may be one of a boot since: then growth is life.
        could_boot = timestamp <= (now - NOW) * 1.1 + 2
        if could_boot:
            return
        assert alive(sightings, now) == ([1], [])
        assert sightings[2].record == at(200)


def test_a_replayed_block_that_stays_is_not_believed_later() -> None:
    sightings = watch(at(50), at(40), at(40), first=True)
    assert sightings[2].record == at(50)
    assert sightings[2].problem is ProblemWord.REPLAYED
    assert alive(sightings) == ([1], [2])


def test_another_old_block_of_the_same_moment_is_not_believed_either() -> None:
    sightings = watch(at(50), at(40), attrs.evolve(at(40), score=7), first=True)
    assert sightings[2].record == at(50)
    assert sightings[2].problem is ProblemWord.REPLAYED


@pytest.mark.parametrize("word", list(ProblemWord))
def test_a_damaged_slot_keeps_the_last_good_record_which_grows_old(word: ProblemWord) -> None:
    sightings = watch(at(1), at(2), damaged(word), first=True)
    assert sightings[2].record == at(2)
    assert sightings[2].problem is word
    assert sightings[2].grew_at == NOW - 10
    assert alive(sightings) == ([1, 2], [])
    assert alive(sightings, NOW + 50) == ([1], [])


def test_damage_that_ends_with_the_same_record_is_forgotten_and_no_sign_of_life() -> None:
    sightings = watch(at(1), at(2), damaged(), at(2), first=True)
    assert sightings[2].problem is None
    assert sightings[2].grew_at == NOW - 20


def test_lesson_b10_one_bad_slot_never_hides_another() -> None:
    slots: Slots = {2: at(5, 2), 3: damaged(host_id=3), 4: at(5, 4)}
    before = {2: sighting(at(4, 2)), 3: sighting(at(4, 3)), 4: sighting(at(4, 4))}
    after = look(before, slots, 1, NOW, first=False)
    assert [after[2].grew_at, after[3].grew_at, after[4].grew_at] == [NOW, NOW - 10, NOW]
    assert [after[2].problem, after[3].problem, after[4].problem] == [None, ProblemWord.CRC, None]


def test_a_slot_that_was_emptied_keeps_its_record_which_grows_old() -> None:
    sightings = watch(at(1), at(2), None, first=True)
    assert sightings[2].content is None
    assert sightings[2].problem is ProblemWord.EMPTY
    assert sightings[2].record == at(2)
    assert look(sightings, {}, 1, NOW + 10, first=False) == sightings


def test_a_slot_that_fills_again_with_the_same_record_is_believed_and_no_news() -> None:
    sightings = watch(at(1), at(2), None, at(2), first=True)
    assert sightings[2].problem is None
    assert sightings[2].grew_at == NOW - 20


def test_a_cleanly_stopped_agent_is_out_at_once() -> None:
    stopped = attrs.evolve(at(2), stopped=True)
    assert alive(watch(at(1), stopped, first=True)) == ([1], [])
    assert alive(watch(stopped, first=True)) == ([1], [])
    assert alive(watch(at(1), stopped, at(3), first=True)) == ([1, 2], [])


def test_the_lease_managers_word_dead_settles_it_and_its_word_of_life_does_not() -> None:
    growing = {2: sighting(at(5)), 3: sighting(at(5, 3), grew_at=None, since=NOW)}
    assert alive(growing) == ([1, 2], [3])
    assert alive(growing, dead_hosts=frozenset({2, 3})) == ([1], [])
    silent = {2: sighting(at(5), grew_at=NOW - 100)}
    assert alive(silent, dead_hosts=frozenset()) == ([1], [])


def test_a_slot_that_never_held_a_record_is_nobody() -> None:
    assert alive(watch(damaged(), damaged(), first=True)) == ([1], [])


def test_while_this_host_cannot_read_nobody_grows_old() -> None:
    before = {2: sighting(at(5), grew_at=NOW - 50), 3: sighting(at(5, 3), grew_at=None, since=NOW)}
    after = grow_no_older(before, 100.0)
    assert (after[2].grew_at, after[2].since) == (NOW + 50, NOW - 3500)
    assert (after[3].grew_at, after[3].since) == (None, NOW + 100)
    assert alive(after, NOW + 100) == alive(before, NOW)


def test_a_whole_record_of_a_newer_release_supersedes_only_when_it_grows() -> None:
    assert not watch(at(1), newer_release(2, 10), first=True)[2].is_newer
    assert not watch(at(1), newer_release(2, 10), newer_release(2, 10))[2].is_newer
    assert not watch(at(1), newer_release(2, 10), newer_release(2, 9))[2].is_newer
    reworded = attrs.evolve(newer_release(2, 10), detail="its parse version is 3")
    assert not watch(at(1), newer_release(2, 10), reworded)[2].is_newer
    assert watch(at(1), newer_release(2, 10), newer_release(2, 11))[2].is_newer
    assert watch(newer_release(2, 10), newer_release(2, 11), first=True)[2].is_newer


def test_a_newer_release_that_was_seen_stays_one_until_an_older_record_grows() -> None:
    grown = (at(1), newer_release(2, 10), newer_release(2, 11))
    assert watch(*grown, newer_release(2, 11))[2].is_newer
    assert watch(*grown, damaged())[2].is_newer
    assert not watch(*grown, at(12))[2].is_newer


@pytest.mark.parametrize(
    "between", [damaged(), at(1), at(0), at(2)], ids=["damage", "same", "backwards", "growth"]
)
def test_records_of_a_newer_release_must_follow_each_other(between: Any) -> None:
    sightings = watch(at(1), newer_release(2, 10), between, newer_release(2, 11))
    assert not sightings[2].is_newer


@pytest.mark.parametrize(
    "content", [at(5), damaged(), newer_release(2, 10)], ids=["record", "damage", "newer"]
)
def test_the_same_content_read_again_changes_nothing(content: Any) -> None:
    once = watch(at(1), content, first=True)
    copied = copy.deepcopy(content)
    for again in (content, copied):
        slots = {2: again}
        assert look(once, slots, 1, NOW + 10, first=False) == once


@given(situation=situations())
def test_reading_the_same_again_changes_nothing_whether_objects_are_the_same_or_equal(
    situation: Situation,
) -> None:
    board = situation.snapshot.whiteboard
    if board is None:
        return
    own_id = situation.snapshot.host_id
    seen = situation.memory.sightings
    earlier = {i: found.content for i, found in seen.items() if found.content is not None}
    before = look({}, earlier, own_id, NOW - 10, first=True)
    once = look(before, board.slots, own_id, NOW, first=False)
    copies = copy.deepcopy(dict(board.slots))
    assert look(once, board.slots, own_id, NOW + 10, first=False) == once
    assert look(once, copies, own_id, NOW + 10, first=False) == once


@given(situation=situations(), more=st.integers(0, 400))
def test_silence_changes_nothing_before_the_time_that_is_told(
    situation: Situation, more: int
) -> None:
    own_id, now = situation.snapshot.host_id, situation.snapshot.now
    sightings, dead_after_s = situation.memory.sightings, situation.policy.dead_after_s

    def lives(at_s: float) -> tuple[object, object]:
        found = who_is_alive(sightings, own_id, at_s, dead_after_s, frozenset())
        return found.alive, found.pending

    changes_at = who_is_alive(sightings, own_id, now, dead_after_s, frozenset()).changes_at
    assert changes_at > now
    later = now + more * 0.25
    if later < changes_at:
        assert lives(later) == lives(now)
    if changes_at < NEVER:
        assert lives(changes_at) != lives(now)


@given(situation=situations(), shift=st.integers(-3000, 100_000))
def test_lesson_b9_the_writers_clock_is_never_compared_with_ours(
    situation: Situation, shift: int
) -> None:
    """
    Shift every timestamp of the others: what is seen stays the same.

    Only how often a slot that went backwards has to grow depends on it: after a boot it counts the
    seconds since then.
    """
    board = situation.snapshot.whiteboard
    if board is None:
        return
    own_id = situation.snapshot.host_id

    def moved(content: Any) -> Any:
        if not isinstance(content, HostRecord):
            return content
        return attrs.evolve(content, timestamp=content.timestamp + shift)

    def moved_sighting(seen: Sighting) -> Sighting:
        baseline: Optional[int] = None if seen.timestamp is None else seen.timestamp + shift
        return seen._replace(
            content=moved(seen.content), record=moved(seen.record), timestamp=baseline
        )

    before = situation.memory.sightings
    after = look(before, board.slots, own_id, NOW, first=False)
    shifted = look(
        {host_id: moved_sighting(seen) for host_id, seen in before.items()},
        {host_id: moved(content) for host_id, content in board.slots.items()},
        own_id,
        NOW,
        first=False,
    )

    def but_for_doubts(seen: Sighting) -> Sighting:
        return seen._replace(doubts=0)

    assert {i: but_for_doubts(seen) for i, seen in shifted.items()} == {
        i: but_for_doubts(moved_sighting(seen)) for i, seen in after.items()
    }
