"""Clusters that stand still: people are told, and slot 0 is written again by whoever knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Optional

import attrs
from hypothesis import assume, given
from hypothesis import strategies as st

from he_fsm import TALK, LocalVm, Memory, State, Step, VmState, step
from he_fsm.alarms import ENGINE_DOWN, HANDS_OFF
from he_fsm.effects import Alarm, WriteGlobal
from he_fsm.liveness import NEVER
from he_fsm.metadata.codec import GlobalBlock
from he_fsm.metadata.record import HostRecord, ProblemWord, SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.remembered import Moves
from he_fsm.snapshot import LeaseView, Snapshot
from he_fsm.testing.scenes import NOW, record
from he_fsm.tick import engine_status

LOOP_S = TALK.loop_s


@attrs.define
class Member:
    """One host of a cluster: what it remembers, what its hypervisor says, until when it lives."""

    host_id: int
    memory: Memory
    score: int = 0
    vm: VmState = VmState.ABSENT
    dies_at: float = NEVER
    timestamp: int = 5000

    def record(self) -> HostRecord:
        """Return its record as it would be written now."""
        self.timestamp += 1
        engine = engine_status(LocalVm(self.vm))
        return record(self.host_id, self.score, timestamp=self.timestamp, engine=engine)


@attrs.define
class Cluster:
    """Hosts that share a whiteboard and look in turn, a tenth of a second apart."""

    members: list[Member]
    global_block: GlobalBlock
    slots: dict[int, HostRecord] = attrs.field(factory=dict)
    on_effect: Callable[[Member, float, object], None] = lambda *_: None

    def run(self, until_s: float) -> None:
        """Make every host's pass once a loop."""
        for member in self.members:
            self.slots[member.host_id] = member.record()
        now = NOW
        while now < NOW + until_s:
            for number, member in enumerate(self.members):
                at = now + number / 10
                if at < member.dies_at:
                    self._look(member, at)
            now += LOOP_S

    def _look(self, member: Member, now: float) -> Step:
        own = self.slots[member.host_id] = member.record()
        for _ in range(8):
            snapshot = Snapshot(
                now=now,
                host_id=member.host_id,
                vm=LocalVm(member.vm),
                own=own,
                whiteboard=Whiteboard(self.global_block, dict(self.slots)),
                leases=LeaseView(),
            )
            decision = step(member.memory, snapshot, TALK)
            member.memory = decision.memory
            for effect in decision.effects:
                self.on_effect(member, now, effect)
            if decision.edge is None:
                return decision
        raise AssertionError(decision)


OFF, ON = GlobalBlock(maintenance=False), GlobalBlock(maintenance=True)


@st.composite
def clusters(draw: Callable[..., object], block: GlobalBlock = OFF) -> Cluster:
    """Draw a cluster without an engine of which each host has looked around before."""
    ids = range(1, draw(st.integers(1, 4)) + 1)  # type: ignore[operator]
    seen_on = draw(st.none() | st.sampled_from([*ids, 9]))
    state = State.GLOBAL_MAINTENANCE if block is ON else State.ENGINE_DOWN
    members = []
    for host_id in ids:
        memory = Memory(
            state=state,
            since=NOW - 900,
            began_at=NOW - 900,
            global_maintenance=block.maintenance,
            moves=Moves(seen_on=seen_on),  # type: ignore[arg-type]
        )
        is_lost = draw(st.sampled_from([False, False, True]))
        vm = VmState.UNKNOWN if is_lost else VmState.ABSENT
        members.append(Member(host_id, memory, vm=vm))
    assume(any(member.vm is VmState.ABSENT for member in members))
    return Cluster(members, block)


def tellings(cluster: Cluster, name: str, until_s: float) -> list[tuple[float, int]]:
    """Return when people are told of an alarm, and by which host."""
    told: list[tuple[float, int]] = []

    def take(member: Member, now: float, effect: object) -> None:
        if isinstance(effect, Alarm) and effect.name == name and not effect.is_over:
            told.append((now - NOW, member.host_id))

    cluster.on_effect = take
    cluster.run(until_s)
    return told


# A cluster whose hosts are new to each other knows who lives after this time.
KNOWN_S = TALK.dead_after_s


@given(cluster=clusters())
def test_of_an_engine_that_nobody_may_start_one_host_tells_and_tells_again_ever_more_rarely(
    cluster: Cluster,
) -> None:
    told = tellings(cluster, ENGINE_DOWN, 2000)
    assert len(told) == 3
    assert told[0][0] <= KNOWN_S + 3 * LOOP_S
    assert len({host_id for _, host_id in told}) == 1
    pauses = [after - before for (before, _), (after, _) in zip(told, told[1:])]
    for number, pause_s in enumerate(pauses):
        assert 0 <= pause_s - TALK.alarm_repeat_s * 2**number <= LOOP_S


@given(cluster=clusters(ON))
def test_hands_off_while_the_engine_is_down_is_told_at_once_and_again(cluster: Cluster) -> None:
    assume(cluster.members[0].memory.moves.seen_on is not None)
    told = tellings(cluster, HANDS_OFF, 2000)
    assert told[0][0] <= KNOWN_S + 2 * LOOP_S
    assert len({host_id for _, host_id in told}) == 1
    assert len(told) == 3


