"""A simulated agent: the shared loop of `he_fsm.tick`, with the world in place of I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import attrs

from he_fsm import tick as loop
from he_fsm.effects import (
    CancelMigration,
    Effect,
    MigrateVm,
    Notify,
    PowerOffVm,
    ShutDownVm,
    StartVm,
    StopAgent,
)
from he_fsm.memory import Memory
from he_fsm.metadata.record import HostRecord
from he_fsm.scenario.matching import Seen
from he_fsm.score import Score
from he_fsm.simulate import daemons, hindsight, quiet
from he_fsm.simulate.host import RUNS, Agent, SimHost
from he_fsm.simulate.looks import Answered, Judged, Look
from he_fsm.snapshot import LeaseView, LocalVm, OwnerState, Reading, Readings, Result
from he_fsm.step import Step

if TYPE_CHECKING:
    from he_fsm.simulate.world import World

# A chain of edges is followed at once; this many at one moment would be a circle.
_CHAIN_MAX = 16
# How much of a second rounding between two clocks may take.
_ROUNDING_S = 1e-6


def memory_of_new_agent(host: SimHost, now: float, *, after_boot: bool) -> Memory:
    """Give what an agent knows when it starts: what its predecessor left on disk."""
    if after_boot:
        return host.saved.after_boot(now, host.saved_at)
    return host.saved.after_restart(now)


def tick(world: World, host: SimHost, agent: Agent) -> None:
    """Let an agent look once: publish, read, decide, act."""
    agent.next_tick = -1.0
    if not host.runs or agent.is_frozen:
        return
    time = world.now
    now = host.clock.monotonic(time)
    if agent.asked_for is not None and now < agent.asked_for <= now + _ROUNDING_S:
        now = agent.asked_for
    heard = quiet.before_look(world, host, agent)
    _advance(world, agent, now)
    facts = _facts(world, host, agent, now)
    own = _publish(world, host, agent, facts)
    whiteboard = quiet.read(world, host) if host.sees_storage else None
    answered, agent.answered = agent.answered, None
    if answered is not None and not heard and answered.holds(facts, own, whiteboard):
        agent.answered = answered
        plan_next(world, host, agent, until=answered.until)
        return
    before = agent.memory
    try:
        decision = loop.decide(before, facts, own, whiteboard, host.identity, world.policy)
    except Exception as error:  # noqa: BLE001 - the rule `crash` is about any exception
        world.rules.crashed(world, host, error)
        world.kill_agent(host)
        return
    agent.memory = decision.memory
    _note_decision(world, host, agent, decision, facts)
    _note_liveness(world, host, agent, decision)
    # Without an edge the guards have been asked with what was learnt: nothing more comes of it,
    # but for a score that is published with the next look.
    is_calm = decision.edge is None and decision.memory.failed is before.failed
    agent.liveness, agent.idle_until = decision.liveness, decision.idle_until
    quiet.after_look(world, host, agent, heard)
    if decision.effects:
        handovers = world.lockspace.handovers
        for effect in decision.effects:
            _perform(world, host, agent, effect)
        if world.lockspace.handovers != handovers:
            # What it ordered itself is no news to it.
            quiet.tell(world, time + world.times.storage_latency_s, host.host_id)
    if host.agent is agent:
        until = None
        if agent.is_steady and is_calm:
            until = quiet.holds_until(world, agent)
            agent.answered = Answered(facts, own, whiteboard, until)
        plan_next(world, host, agent, decision, until=until)


def _advance(world: World, agent: Agent, now: float) -> None:
    """Go on to the loop after this look."""
    loops, index = agent.loops, agent.loops.index
    while loops.next <= now + _ROUNDING_S:
        loops.advance()
    is_on_loop = loops.index != index
    if not (is_on_loop and agent.is_on_loop):
        agent.rank = world.next_rank()
    agent.is_on_loop = is_on_loop


def plan_next(
    world: World,
    host: SimHost,
    agent: Agent,
    decision: Optional[Step] = None,
    *,
    until: Optional[float] = None,
) -> None:
    """Say when the agent looks next; *until*: a steady one's answer is the same till then."""
    time = world.now
    if agent.next_tick >= time:
        # Something has happened already that it is to look at.
        return
    if agent.ticked_at == time:
        agent.ticks_now += 1
    else:
        agent.ticked_at, agent.ticks_now = time, 0
    wake = agent.loops.next
    agent.asked_for = None
    if agent.ticks_now < _CHAIN_MAX:
        if until is not None:
            agent.asked_for = wake = quiet.next_look(world, host, agent, until)
        elif decision is not None:
            agent.asked_for = wake = loop.next_look(decision, wake)
    world.look_at(host, agent, max(time, host.clock.true_time(wake)))


