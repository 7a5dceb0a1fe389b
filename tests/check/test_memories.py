from __future__ import annotations

import attrs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from he_fsm.check.beginning import begin, beginnings
from he_fsm.check.cluster import Cluster
from he_fsm.check.faults import KINDS, Faults
from he_fsm.check.local import Decision, Given, LocalSteps
from he_fsm.check.memories import BELIEVED, SEEN, Normal, now_of
from he_fsm.check.passing import Passing
from he_fsm.check.rounds import Rounds
from he_fsm.check.scale import LOOP_S, of_each_host, with_small_times
from he_fsm.check.truth import Truth
from he_fsm.memory import Memory, Sighting
from he_fsm.metadata.engine import engine_from_text
from he_fsm.metadata.record import HostRecord
from he_fsm.policy import OVIRT, TALK, Policy
from he_fsm.remembered import FailedStarts, Moves, VmWatch
from he_fsm.states.names import State

SMALL = with_small_times(TALK)
HOST = 1
NOW = now_of(HOST)


def without_cuts(policy: Policy) -> Normal:
    """Return normal forms with hardly any time cut, and no count."""
    times = {
        field.name: 1000.0 * getattr(policy, field.name)
        for field in attrs.fields(Policy)
        if field.name.endswith("_s") and field.name != "loop_s"
    }
    return Normal(attrs.evolve(policy, **times, settle_loops=1000.0, failed_starts_max=1000))


class Compared(LocalSteps):
    """Decides by memories whose times are whole, and by their normal forms, and compares."""

    def __init__(self, policies: tuple[Policy, ...]) -> None:
        super().__init__(policies, suspends=True)
        self.cut = self.normal
        self.normal = without_cuts(self.policy)
        self.right = LocalSteps(policies, suspends=True)
        self.right.numbers = self.numbers
        self.decided = 0

    def _decide(self, given: Given) -> Decision:
        host_id = given.host_id
        whole = super()._decide(given)
        normal = self.cut.of(self.memory(given.memory), host_id)
        cut = self.right.decide(given._replace(memory=self.numbers.of(normal)))
        assert cut.looks_again == whole.looks_again
        assert cut.orders == whole.orders
        assert cut.placement == whole.placement
        assert cut.counted == whole.counted
        after = self.cut.of(self.memory(whole.memory), host_id)
        assert self.memory(cut.memory) == after
        self.decided += 1
        return whole


@pytest.mark.once
@settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    choices=st.lists(st.integers(0, 10_000), min_size=20, max_size=20),
    first=st.integers(0, 3),
    policy=st.sampled_from([TALK, OVIRT]),
    watchdogs=st.sampled_from([(), (60.0, 10.0)]),
)
@pytest.mark.interpreted
def test_a_memory_and_its_normal_form_decide_alike(
    choices: list[int], first: int, policy: Policy, watchdogs: tuple[float, ...]
) -> None:
    steps = Compared(of_each_host(policy, 2, watchdogs))
    cluster = Cluster(steps)
    rounds = Rounds(cluster, Faults(cluster), Passing(cluster, KINDS), Truth(cluster))
    state = begin(cluster, rounds, beginnings(2, 3, steps.policy.failed_starts_max)[first])
    for choice in choices:
        played = rounds.play(state)
        # Faults and repairs now, quiet rounds at other times: waits come to their ends.
        found = played.other if choice % 3 == 0 and played.other else played.quiet
        state = found[choice % len(found)].state
    assert steps.decided > 10


def test_a_time_is_cut_where_it_makes_no_difference_any_more() -> None:
    normal = Normal(SMALL)
    memory = Memory(
        state=State.ENGINE_DOWN,
        since=NOW - 500,
        began_at=NOW - 500,
        read_at=NOW,
        failed=FailedStarts(count=9, last_at=NOW - 500),
        vm=VmWatch(since=NOW - 500, bad_since=NOW - 500),
        moves=Moves(target=2, failures=9, failed_at=NOW, moves=1, moved_at=NOW - 500),
        refused_at=NOW - 500,
    )
    assert normal.of(memory, HOST) == Memory(
        state=State.ENGINE_DOWN,
        since=NOW,
        began_at=NOW - 2 * LOOP_S,
        read_at=NOW,
        # From three endings on a block is as long as it gets: six loops.
        failed=FailedStarts(count=3, last_at=NOW - 6 * LOOP_S),
        # The longest limit is that of a start, and the shortest wait that of `lease_settle_s`.
        vm=VmWatch(since=NOW - LOOP_S, bad_since=NOW - 5 * LOOP_S),
        moves=Moves(failures=2, failed_at=NOW),
    )


def test_a_normal_form_is_its_own_and_comes_to_rest() -> None:
    normal = Normal(SMALL)
    memory = Memory(since=NOW, began_at=NOW, read_at=NOW, named_since=NOW)
    for _ in range(20):
        memory = normal.aged(memory, HOST)
        assert normal.of(memory, HOST) == memory
    assert normal.aged(memory, HOST) == memory


def test_while_a_host_is_blind_nobody_grows_older() -> None:
    normal = Normal(SMALL)
    record = HostRecord(
        host_id=2,
        timestamp=77,
        score=2400,
        engine=engine_from_text("vm-down"),
        hostname="host2",
    )
    seen = Sighting(record, 77, NOW - LOOP_S, NOW - LOOP_S, record, None)
    memory = Memory(sightings={2: seen}, read_at=NOW, is_blind=True)
    aged = normal.aged(normal.of(memory, HOST), HOST).sightings[2]
    assert aged.grew_at == NOW - LOOP_S
    assert aged.timestamp == SEEN
    assert aged.record is not None
    assert aged.record.timestamp == SEEN
    other = seen._replace(timestamp=5)
    found = normal.of(memory._replace(sightings={2: other}), HOST).sightings[2].record
    assert found is not None
    assert found.timestamp == BELIEVED
