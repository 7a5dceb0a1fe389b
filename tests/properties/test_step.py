"""`step` is pure and total, follows the table, tells truly when to look again, and is safe."""

from __future__ import annotations

import copy
from typing import Any, Callable

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transitions import MachineError

from he_fsm import (
    TABLE,
    Health,
    HostRecord,
    LeaseView,
    LocalVm,
    Memory,
    OwnerState,
    Snapshot,
    State,
    Step,
    VmState,
    build_machine,
    fire,
    step,
)
from he_fsm.effects import (
    Alarm,
    CancelMigration,
    Effect,
    EndGlobal,
    LetGo,
    MigrateVm,
    Notify,
    PowerOffVm,
    ShutDownVm,
    StartVm,
    StopAgent,
    WriteGlobal,
)
from he_fsm.observe import observe
from he_fsm.remembered import FailedStarts, VmWatch
from he_fsm.states import guards
from he_fsm.states.table import ROWS
from he_fsm.testing.scenes import NOW, Scene
from he_fsm.testing.strategies import (
    FREE_LEASE,
    GRID_S,
    NO_MAINTENANCE,
    Situation,
    policies,
    situations,
)
from he_fsm.watchdogs import time_of, why_unlike

# More edges than this at one moment would be a circle.
CHAIN_MAX = 12
HORIZON_S = 64.0

anything = situations()
# Policies with times of seconds: everything that is to happen does so within the horizon.
quick = situations(policies_of=policies())
starting = situations(states_of=st.just(State.ENGINE_DOWN))
moving = situations(states_of=st.just(State.ENGINE_UP))


# It is alone, and may start the engine.
_BEST = Scene(state=State.ENGINE_DOWN, scores={2: 2000, 3: 1000})
ALONE = Situation(memory=_BEST.memory(), snapshot=_BEST.snapshot(), policy=_BEST.policy)
# Another release has taken over.
_OLD = Scene(state=State.ENGINE_DOWN, is_superseded=True)
SUPERSEDED = Situation(memory=_OLD.memory(), snapshot=_OLD.snapshot(), policy=_OLD.policy)


def decide(situation: Situation) -> Step:
    return step(situation.memory, situation.snapshot, situation.policy)


# Pure and total.


@given(situation=anything)
def test_step_gives_the_same_for_the_same_and_leaves_its_arguments_alone(
    situation: Situation,
) -> None:
    before = copy.deepcopy(situation)
    first = decide(situation)
    assert situation == before
    assert decide(situation) == first
    assert decide(before) == first


_times = st.floats(allow_nan=True) | st.integers(-10, 10).map(float)
_times_or_none = st.none() | _times
_finite = st.floats(allow_nan=False, allow_infinity=False)


@given(situation=anything, now=_finite, data=st.data())
def test_no_snapshot_and_no_memory_makes_step_raise(
    situation: Situation, now: float, data: st.DataObject
) -> None:
    """Times of any kind: of another boot, of the future, none at all."""
    memory, leases = situation.memory, situation.snapshot.leases
    draw = data.draw
    vm = memory.vm or VmWatch(since=0.0)
    wild = memory._replace(
        since=draw(_times),
        began_at=draw(_times),
        looked_at=draw(_times_or_none),
        boot_ahead=draw(_times_or_none),
        read_at=draw(_times_or_none),
        failed=attrs.evolve(memory.failed, last_at=draw(_times)),
        vm=attrs.evolve(
            vm,
            since=draw(_times),
            bad_since=draw(_times_or_none),
            bad_before_s=draw(_times),
            paused_since=draw(_times_or_none),
            paused_before_s=draw(_times),
            power_off_at=draw(_times_or_none),
        ),
        moves=attrs.evolve(memory.moves, failed_at=draw(_times), moved_at=draw(_times)),
        better_since=draw(_times_or_none),
        named_since=draw(_times_or_none),
        arriving_since=draw(_times_or_none),
        claimed_at=draw(_times_or_none),
        refused_at=draw(_times_or_none),
        global_problem_since=draw(_times_or_none),
        well_since=draw(_times_or_none),
        draining_since=draw(_times_or_none),
        alarms=tuple(
            attrs.evolve(
                alarm,
                since=draw(_times),
                next_at=draw(_times),
                ended_at=draw(_times_or_none),
            )
            for alarm in memory.alarms
        ),
    )
    snapshot = attrs.evolve(
        situation.snapshot,
        now=now,
        leases=None
        if leases is None
        else attrs.evolve(leases, free_at=draw(_times_or_none), doomed_until=draw(_times_or_none)),
        boot_now=draw(_times_or_none),
    )
    decision = step(wild, snapshot, situation.policy)
    assert isinstance(decision, Step)
    assert decision.reason


