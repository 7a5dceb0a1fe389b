"""A simulated agent: the shared loop of `he_fsm.tick`, with the world in place of I/O."""

from __future__ import annotations

from typing import Optional, Union

from he_fsm import tick as loop
from he_fsm.effects import (
    Alarm,
    CancelMigration,
    Effect,
    EndGlobal,
    GiveUpArrival,
    LetGo,
    MigrateVm,
    Notify,
    PowerOffVm,
    ShutDownVm,
    StartVm,
    StopAgent,
    WriteGlobal,
)
from he_fsm.history.look import Look
from he_fsm.simulate import rules
from he_fsm.simulate.facts import facts_of
from he_fsm.simulate.happenings import agent_process, hypervisor, migrations, shutdown
from he_fsm.simulate.host import Agent, Judged, SimHost
from he_fsm.simulate.idle.looks import Asked
from he_fsm.simulate.idle.pulse import Pulse
from he_fsm.simulate.idle.skipper import Skipper
from he_fsm.simulate.publish import publish, seen
from he_fsm.simulate.trace import traced
from he_fsm.simulate.world import World
from he_fsm.step import Step

# A chain of edges is followed at once; this many at one moment would be a circle.
_CHAIN_MAX = 16
# How much of a second rounding between two clocks may take.
_ROUNDING_S = 1e-6


def tick(world: World, skipper: Skipper, host: SimHost, agent: Agent) -> None:
    """Make one pass of an agent: publish, read, decide, act."""
    agent.next_tick = -1.0
    if not host.runs or agent.is_frozen:
        return
    time = world.now
    now = host.clock.monotonic(time)
    if agent.asked_for is not None and now < agent.asked_for <= now + _ROUNDING_S:
        now = agent.asked_for
    pulse = skipper.before_look(host, agent)
    agent.looks_now = agent.looks_now + 1 if agent.looked_at == time else 0
    agent.looked_at = time
    while agent.loops.next <= now + _ROUNDING_S:
        agent.loops.advance()
    facts = facts_of(world, host, agent, now)
    own = publish(world, skipper, host, agent, facts, pulse)
    if pulse is None:
        pulse = skipper.pulse_of(host)
    whiteboard = skipper.read(host, pulse) if host.sees_storage else None
    if pulse is not None and skipper.answer_holds(pulse, facts, own, whiteboard):
        _plan_next(world, skipper, host, agent, pulse)
        return
    before = agent.memory
    try:
        decision = loop.decide(before, facts, own, whiteboard, host.identity, host.policy)
    except Exception as error:  # noqa: BLE001 - the rule `crash` is about any exception
        rules.crashed(world, host, error)
        agent_process.kill(world, host)
        return
    agent.memory = decision.memory
    if world.record is not None:
        rated = loop.rate_host(before, facts, host.identity, host.policy)
        world.record(host, Look.of(before, facts, own, whiteboard, rated, decision, now))
    _note_decision(world, host, agent, decision, facts)
    _note_liveness(world, host, agent, decision)
    agent.liveness = decision.liveness
    if pulse is not None:
        skipper.after_decision(pulse, decision, Asked(before, facts, own, whiteboard))
    if decision.effects:
        for effect in decision.effects:
            _perform(world, host, agent, effect)
        skipper.end_irregular()
    if host.agent is agent:
        _plan_next(world, skipper, host, agent, pulse, decision)


def _plan_next(  # noqa: PLR0913 - all that a look knows
    world: World,
    skipper: Skipper,
    host: SimHost,
    agent: Agent,
    pulse: Optional[Pulse],
    decision: Optional[Step] = None,
) -> None:
    """Say when the agent looks next; without a *decision* the one before holds."""
    time = world.now
    if agent.next_tick >= time:
        # Something has happened already that it is to look at.
        return
    wake = agent.loops.next
    if agent.looks_now < _CHAIN_MAX:
        until = None if pulse is None else skipper.next_look(pulse)
        if until is not None:
            wake = until
        elif decision is not None:
            wake = loop.next_look(decision, wake)
    world.look_at(host, agent, max(time, host.clock.true_time(wake)), wake)


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
        world.trace(traced(world, host, agent, decision, facts))


def _view(host: SimHost, agent: Agent, decision: Step, key: tuple[object, ...]) -> object:
    """Return one signal of what this host sees."""
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


def _perform(world: World, host: SimHost, agent: Agent, effect: Effect) -> None:
    """Carry out one effect; a hypervisor that does not answer takes no orders."""
    if isinstance(effect, (Notify, Alarm)):
        _tell(world, host, effect)
    elif isinstance(effect, (WriteGlobal, EndGlobal)):
        _write_slot_0(world, host, effect)
    elif isinstance(effect, StopAgent):
        agent_process.stop(world, host, agent)
    elif isinstance(effect, LetGo):
        shutdown.let_go(world, host)
    else:
        rules.check_effect(world, host, agent, effect)
        if not host.hypervisor_is_lost:
            _order(world, host, effect)


def _tell(world: World, host: SimHost, effect: Union[Notify, Alarm]) -> None:
    world.count("notifications", host)
    if isinstance(effect, Notify):
        world.note(host, "notification", effect.subject)
    else:
        over = effect.is_over
        world.note(host, "notification", f"alarm {effect.name}: {effect.text}", over=over)


def _write_slot_0(world: World, host: SimHost, effect: Union[WriteGlobal, EndGlobal]) -> None:
    storage = world.storage
    if isinstance(effect, WriteGlobal):
        storage.write_global(world.now, maintenance=effect.maintenance, until=effect.until)
    elif storage.end_global(world.now, effect.until):
        world.note(host, "agent", "the time of global maintenance is over: it is ended")


def _order(world: World, host: SimHost, effect: Effect) -> None:
    """Order something of the hypervisor."""
    if isinstance(effect, StartVm):
        hypervisor.start(world, host)
    elif isinstance(effect, ShutDownVm):
        world.count("shutdowns", host)
        hypervisor.shut_down(world, host)
    elif isinstance(effect, PowerOffVm):
        world.count("poweroffs", host)
        hypervisor.power_off(world, host)
    elif isinstance(effect, MigrateVm):
        migrations.begin(world, host, world.host_of(effect.target), ours=True)
    elif isinstance(effect, CancelMigration):
        migrations.cancel(world, host)
    elif isinstance(effect, GiveUpArrival):
        migrations.give_up_arrival(world, host)
