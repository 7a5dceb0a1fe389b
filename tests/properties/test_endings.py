"""How a run ended is remembered until the engine has run well for long enough, wherever."""

from __future__ import annotations

from typing import Optional

import attrs
from hypothesis import given
from hypothesis import strategies as st

from he_fsm import TALK, Health, LeaseView, LocalVm, Memory, State, Step, VmState, step
from he_fsm.metadata.record import HostRecord
from he_fsm.remembered import FailedStarts
from he_fsm.snapshot import OwnerState
from he_fsm.testing.scenes import NOW, Scene
from he_fsm.tick import engine_status

ENDED = FailedStarts(count=2, last_at=NOW - 5, good_runs=1, time_outs=1)
# One death of a run that had been good, which is restarted at once and costs no points.
FREE = FailedStarts(count=1, last_at=NOW - 5, good_runs=1)
# The lease is always another's: nothing that is seen here makes this host start anything.
WATCHING = Scene(
    state=State.ENGINE_DOWN,
    failed=ENDED,
    scores={2: 2400},
    leases=LeaseView(owner=2, owner_state=OwnerState.LIVE),
)
STATUS = {
    "well": engine_status(LocalVm(VmState.UP, Health.GOOD)),
    "sick": engine_status(LocalVm(VmState.UP, Health.BAD)),
    "nowhere": engine_status(LocalVm(VmState.ABSENT)),
    "not to be seen": engine_status(LocalVm(VmState.ABSENT)),
}


@attrs.frozen
class Look:
    """A look: how long after the one before, and what came between."""

    after_s: float
    seen: str
    between: str


looks = st.lists(
    st.builds(
        Look,
        st.sampled_from([1.0, 10.0, 20.0, 55.0, 600.0, 1799.0, 3590.0, 9000.0]),
        st.sampled_from(["well", "well", "well", "well", "sick", "nowhere", "not to be seen"]),
        st.sampled_from(["", "", "", "", "restart", "boot"]),
    ),
    min_size=1,
    max_size=30,
)


class Host:
    """A host that watches, on a clock that begins anew with each boot."""

    def __init__(self, ended: FailedStarts = ENDED) -> None:
        self.memory: Memory = WATCHING.memory()._replace(failed=ended)
        self.true_now = NOW
        self.now = NOW
        self.timestamp = 5001

    def see(self, look: Look) -> Step:
        """Look once, until nothing changes any more."""
        self.true_now += look.after_s
        self.now += look.after_s
        if look.between == "restart":
            self.memory = self.memory.after_restart(self.now)
        elif look.between == "boot":
            # It was stopped at the look before, and without power since.
            stopped_at = self.now - look.after_s
            self.now = 7.0
            self.memory = self.memory.after_boot(self.now, stopped_at, look.after_s)
        self.timestamp += 1
        scene = WATCHING.but(can_read=look.seen != "not to be seen")
        snapshot = scene.snapshot(self.now)
        if snapshot.whiteboard is not None:
            slots = {i: self._grown(r, look) for i, r in snapshot.whiteboard.records.items()}
            board = attrs.evolve(snapshot.whiteboard, slots=slots)
            snapshot = attrs.evolve(snapshot, whiteboard=board)
        for _ in range(8):
            decision = step(self.memory, snapshot, TALK)
            self.memory = decision.memory
            if decision.edge is None:
                return decision
        raise AssertionError(decision)

    def what_counts(self) -> FailedStarts:
        """Return the endings that still count: what is forgotten may stand there for a while."""
        if self.memory.has_run_well(self.now, TALK.endings_forget_s):
            return FailedStarts()
        return self.memory.failed

    def _grown(self, record: HostRecord, look: Look) -> HostRecord:
        engine = STATUS[look.seen] if record.host_id == 2 else record.engine
        return attrs.evolve(record, timestamp=self.timestamp, engine=engine)


@given(looks=looks, ended=st.sampled_from([ENDED, FREE]))
def test_an_ending_is_forgotten_exactly_when_the_engine_has_run_well_for_long_enough(
    looks: list[Look], ended: FailedStarts
) -> None:
    """
    Never before, whatever looks good in between, and always then.

    That limit is a sentence: it runs on by the clock, through restarts and boots, the time without
    power included, until a look shows that the engine is not well. Looks that can't tell neither
    begin nor end it.
    """
    host, well_since = Host(ended), None
    for look in looks:
        decision = host.see(look)
        is_known = look.seen != "not to be seen" and not decision.liveness.pending
        is_well = look.seen == "well" and 2 in decision.liveness.alive
        if is_known and is_well and well_since is None:
            well_since = host.true_now
        is_due = well_since is not None and host.true_now >= well_since + TALK.endings_forget_s
        if is_known and not is_well:
            well_since = None
        assert (host.what_counts() == FailedStarts()) is is_due
        if is_due:
            return
        assert host.memory.failed.count == ended.count
        assert host.memory.failed.time_outs == ended.time_outs


@given(after_s=st.sampled_from([3600.0, 3601.0, 90_000.0]))
def test_nobody_looks_to_forget_an_ending_that_costs_nothing(after_s: float) -> None:
    """The ending is forgotten when the next one comes."""
    host = Host(FREE)
    host.see(Look(1.0, "well", ""))
    assert step(host.memory, WATCHING.snapshot(host.now), TALK).idle_until > host.now + 1e6
    host.see(Look(after_s, "well", ""))
    assert host.memory.failed == FREE
    host.see(Look(1.0, "nowhere", ""))
    assert host.memory.failed == FailedStarts()


@given(
    endings=st.integers(3, 40),
    slices=st.lists(
        st.tuples(
            st.sampled_from([1.0, 60.0, 599.0, 2400.0]), st.sampled_from(["", "restart", "boot"])
        ),
        max_size=12,
    ),
)
def test_a_block_runs_by_the_clock_whatever_happens_meanwhile_and_ends_at_its_time(
    endings: int, slices: list[tuple[float, str]]
) -> None:
    host = Host()
    host.memory = host.memory._replace(failed=FailedStarts(count=endings, last_at=NOW))
    for after_s, between in [(0.0, ""), *slices]:
        decision = host.see(Look(after_s, "sick", between))
        is_over = host.true_now - NOW >= TALK.blocked_s(endings)
        assert (decision.memory.state is State.SCORE_BLOCKED) is not is_over


@given(
    deaths=st.lists(st.sampled_from([70.0, 500.0, 1800.0, 3500.0]), min_size=3, max_size=8),
)
def test_a_vm_that_dies_again_and_again_here_is_not_started_here_for_long(
    deaths: list[float],
) -> None:
    """The VM is healthy for up to an hour each time: its third death blocks the host."""
    failed: Optional[FailedStarts] = FailedStarts()
    now = NOW
    for number, healthy_s in enumerate(deaths, start=1):
        now += healthy_s
        up = Scene(state=State.ENGINE_UP, vm=VmState.UP, health=Health.GOOD, scores={})
        begun = up.memory()._replace(failed=failed, well_since=now - healthy_s)
        seen = step(begun, up.snapshot(now), TALK)
        gone = Scene(state=State.ENGINE_UP, scores={})
        ended = step(seen.memory, gone.snapshot(now), TALK)
        failed = ended.memory.failed
        assert failed.count == number
        then = step(ended.memory, gone.snapshot(now), TALK)
        assert (then.memory.state is State.SCORE_BLOCKED) is (number >= TALK.failed_starts_max)