# The table.


@given(situation=anything)
def test_only_declared_edges_are_taken_and_the_first_that_holds(situation: Situation) -> None:
    decision = decide(situation)
    rows = TABLE[situation.memory.state]
    view = observe(situation.memory, situation.snapshot, situation.policy)
    holding = [row for row in rows if row.when(view)]
    assert decision.edge == (holding[0] if holding else None)
    if decision.edge is None:
        assert decision.memory.state is situation.memory.state
        # A host that was suspended begins to look anew.
        assert decision.memory.since == (NOW if view.slept_s else situation.memory.since)
    else:
        assert decision.memory.state is decision.edge.to
        assert decision.memory.since == NOW


@given(situation=anything)
def test_the_machine_accepts_every_decision_and_arrives_where_step_does(
    situation: Situation,
) -> None:
    decision = decide(situation)
    machine = build_machine()
    machine.set_state(situation.memory.state.value)
    if decision.edge is not None:
        fire(machine, decision.edge)
    assert machine.state == decision.memory.state.value
    for row in ROWS:
        if row.source is not decision.memory.state:
            with pytest.raises(MachineError):
                fire(machine, row)


@given(situation=anything)
def test_without_an_edge_nothing_is_done_to_the_engine(situation: Situation) -> None:
    """People are told of alarms, slot 0 is written, and a host that is shut down may go down."""
    decision = decide(situation)
    if decision.edge is None:
        allowed = (Alarm, WriteGlobal, EndGlobal, LetGo)
        assert all(isinstance(effect, allowed) for effect in decision.effects)
        lets_go = any(isinstance(effect, LetGo) for effect in decision.effects)
        assert not lets_go or situation.snapshot.leaves_by is not None


@given(situation=anything)
def test_the_table_says_what_an_edge_does_and_of_which_edges_people_may_be_told(
    situation: Situation,
) -> None:
    decision = decide(situation)
    edge = decision.edge
    if edge is None:
        return
    told = [effect for effect in decision.effects if isinstance(effect, Notify)]
    if told:
        assert edge.notifies
        assert told == [Notify(f"{edge.source.value}-{edge.to.value}: {decision.reason}")]
    elif edge.notifies:
        # Another host tells it, or it is the same again in a series.
        memory, policy = situation.memory, situation.policy
        in_series = edge.in_series and memory.failed.count >= policy.failed_starts_max
        tries_again = "MigratingAway" in edge.label and memory.moves.failures > 1
        assert edge.by_one or in_series or tries_again
    assert bool(edge.does) is (len(decision.effects) > len(told))


# When to look again.

Next = Callable[[float, Step], float]
Event = tuple[float, str, tuple[Effect, ...]]


def vm_after(vm: LocalVm, effects: tuple[Effect, ...]) -> LocalVm:
    """Return the VM after its orders, which it follows at once; without orders it is unchanged."""
    states = {
        StartVm: VmState.STARTING,
        ShutDownVm: VmState.STOPPING,
        PowerOffVm: VmState.ABSENT,
        MigrateVm: VmState.LEAVING,
        CancelMigration: VmState.UP,
    }
    for effect in effects:
        state = states.get(type(effect))
        vm = vm if state is None else attrs.evolve(vm, state=state)
    return vm


def grown(snapshot: Snapshot, now: float) -> Snapshot:
    """Return the situation with new heartbeats of all other hosts, as if all were alive."""
    board = snapshot.whiteboard
    if board is None:
        return snapshot
    slots = {
        host_id: attrs.evolve(content, timestamp=10 + int(now / GRID_S))
        if isinstance(content, HostRecord)
        else content
        for host_id, content in board.slots.items()
    }
    return attrs.evolve(snapshot, whiteboard=attrs.evolve(board, slots=slots))