def _facts(world: World, host: SimHost, agent: Agent, now: float) -> loop.Facts:
    vm = host.local_vm
    if vm is None:
        vm = host.local_vm = world.engine.as_seen_by(host)
    results: tuple[Result, ...] = ()
    if agent.results:
        results, agent.results = tuple(agent.results), []
    readings = host.readings
    if host.broker == RUNS:
        agent.heard_at, agent.local_maintenance = now, host.local_maintenance
    else:
        readings, vm = _without_broker(agent, readings, vm, now)
    return loop.Facts(
        now=now,
        wall_offset_s=host.clock.wall_offset_s,
        readings=readings,
        vm=vm,
        leases=_leases(world, host) if host.sees_leases else None,
        local_maintenance=agent.local_maintenance,
        results=results,
    )


def _without_broker(
    agent: Agent, readings: Readings, vm: LocalVm, now: float
) -> tuple[Readings, LocalVm]:
    """Give what an agent goes by whose broker, with all monitors, does not answer."""
    age_s = now - max(agent.heard_at, agent.memory.began_at)
    has_heard = agent.heard_at >= agent.memory.began_at

    def older(reading: Reading) -> Reading:
        return Reading(reading.value if has_heard else None, age_s)

    aged = attrs.evolve(
        readings,
        gateway=older(readings.gateway),
        bridge=older(readings.bridge),
        mem_free=older(readings.mem_free),
        cpu_load=older(readings.cpu_load),
        mem_load=older(readings.mem_load),
    )
    return aged, LocalVm(vm.state)


def _leases(world: World, host: SimHost) -> LeaseView:
    """Give the leases as this host's lease manager shows them; the same object for the same."""
    lockspace, member, time = world.lockspace, host.member, world.now
    if not host.holds_id:
        holder = lockspace.holders.get(host.host_id)
        is_taken = holder is not None and holder is not member
        # A host that waits for its id tries again with every look.
        if not member.is_joined and lockspace.can_join(member, time):
            daemons.ask_to_join(world, host)
        return LeaseView(joined=False, held_by_other=is_taken)
    dead_hosts = lockspace.dead_hosts(member, time)
    owner = lockspace.seen_owner(time)
    owner_id, state, free_at = None, OwnerState.FREE, None
    if owner is not None and not owner.has_left:
        owner_id, state = owner.host_id, OwnerState.LIVE
        if lockspace.is_failing(owner, time):
            state = OwnerState.FAILING
            free_at = host.clock.monotonic(lockspace.free_at(owner, time, host.clock))
    before = host.leases
    if (
        before is None
        or before.owner != owner_id
        or before.owner_state is not state
        or before.free_at != free_at
        or before.dead_hosts != dead_hosts
    ):
        before = host.leases = LeaseView(
            owner=owner_id, owner_state=state, free_at=free_at, dead_hosts=dead_hosts
        )
    return before


def _publish(world: World, host: SimHost, agent: Agent, facts: loop.Facts) -> Optional[HostRecord]:
    """Write this host's record, where it may: only while it holds its host id."""
    score = agent.score = _score(world, host, agent, facts)
    _note_score(world, host, agent, score)
    if not (host.sees_storage and host.holds_id):
        hindsight.note_look(agent, Look(world.now, facts.now, wrote=False))
        return None
    before = agent.own
    claims = agent.memory.claimed_at is not None
    status = loop.engine_status(facts.vm, claims_lease=claims)
    if (
        agent.is_steady
        and before is not None
        and before.score == score.total
        and before.engine is status
        and before.local_maintenance == facts.local_maintenance
    ):
        # It would say nothing new but that this host lives, which is known.
        agent.facts = facts
        hindsight.note_look(agent, Look(world.now, facts.now, wrote=True), writes_later=True)
        return before
    record = loop.make_record(facts, host.identity, score.total, claims_lease=claims)
    _write(world, host, agent, record, facts, score)
    hindsight.note_look(agent, Look(world.now, facts.now, wrote=True))
    return record


