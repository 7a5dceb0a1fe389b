"""How a simulated agent writes its record, and how that is judged."""

from __future__ import annotations

from typing import Optional

from he_fsm import tick as loop
from he_fsm.metadata.record import HostRecord
from he_fsm.policy import Policy
from he_fsm.scenario.judging.matching import Seen
from he_fsm.score import Score
from he_fsm.simulate import rules
from he_fsm.simulate.host import Agent, SimHost
from he_fsm.simulate.idle.pulse import Pulse
from he_fsm.simulate.idle.skipper import Skipper
from he_fsm.simulate.page import Page
from he_fsm.simulate.world import World


def publish(  # noqa: PLR0913 - all that a look knows
    world: World,
    skipper: Skipper,
    host: SimHost,
    agent: Agent,
    facts: loop.Facts,
    pulse: Optional[Pulse],
) -> Optional[HostRecord]:
    """Write this host's record, where it may: only while it holds its host id."""
    score = score_of(host.policy, host, agent, facts)
    _note_score(world, host, agent, score)
    if not host.can_write:
        return None
    claims = agent.memory.claimed_at is not None
    keeps = agent.memory.keeps_engine
    status = loop.engine_status(facts.vm, claims_lease=claims, keeps_engine=keeps)
    if pulse is not None:
        heartbeat = skipper.heartbeat(pulse, facts, score, status)
        if heartbeat is not None:
            return heartbeat
    record = loop.make_record(
        facts,
        host.identity,
        score.total,
        host.policy,
        claims_lease=claims,
        keeps_engine=keeps,
    )
    agent.own = record
    page = Page(record, agent.memory, facts, score, host.identity.version)
    skipper.write(host, agent, page, facts.now)
    _judge(world, host, record)
    return record


def publish_stopped(world: World, host: SimHost, agent: Agent, facts: loop.Facts) -> None:
    """Write the last record of an agent that stops cleanly, whose looks are not skipped."""
    keeps = agent.memory.keeps_engine
    record = loop.make_record(
        facts, host.identity, 0, host.policy, keeps_engine=keeps, is_stopped=True
    )
    agent.own = record
    score = Score(0, (), "the agent has stopped")
    page = Page(record, agent.memory, facts, score, host.identity.version)
    page.write(world.storage, host, world.now)
    _judge(world, host, record)


def score_of(policy: Policy, host: SimHost, agent: Agent, facts: loop.Facts) -> Score:
    """Return this host's score; what was once computed of the same holds."""
    memory = agent.memory
    if agent.readings is not facts.readings:
        agent.readings = facts.readings
        agent.scores.clear()
    failed = memory.failed
    blocked = loop.block_of(memory, facts, policy) if failed.count else ""
    asked = (
        facts.vm.state,
        facts.local_maintenance,
        failed.penalised,
        blocked,
        loop.unfit_of(memory, facts, policy),
    )
    score = agent.scores.get(asked)
    if score is None:
        score = agent.scores[asked] = loop.rate_host(memory, facts, host.identity, policy)
    return score


def _judge(world: World, host: SimHost, record: HostRecord) -> None:
    """Judge a record that is no heartbeat, by the rules and by what the scenario expects."""
    host.written_score = record.score
    rules.check_score(world, host, record.score)
    key = ("score", host.name)
    wanted = world.judge.wanted
    if key in wanted:
        world.judge.observe(world.now, key, record.score)
    key = ("record", host.name)
    if key in wanted:
        world.judge.observe(world.now, key, seen(record, world.now))


def seen(record: HostRecord, since: float) -> Seen:
    """Return a record as the scenario language speaks of it; its age counts from *since*."""
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
        world.note(host, "score", f"score {total}: {score.why}", score=total)