def run(
    situation: Situation,
    next_look: Next,
    *,
    horizon_s: float = HORIZON_S,
    others_live: bool = False,
    follow: Callable[[LocalVm, tuple[Effect, ...]], LocalVm] = vm_after,
) -> list[Event]:
    """
    Make a host look again and again while nothing changes but the time and what it orders itself.

    Return each edge with its time and effects. After an edge it looks again at once; results are
    told once; an agent that stopped looks no more.
    """
    memory, snapshot, now = situation.memory, situation.snapshot, NOW
    events: list[Event] = []
    at_once = 0
    while now <= NOW + horizon_s:
        seen = attrs.evolve(snapshot, now=now)
        if now > NOW:
            # The looks that were left out in between would have looked as well.
            memory = memory._replace(looked_at=max(memory.looked_at or now, now - GRID_S))
        decision = step(memory, grown(seen, now) if others_live else seen, situation.policy)
        sees_again = memory.is_blind and not decision.memory.is_blind
        memory = decision.memory
        snapshot = attrs.evolve(snapshot, vm=follow(snapshot.vm, decision.effects), results=())
        if decision.edge is not None:
            events.append((now, decision.edge.label, decision.effects))
            at_once += 1
            assert at_once <= CHAIN_MAX, events
            if any(isinstance(effect, StopAgent) for effect in decision.effects):
                break
            continue
        if decision.effects:
            events.append((now, "alarm", decision.effects))
        at_once = 0
        later = max(now, next_look(now, decision))
        assert later > now or memory.claimed_at == now or sees_again
        now = later
    return events


@given(situation=starting | anything)
@example(situation=ALONE)
@example(situation=SUPERSEDED)
def test_no_order_is_given_twice_before_time_passes(situation: Situation) -> None:
    """Whatever is ordered comes to nothing, and nothing else changes."""
    memory, snapshot = situation.memory, situation.snapshot
    given: list[Effect] = []
    for _ in range(CHAIN_MAX):
        decision = step(memory, snapshot, situation.policy)
        given += [effect for effect in decision.effects if not isinstance(effect, (Notify, Alarm))]
        # An agent that is stopped looks no more.
        is_stopped = any(isinstance(effect, StopAgent) for effect in decision.effects)
        if decision.edge is None or is_stopped:
            break
        memory, snapshot = decision.memory, snapshot._replace(results=())
    else:
        pytest.fail(f"{CHAIN_MAX} edges at one moment")
    assert len(given) == len(set(given))


def often(now: float, decision: Step) -> float:
    """Look all the time, and at once where others are to read something soon."""
    return now if decision.wake_at <= now else now + GRID_S


def when_told(_: float, decision: Step) -> float:
    return decision.wake_at


def when_idle(now: float, decision: Step) -> float:
    """Skip idle time, once it is known of every host whether it lives: as the simulator does."""
    return now + GRID_S if decision.liveness.pending else decision.idle_until


@given(situation=anything)
def test_when_to_look_again_is_later_than_now_and_at_once_where_others_are_to_read_something(
    situation: Situation,
) -> None:
    decision = decide(situation)
    claimed_at = situation.memory.claimed_at
    claims = claimed_at is None and decision.memory.claimed_at is not None
    sees_again = situation.memory.is_blind and not decision.memory.is_blind
    if decision.edge is None and not claims and not sees_again:
        assert NOW < decision.wake_at <= decision.idle_until
        assert decision.wake_at == min(decision.idle_until, decision.liveness.changes_at)
    else:
        assert decision.wake_at == decision.idle_until == NOW


@given(situation=quick)
def test_looking_only_when_told_shows_the_same_as_looking_all_the_time(
    situation: Situation,
) -> None:
    assert run(situation, when_told) == run(situation, often)


def without_silent_hosts(situation: Situation) -> Situation:
    """Return the situation without the hosts whose slots hold no record that could grow."""
    board = situation.snapshot.whiteboard
    if board is None:
        return situation
    writers = board.records
    sightings = {i: seen for i, seen in situation.memory.sightings.items() if i in writers}
    return attrs.evolve(
        situation,
        memory=situation.memory._replace(sightings=sightings),
        snapshot=attrs.evolve(situation.snapshot, whiteboard=attrs.evolve(board, slots=writers)),
    )


@given(situation=quick.map(without_silent_hosts))
def test_while_the_others_live_idle_times_can_be_skipped(situation: Situation) -> None:
    told = run(situation, when_idle, others_live=True)
    assert told == run(situation, often, others_live=True)