def _score(world: World, host: SimHost, agent: Agent, facts: loop.Facts) -> Score:
    """Score this host as it is now; failed starts apart, what was once computed holds."""
    if agent.memory.failed.count:
        return loop.rate_host(agent.memory, facts, host.identity, world.policy)
    if agent.readings is not facts.readings:
        agent.readings = facts.readings
        agent.scores.clear()
    asked = facts.vm.state, facts.local_maintenance
    score = agent.scores.get(asked)
    if score is None:
        score = loop.rate_host(agent.memory, facts, host.identity, world.policy)
        agent.scores[asked] = score
    return score


def _write(  # noqa: PLR0913 - one for each part of a block
    world: World, host: SimHost, agent: Agent, record: HostRecord, facts: loop.Facts, score: Score
) -> None:
    agent.is_torn = world.storage.tears_next(record.host_id)
    quiet.write_owed(world, host, agent)
    agent.own, agent.facts = record, facts
    beat = quiet.note_of(host, agent.memory, record, facts, score)
    # A release's first record goes through the codec, which refuses what does not fit a slot.
    is_first = host.encoded_version != host.identity.version
    host.encoded_version = host.identity.version
    written = beat.block if is_first else beat
    shown_at = world.storage.write(record.host_id, written, world.now, host.slow_s)
    grows = bool(agent.looks) and int(agent.looks[-1].now) < record.timestamp
    quiet.tell(world, shown_at, record.host_id, grows=grows)
    host.written_score = record.score
    world.rules.check_score(world, host, record.score)
    key = ("score", host.name)
    wanted = world.judge.wanted
    if key in wanted:
        world.judge.observe(world.now, key, record.score)
    key = ("record", host.name)
    if key in wanted:
        world.judge.observe(world.now, key, seen(record, world.now))


def publish_stopped(world: World, host: SimHost, agent: Agent) -> None:
    """Write the last record of an agent that stops cleanly."""
    if not (host.sees_storage and host.holds_id):
        return
    now = host.clock.monotonic(world.now)
    facts = _facts(world, host, agent, now)
    record = loop.make_record(facts, host.identity, 0, is_stopped=True)
    _write(world, host, agent, record, facts, Score(0, (), "the agent has stopped"))


def seen(record: HostRecord, since: float) -> Seen:
    """Give a record as the scenario language speaks of it; its age counts from *since*."""
    vm = record.engine.vm
    return Seen(
        score=record.score,
        vm="down" if vm.startswith("down") else vm,
        hostname=record.hostname,
        maintenance=record.local_maintenance,
        stopped=record.stopped,
        since=since,
    )


def _note_score(world: World, host: SimHost, agent: Agent, score: Score) -> None:
    total = score.total
    if total != agent.shown_score:
        agent.shown_score = total
        text = f"score {total}: {score.why}" if total else f"score {score.why}"
        world.note(host, "score", text, score=total)


def _note_decision(
    world: World, host: SimHost, agent: Agent, decision: Step, facts: loop.Facts
) -> None:
    """Write down an edge, problems with slots, and what the scenario asks to see."""
    edge = decision.edge
    state = decision.memory.state
    if edge is not None:
        world.note(
            host,
            "state",
            decision.reason,
            edge=edge.name,
            **{"from": edge.source.value, "to": edge.to.value},
        )
        if edge.counts_failed_start:
            world.count("failed_starts", host)
    if state is not agent.shown_state:
        agent.shown_state = state
        world.truth.show(world.now, "state", host.name, state.value)
        shown = ("state", host.name)
        if shown in world.judge.wanted:
            world.judge.observe(world.now, shown, state.value)
    _note_problems(world, host, agent, decision, facts)
    if world.wanted_views:
        for signal in world.wanted_views.get(host.name, ()):
            world.judge.observe(world.now, signal, _view(host, agent, decision, signal))
    if world.trace is not None:
        world.trace(_traced(world, host, agent, decision, facts))