@given(cluster=clusters(), died_s=st.integers(0, 30))
def test_if_the_host_that_tells_dies_another_takes_over(cluster: Cluster, died_s: int) -> None:
    """For a minute nobody knows that the host is dead; then people are notified once more."""
    speakers = {member.host_id: member for member in cluster.members}
    alive = [i for i, member in speakers.items() if member.vm is VmState.ABSENT]
    assume(len(alive) > 1)
    speaker = min(alive)
    speakers[speaker].dies_at = NOW + died_s * LOOP_S
    told = tellings(cluster, ENGINE_DOWN, 900)
    assert any(host_id != speaker for _, host_id in told)
    died = died_s * LOOP_S
    first = min(at for at, host_id in told if host_id != speaker)
    assert first <= max(KNOWN_S, died + TALK.dead_after_s) + TALK.dead_after_s + 3 * LOOP_S


@st.composite
def damaged(draw: Callable[..., object]) -> tuple[Cluster, bool, bool]:
    """Draw a cluster whose slot 0 is damaged; with its true value, and whether it was read."""
    word = draw(st.sampled_from([ProblemWord.EMPTY, ProblemWord.GARBAGE]))
    problem = SlotProblem(host_id=0, word=word, detail="damaged")  # type: ignore[arg-type]
    value = bool(draw(st.booleans()))
    members = []
    for host_id in range(1, draw(st.integers(1, 7)) + 1):  # type: ignore[operator]
        knows = draw(st.sampled_from(["nothing", "of old", "by reading"]))
        memory = Memory(
            since=NOW - 900,
            began_at=NOW - 900,
            global_maintenance=None if knows == "nothing" else value,
            global_is_old=knows == "of old",
        )
        members.append(Member(host_id, memory))
    assume(any(member.memory.global_maintenance is not None for member in members))
    was_read = any(
        member.memory.global_maintenance is not None and not member.memory.global_is_old
        for member in members
    )
    return Cluster(members, GlobalBlock(None, problem)), value, was_read


def writings(cluster: Cluster, until_s: float) -> list[tuple[float, bool]]:
    """Return when slot 0 is written, with what; whoever writes finds it damaged still."""
    written: list[tuple[float, bool]] = []

    def take(_: Member, now: float, effect: object) -> None:
        if isinstance(effect, WriteGlobal) and cluster.global_block.maintenance is None:
            written.append((now - NOW, effect.maintenance))
            cluster.global_block = GlobalBlock(effect.maintenance)

    cluster.on_effect = take
    cluster.run(until_s)
    return written


@given(drawn=damaged())
def test_slot_0_is_written_again_once_with_the_right_value_by_whoever_knows_it(
    drawn: tuple[Cluster, bool, bool],
) -> None:
    """Whoever has read it goes before whoever remembers it; nobody guesses before them."""
    cluster, value, was_read = drawn
    written = writings(cluster, 250)
    assert [what for _, what in written] == [value]
    within_s = TALK.slot_0_writers * LOOP_S + (0.0 if was_read else TALK.dead_after_s)
    assert written[0][0] <= KNOWN_S + within_s + LOOP_S
    assert all(member.memory.global_maintenance is value for member in cluster.members)
    assert all(member.memory.global_problem is None for member in cluster.members)


KNOW_NOTHING: Mapping[ProblemWord, Optional[bool]] = {
    ProblemWord.EMPTY: False,
    ProblemWord.GARBAGE: None,
}


@given(word=st.sampled_from(sorted(KNOW_NOTHING)), hosts=st.integers(1, 5))
def test_of_a_slot_0_that_nobody_knows_zeros_mean_no_maintenance_and_garbage_hands_off(
    word: ProblemWord, hosts: int
) -> None:
    problem = SlotProblem(host_id=0, word=word, detail="damaged")
    members = [Member(i, Memory.beginning(NOW)) for i in range(1, hosts + 1)]
    cluster = Cluster(members, GlobalBlock(None, problem))
    told = tellings(cluster, "slot-0", 200)
    assert told
    meant = KNOW_NOTHING[word]
    assert {member.memory.global_maintenance for member in members} == {meant}
    if meant is None:
        assert {member.memory.state for member in members} == {State.GLOBAL_MAINTENANCE}


def test_a_host_that_reads_slot_0_wrong_does_not_write_over_it_again_and_again() -> None:
    """What others set meanwhile would be undone each time."""
    problem = SlotProblem(host_id=0, word=ProblemWord.GARBAGE, detail="read wrong")
    written: list[float] = []
    member = Member(1, Memory(began_at=NOW - 900, global_maintenance=False))
    cluster = Cluster([member], GlobalBlock(None, problem))

    def take(_: Member, now: float, effect: object) -> None:
        if isinstance(effect, WriteGlobal):
            written.append(now - NOW)

    cluster.on_effect = take
    cluster.run(1500)
    assert written == [10, 610, 1210]


def test_zeros_that_nobody_knows_are_written_as_no_maintenance_in_the_end() -> None:
    problem = SlotProblem(host_id=0, word=ProblemWord.EMPTY, detail="zeros")
    member = Member(1, Memory.beginning(NOW), vm=VmState.ABSENT)
    written = writings(Cluster([member], GlobalBlock(None, problem)), 900)
    assert [what for _, what in written] == [False]


def test_garbage_that_nobody_knows_is_never_written_over() -> None:
    problem = SlotProblem(host_id=0, word=ProblemWord.GARBAGE, detail="noise")
    member = Member(1, Memory.beginning(NOW))
    assert writings(Cluster([member], GlobalBlock(None, problem)), 9000) == []