FAILING = LeaseView(owner=3, owner_state=OwnerState.FAILING, free_at=NOW + 101.5)
LONG_SCENES = [
    Scene(state=State.UNKNOWN),
    Scene(state=State.ENGINE_DOWN, began_at=NOW - 3, own_id=7),
    Scene(state=State.ENGINE_DOWN, leases=FAILING),
    Scene(state=State.ENGINE_UP, vm=VmState.UP, health=Health.BAD),
    Scene(state=State.ENGINE_UP, vm=VmState.PAUSED),
    Scene(state=State.ENGINE_UP, vm=VmState.UP, own_score=100),
    Scene(state=State.ENGINE_UP, vm=VmState.UP, local_maintenance=True),
    Scene(state=State.ENGINE_STOPPING, vm=VmState.STOPPING),
    Scene(state=State.SCORE_BLOCKED, failed=FailedStarts(count=3, last_at=NOW - 7)),
]


@pytest.mark.parametrize("scene", LONG_SCENES, ids=lambda scene: scene.state.value)
@pytest.mark.parametrize("others_live", [True, False])
def test_policy_talk_shows_the_same_whether_it_looks_often_or_when_told(
    scene: Scene, others_live: bool
) -> None:
    """As above, for the times of policy `talk`: 700 s, looked at every quarter of a second."""
    situation = Situation(
        memory=scene.but(since=NOW - 5).memory(), snapshot=scene.snapshot(), policy=scene.policy
    )
    next_look = when_idle if others_live else when_told
    events = run(situation, next_look, horizon_s=700.0, others_live=others_live)
    assert events
    assert events == run(situation, often, horizon_s=700.0, others_live=others_live)


# Safety.


@given(situation=starting | anything)
def test_an_engine_is_started_only_where_and_when_it_may_be(situation: Situation) -> None:
    decision = decide(situation)
    if StartVm() not in decision.effects:
        return
    snapshot, policy = situation.snapshot, situation.policy
    assert snapshot.own is not None
    assert 0 < snapshot.own.score <= policy.score_max
    assert snapshot.vm.state is VmState.ABSENT
    assert snapshot.whiteboard is not None
    assert snapshot.leases is not None
    assert snapshot.leases.joined
    assert not snapshot.local_maintenance
    assert decision.memory.global_maintenance is False
    failed = decision.memory.failed
    assert failed.last_at + policy.blocked_s(failed.count) <= NOW
    assert snapshot.leases.doomed_until is None or snapshot.leases.doomed_until <= NOW
    assert situation.memory.began_at + policy.settle_s <= NOW
    leases = snapshot.leases
    if leases.owner not in {None, snapshot.host_id}:
        assert leases.owner_state is not OwnerState.LIVE
        if leases.owner_state is OwnerState.FAILING:
            assert leases.free_at is not None
            # It waits for the longer watchdog of the two.
            told_s = time_of(decision.memory.sightings.get(leases.owner or 0), policy)
            assert leases.free_at + max(0.0, told_s - policy.watchdog_s) <= NOW
    assert not why_unlike(leases, policy)
    plan = decision.placement
    assert snapshot.host_id in plan.hosts
    assert plan.engine_on is None
    assert not plan.waits_for


# Take one condition of a start away: nothing is started.
FORBIDDEN: dict[str, Callable[[Any], dict[str, Any]]] = {
    "storage": lambda _: {"whiteboard": None},
    "lease manager": lambda _: {"leases": None},
    "host id": lambda _: {"leases": attrs.evolve(FREE_LEASE, joined=False)},
    "lease": lambda seen: {
        "leases": attrs.evolve(
            FREE_LEASE, owner=seen.host_id % 2000 + 1, owner_state=OwnerState.LIVE
        )
    },
    "VM": lambda _: {"vm": LocalVm(VmState.UP)},
    "arriving": lambda _: {"vm": LocalVm(VmState.ARRIVING)},
    "hypervisor": lambda _: {"vm": LocalVm(VmState.UNKNOWN)},
    "doom": lambda _: {"leases": attrs.evolve(FREE_LEASE, doomed_until=NOW + 1)},
    "local maintenance": lambda _: {"local_maintenance": True},
    "score": lambda seen: {"own": attrs.evolve(seen.own, score=0)},
    "record": lambda _: {"own": None},
    "global maintenance": lambda seen: {
        "whiteboard": attrs.evolve(
            seen.whiteboard,
            global_block=attrs.evolve(NO_MAINTENANCE, maintenance=True),
        )
    },
}