def _view(host: SimHost, agent: Agent, decision: Step, key: tuple[object, ...]) -> object:
    """Give one signal of what this host sees."""
    if key[0] == "alive":
        return decision.liveness.alive
    if key[0] == "problem":
        return agent.problems.get(int(str(key[2])))
    host_id = int(str(key[2]))
    if host_id == host.host_id:
        own = agent.own
        return None if own is None else seen(own, host.clock.true_time(float(own.timestamp)))
    sighting = decision.memory.sightings.get(host_id)
    if sighting is None or sighting.record is None or host_id not in decision.liveness.alive:
        return None
    grew_at = sighting.since if sighting.grew_at is None else sighting.grew_at
    return seen(sighting.record, host.clock.true_time(grew_at))


def _note_liveness(world: World, host: SimHost, agent: Agent, decision: Step) -> None:
    """Write down whom this host gives up, and whom of those it sees again."""
    before, agent.alive = agent.alive, decision.liveness.alive
    if before == agent.alive:
        return
    lost = before - agent.alive
    for host_id in sorted(lost):
        world.note(host, "liveness", f"host {host_id} is taken for dead", of=host_id, alive=False)
    for host_id in sorted(agent.given_up & agent.alive):
        world.note(host, "liveness", f"host {host_id} is alive again", of=host_id, alive=True)
    agent.given_up = (agent.given_up | lost) - agent.alive


def _note_problems(
    world: World, host: SimHost, agent: Agent, decision: Step, facts: loop.Facts
) -> None:
    """Write down which slots this host can't believe, when that changes."""
    memory, liveness = decision.memory, decision.liveness
    judged = agent.judged
    if (
        judged is not None
        and judged.sightings is memory.sightings
        and judged.leases is facts.leases
        and judged.problem is memory.global_problem
        and judged.alive == liveness.alive
        and judged.pending == liveness.pending
    ):
        return
    agent.judged = Judged(
        memory.sightings, facts.leases, liveness.alive, liveness.pending, memory.global_problem
    )
    found = loop.problems_of(decision, facts.leases, host.host_id)
    problems = {slot: word.value for slot, word in found.items()}
    if problems == agent.problems:
        return
    before, agent.problems = agent.problems, problems
    for slot in sorted({*before, *problems}):
        word = problems.get(slot)
        if word != before.get(slot):
            text = f"slot {slot} is believed again" if word is None else f"slot {slot}: {word}"
            world.note(host, "problem", text, slot=slot, word=word)


def _traced(
    world: World, host: SimHost, agent: Agent, decision: Step, facts: loop.Facts
) -> dict[str, object]:
    """Give one look of an agent as a line of the trace."""
    return {
        "t": round(world.now, 3),
        "host": host.name,
        "now": round(facts.now, 3),
        "state": decision.memory.state.value,
        "edge": None if decision.edge is None else decision.edge.name,
        "why": decision.reason,
        "score": agent.shown_score,
        "vm": facts.vm.state.value,
        "health": facts.vm.health.value,
        "alive": sorted(decision.liveness.alive),
        "pending": sorted(decision.liveness.pending),
        "placement": decision.placement.reason,
        "effects": [_effect_text(effect) for effect in decision.effects],
        "wake_in": None
        if decision.wake_at == float("inf")
        else round(decision.wake_at - facts.now, 3),
    }


def _effect_text(effect: Effect) -> str:
    values = ", ".join(f"{name}={value}" for name, value in attrs.asdict(effect).items())
    return f"{type(effect).__name__}({values})"


def _perform(world: World, host: SimHost, agent: Agent, effect: Effect) -> None:
    """Carry out one effect; a hypervisor that does not answer takes no orders."""
    if isinstance(effect, Notify):
        world.count("notifications", host)
        world.note(host, "notification", effect.subject)
        return
    if isinstance(effect, StopAgent):
        world.stop_agent(host, agent)
        return
    world.rules.check_effect(world, host, agent, effect)
    if host.hypervisor_is_lost:
        return
    engine = world.engine
    if isinstance(effect, StartVm):
        engine.start(host)
    elif isinstance(effect, ShutDownVm):
        world.count("shutdowns", host)
        engine.shut_down(host)
    elif isinstance(effect, PowerOffVm):
        world.count("poweroffs", host)
        engine.power_off(host)
    elif isinstance(effect, MigrateVm):
        engine.migrate(host, world.host_of(effect.target), ours=True)
    elif isinstance(effect, CancelMigration):
        engine.cancel_migration(host)
