"""A limit is made of what was seen: time in which nobody looked adds nothing to it."""

from __future__ import annotations

from typing import Optional

import attrs
from hypothesis import given
from hypothesis import strategies as st

from he_fsm import TALK, Health, LocalVm, Memory, State, Step, VmState, step
from he_fsm.remembered import VmWatch
from he_fsm.testing.scenes import NOW, Scene, record

GAP_S = TALK.gap_s
UP = Scene(
    state=State.ENGINE_UP,
    vm=VmState.UP,
    health=Health.GOOD,
    watch=VmWatch(since=NOW - 3000, was_good=True),
    scores={},
)
# What a look may show of the VM, and whether the storage can be read then.
SEEN = {
    "good": (LocalVm(VmState.UP, Health.GOOD), True),
    "bad": (LocalVm(VmState.UP, Health.BAD), True),
    "can't tell": (LocalVm(VmState.UP, Health.UNKNOWN), True),
    "no hypervisor": (LocalVm(VmState.UNKNOWN), True),
    "paused": (LocalVm(VmState.PAUSED), True),
    "paused, no storage": (LocalVm(VmState.PAUSED), False),
}
NAMES = sorted(SEEN)
short = st.integers(1, 80).map(lambda quarters: quarters * 0.25)
long = st.sampled_from([20.25, 25.0, 59.0, 100.0, 400.0, 90_000.0])


@attrs.frozen
class Look:
    """What is seen, how long after the look before, and whether the agent was restarted between."""

    after_s: float
    seen: str
    restarted: bool = False


looks = st.lists(
    st.builds(Look, st.one_of(short, short, short, long), st.sampled_from(NAMES), st.booleans()),
    min_size=1,
    max_size=60,
)


def see(memory: Memory, now: float, seen: str) -> Step:
    """Look once, as a loop does: again at once after an edge."""
    vm, can_read = SEEN[seen]
    scene = UP.but(vm=vm.state, health=vm.health, can_read=can_read)
    for _ in range(8):
        decision = step(memory, scene.snapshot(now), TALK)
        memory = decision.memory
        if decision.edge is None or memory.state is State.ENGINE_STOPPING:
            return decision
    raise AssertionError(decision)


class Observed:
    """For how long something was seen without an interruption by its opposite, by the law alone."""

    def __init__(self, shows: str, ends: set[str]) -> None:
        self.shows = shows
        self.ends = ends
        self.seconds = 0.0
        self._before: Optional[str] = None

    def take(self, look: Look) -> None:
        """Count the time between two looks that both show it and are close enough together."""
        if look.seen in self.ends:
            self.seconds = 0.0
        elif look.seen == self._before == self.shows and look.after_s <= GAP_S:
            self.seconds += look.after_s
        self._before = look.seen


@given(looks=looks)
def test_a_vm_is_ended_exactly_when_it_was_seen_in_trouble_for_as_long_as_the_limit(
    looks: list[Look],
) -> None:
    """Through restarts of the agent, freezes, and looks that could not tell."""
    bad = Observed("bad", ends={"good"})
    paused = Observed("paused", ends=set(NAMES) - {"paused", "no hypervisor"})
    memory, now = see(UP.memory(), NOW, "good").memory, NOW
    for look in looks:
        now += look.after_s
        if look.restarted:
            memory = memory.after_restart(now)
        decision = see(memory, now, look.seen)
        bad.take(look)
        paused.take(look)
        memory = decision.memory
        is_ended = memory.state is State.ENGINE_STOPPING
        is_due = (look.seen == "bad" and bad.seconds >= TALK.bad_health_s) or (
            look.seen == "paused" and paused.seconds >= TALK.paused_limit_s
        )
        assert is_ended is is_due, decision.reason
        if is_ended:
            return


@given(
    gaps=st.lists(short, min_size=20, max_size=400),
    trouble=st.sampled_from(["bad", "paused"]),
    restarts=st.sets(st.integers(0, 400), max_size=5),
)
def test_one_that_is_in_trouble_throughout_is_dealt_with_within_its_limit_and_two_loops(
    gaps: list[float], trouble: str, restarts: set[int]
) -> None:
    limit_s = {"bad": TALK.bad_health_s, "paused": TALK.paused_limit_s}[trouble]
    memory, now, began_at = UP.memory(), NOW, None
    for number, gap_s in enumerate(gaps):
        now += gap_s
        if number in restarts:
            memory = memory.after_restart(now)
        memory = see(memory, now, trouble).memory
        began_at = now if began_at is None else began_at
        if memory.state is State.ENGINE_STOPPING:
            assert limit_s <= now - began_at <= limit_s + 2 * TALK.loop_s
            return
    assert began_at is not None
    assert now - began_at < limit_s + 2 * TALK.loop_s


@given(
    gaps=st.lists(st.tuples(st.one_of(short, short, long), st.booleans()), min_size=1, max_size=30)
)
def test_another_host_is_better_for_as_long_as_it_was_seen_to_be(
    gaps: list[tuple[float, bool]],
) -> None:
    """The engine moves exactly when the looks that saw it better span the hold."""
    seen_s: Optional[float] = None
    memory, now = UP.but(scores={2: 2400}).memory(), NOW
    for number, (gap_s, is_better) in enumerate(gaps):
        now += gap_s
        scene = UP.but(own_score=1000, scores={2: 2400 if is_better else 1000})
        snapshot = scene.snapshot(now)
        assert snapshot.whiteboard is not None
        grown = record(2, scene.scores[2], timestamp=6000 + number)
        board = attrs.evolve(snapshot.whiteboard, slots={**snapshot.whiteboard.records, 2: grown})
        decision = step(memory, attrs.evolve(snapshot, whiteboard=board), TALK)
        memory = decision.memory
        if not is_better:
            seen_s = None
        elif seen_s is None:
            seen_s = 0.0
        elif gap_s <= GAP_S:
            seen_s += gap_s
        moves = decision.edge is not None
        assert moves is (seen_s is not None and seen_s >= TALK.migration_hold_s)
        if moves:
            return


@given(gap_s=long, before_s=st.integers(0, 7).map(lambda quarters: quarters * 0.25))
def test_a_host_that_was_away_waits_for_the_rest_of_its_turn(gap_s: float, before_s: float) -> None:
    """Host 5 is the second of two equals: its turn is two seconds after it was named."""
    scene = Scene(state=State.ENGINE_DOWN, own_id=5, scores={1: 2400})
    named = step(scene.memory(), scene.snapshot(NOW), TALK)
    again = step(named.memory, scene.snapshot(NOW + before_s), TALK)
    assert again.memory.named_since == NOW
    now = NOW + before_s + gap_s
    snapshot = scene.snapshot(now)
    assert snapshot.whiteboard is not None
    slots = {**snapshot.whiteboard.records, 1: record(1, timestamp=7000)}
    board = attrs.evolve(snapshot.whiteboard, slots=slots)
    back = step(again.memory, attrs.evolve(snapshot, whiteboard=board), TALK)
    assert back.edge is None
    assert back.memory.named_since == NOW + gap_s
    assert back.wake_at == NOW + gap_s + TALK.stagger_s