def made_ready(situation: Situation) -> Situation:
    """Return the situation with everything as it has to be for a start of the best host."""
    snapshot = situation.snapshot
    scene = Scene(
        state=State.ENGINE_DOWN, own_id=snapshot.host_id, scores={}, policy=situation.policy
    )
    ready = scene.but(own_score=max(1, situation.policy.score_max)).snapshot(NOW)
    memory = situation.memory._replace(
        state=State.ENGINE_DOWN,
        began_at=NOW - 1000,
        sightings={},
        global_maintenance=False,
        failed=scene.failed,
        refused_at=None,
    )
    return attrs.evolve(situation, memory=memory, snapshot=ready)


@given(situation=quick, name=st.sampled_from(sorted(FORBIDDEN)))
def test_one_missing_condition_is_enough_to_start_nothing(situation: Situation, name: str) -> None:
    if situation.policy.score_max == 0:
        return
    ready = made_ready(situation)
    assert StartVm() in decide(ready).effects
    snapshot = attrs.evolve(ready.snapshot, **FORBIDDEN[name](ready.snapshot))
    assert StartVm() not in decide(attrs.evolve(ready, snapshot=snapshot)).effects


@given(situation=moving | anything)
def test_the_vm_is_moved_to_a_living_host_with_a_score_and_only_while_it_is_up(
    situation: Situation,
) -> None:
    decision = decide(situation)
    for effect in decision.effects:
        if isinstance(effect, MigrateVm):
            record = decision.memory.sightings[effect.target].record
            assert effect.target != situation.snapshot.host_id
            assert effect.target in decision.liveness.alive
            assert record is not None
            assert 0 < record.score <= situation.policy.score_max
            assert not record.stopped
            assert situation.snapshot.vm.state is VmState.UP
            assert decision.memory.moves.target == effect.target


def is_ended_for_its_lease(decision: Step) -> bool:
    return decision.edge is not None and decision.edge.name == "lease_elsewhere"


@given(situation=anything)
def test_in_global_maintenance_nothing_is_done_but_to_end_a_vm_without_its_lease(
    situation: Situation,
) -> None:
    """
    Nor where slot 0 was never readable.

    People are told, slot 0 is written, and a host that is shut down may go down.
    """
    decision = decide(situation)
    if decision.memory.global_maintenance is False or is_ended_for_its_lease(decision):
        return
    allowed = (Alarm, Notify, WriteGlobal, EndGlobal, LetGo)
    assert all(isinstance(effect, allowed) for effect in decision.effects)
    assert decision.memory.state in {State.GLOBAL_MAINTENANCE, State.UNKNOWN}


@given(situation=anything)
def test_what_cannot_be_seen_is_not_touched(situation: Situation) -> None:
    """Storage, leases or hypervisor silent: no order is given, whatever the state."""
    view = observe(situation.memory, situation.snapshot, situation.policy)
    decision = decide(situation)
    if guards.facts_are_missing(view) and not is_ended_for_its_lease(decision):
        for effect in decision.effects:
            assert isinstance(effect, (Alarm, Notify, StopAgent))


executing = situations().map(
    lambda situation: attrs.evolve(
        situation,
        memory=situation.memory._replace(
            vm=attrs.evolve(
                situation.memory.vm or VmWatch(since=0.0),
                since=NOW - situation.policy.lease_settle_s,
                power_off_at=None,
                is_gone=False,
            ),
        ),
        snapshot=attrs.evolve(
            situation.snapshot,
            leases=attrs.evolve(
                FREE_LEASE,
                owner=situation.snapshot.host_id % 2000 + 1,
                owner_state=OwnerState.LIVE,
            ),
        ),
    )
)


EXECUTES = [VmState.STARTING, VmState.UP, VmState.PAUSED, VmState.STOPPING]


@given(situation=executing, vm=st.sampled_from(EXECUTES))
def test_a_vm_whose_lease_is_known_to_be_anothers_ends_within_one_moment_whatever_the_state(
    situation: Situation, vm: VmState
) -> None:
    """In every state, in both kinds of maintenance, blind to the storage, by a suspended host."""
    snapshot = attrs.evolve(situation.snapshot, vm=LocalVm(vm, situation.snapshot.vm.health))
    begun = attrs.evolve(situation, snapshot=snapshot)
    events = run(begun, when_told, horizon_s=0.0, follow=lambda vm, _: vm)
    told = [effect for _, _, effects in events for effect in effects]
    assert PowerOffVm() in told
    assert any(isinstance(e, Notify) and "holds the lease" in e.subject for e in told)
    assert not {StartVm, ShutDownVm, MigrateVm} & {type(effect) for effect in told}


@given(situation=anything)
def test_a_vm_is_ended_for_its_lease_only_if_that_is_known_not_to_be_its_own(
    situation: Situation,
) -> None:
    """It is another host's; or nobody's, and this host was suspended meanwhile."""
    view = observe(situation.memory, situation.snapshot, situation.policy)
    if is_ended_for_its_lease(decide(situation)):
        leases = situation.snapshot.leases
        assert leases is not None
        assert leases.joined
        assert leases.owner != situation.snapshot.host_id
        watch = view.memory.vm
        assert leases.owner is not None or (watch is not None and watch.has_slept)


@given(situation=anything)
def test_a_vm_that_is_not_here_is_neither_stopped_nor_moved(situation: Situation) -> None:
    vm = situation.snapshot.vm.state
    orders = {type(effect) for effect in decide(situation).effects}
    if vm in {VmState.ABSENT, VmState.ARRIVING, VmState.UNKNOWN}:
        assert not orders & {ShutDownVm, PowerOffVm, MigrateVm, CancelMigration}
    else:
        assert not orders & {StartVm, StopAgent}


@given(situation=anything)
def test_only_rows_that_say_so_count_failed_starts(situation: Situation) -> None:
    decision = decide(situation)
    before = observe(situation.memory, situation.snapshot, situation.policy).memory.failed
    if decision.edge is not None and decision.edge.counts_failed_start:
        assert decision.memory.failed.count == before.count + 1
        assert decision.memory.failed.last_at == NOW
        assert decision.memory.failed.good_runs == before.good_runs
    elif decision.memory.failed != before:
        # A bad ending: its VM is gone, or was paused for too long.
        assert decision.edge is not None
        assert decision.memory.failed.count == before.count + 1
        assert decision.memory.failed.time_outs == before.time_outs
        gone = {VmState.ABSENT, VmState.ARRIVING}
        assert situation.snapshot.vm.state in gone or decision.edge.name == "paused"


# Liveness of the machine itself: it gets out of everything.


@given(situation=quick)
def test_lesson_b37_a_lone_healthy_host_ends_up_starting_the_engine_whatever_it_remembers(
    situation: Situation,
) -> None:
    if situation.policy.score_max == 0:
        return
    ready = made_ready(situation).snapshot
    memory = situation.memory._replace(sightings={})
    begun = attrs.evolve(situation, memory=memory, snapshot=ready)
    horizon_s = HORIZON_S + situation.policy.block_max_s
    events = run(begun, when_told, horizon_s=horizon_s)
    assert StartVm() in [effect for _, _, effects in events for effect in effects]


def hanging(vm: LocalVm, effects: tuple[Effect, ...]) -> LocalVm:
    """Follow orders, but for a shutdown: the guest hangs."""
    return vm_after(vm, tuple(effect for effect in effects if effect != ShutDownVm()))


_vms_here = st.sampled_from(
    [VmState.STARTING, VmState.UP, VmState.PAUSED, VmState.STOPPING, VmState.LEAVING]
)


@given(situation=quick, state=_vms_here)
def test_lesson_b37_a_vm_that_never_gets_well_is_ended_whatever_the_host_remembers(
    situation: Situation, state: VmState
) -> None:
    scene = Scene(
        state=State.UNKNOWN,
        own_id=situation.snapshot.host_id,
        scores={},
        vm=state,
        health=Health.BAD,
        policy=situation.policy,
    )
    memory = situation.memory._replace(sightings={}, global_maintenance=False)
    begun = attrs.evolve(situation, memory=memory, snapshot=scene.snapshot(NOW))
    horizon_s = 4 * HORIZON_S + situation.policy.start_timeout_max_s
    events = run(begun, when_told, follow=hanging, horizon_s=horizon_s)
    assert PowerOffVm() in [effect for _, _, effects in events for effect in effects]


@given(situation=quick)
def test_a_memory_of_another_boot_never_stops_a_host(situation: Situation) -> None:
    """After a restart or a boot the machine begins in `Unknown` and finds its way."""
    policy = situation.policy
    restarted = situation.memory.after_restart(NOW)
    booted = situation.memory.after_boot(NOW, stopped_at=NOW + 500)
    for memory in (restarted, booted, Memory.beginning(NOW)):
        assert memory.state is State.UNKNOWN
        begun = attrs.evolve(situation, memory=memory)
        assert step(memory, situation.snapshot, policy).memory.state in set(State)
        run(begun, when_told)
