"""
Skipping idle time: nobody looks who can't learn anything.

Hosts are *steady* whose agents do nothing out of the ordinary and believe each other. A steady
host's heartbeats are not written one by one, nor taken note of by the others: that they come is
known, and what they say can be computed when somebody wants to know. Each steady agent remembers
the others as growing for ever, so that its next real look is when its own answer may change, when
something else than a heartbeat can be read, or after something has happened. The looks in between
cost nothing, and the events are the same.

A host that is no longer steady, for whatever reason, is left as its last look before that moment
would have left it: with its last records on the storage, and with the others' memory of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

from he_fsm import tick as loop
from he_fsm.liveness import NEVER
from he_fsm.memory import Memory, Sighting
from he_fsm.metadata.record import HostRecord, SlotProblem
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.score import Score
from he_fsm.simulate import hindsight
from he_fsm.simulate.looks import Fading, Look
from he_fsm.simulate.storage import Note

if TYPE_CHECKING:
    from he_fsm.simulate.host import Agent, SimHost
    from he_fsm.simulate.world import World

# Until so many loops later a look may be the first to see what was written.
_LOOPS_FOR_NEWS = 3


class News(NamedTuple):
    """
    From `at` on (true time) something can be read that host `host_id` wrote (0: anybody).

    `grows`: its timestamp is another than that of any heartbeat before it.
    """

    at: float
    host_id: int
    grows: bool


def before_look(world: World, host: SimHost, agent: Agent) -> Collection[int]:
    """
    Before an agent looks: note the looks that were skipped, remember whom it hears of as they are.

    Returns:
        The steady hosts that it hears of.
    """
    if agent.due <= world.now:
        agent.due = NEVER
    if not agent.is_steady:
        # One that knows all that can be known need not write this time. (One that was frozen until
        # now does not.)
        knows = host.clock.monotonic(world.now) < agent.liveness.changes_at
        if knows and agent.looks and not world.damages_slots and not _heard(world, host, agent):
            _join_if_possible(world, host, agent)
        return ()
    hindsight.catch_up(world, host, agent)
    _fade(world, agent)
    heard = _heard(world, host, agent)
    # A record that grows is news whatever was there before; one that does not, is to be compared.
    changed = {
        host_id: _remembered(world, agent, world.steady[host_id])
        for host_id, grows in heard.items()
        if not grows
    }
    if changed:
        agent.memory = _with(agent.memory, {**agent.memory.sightings, **changed})
    return heard


def _heard(world: World, host: SimHost, agent: Agent) -> dict[int, bool]:
    """Give the steady hosts of which something is news to an agent, and whether they have grown."""
    last = agent.looks[-1].time
    heard: dict[int, bool] = {}
    for news in world.news:
        if last < news.at <= world.now and news.host_id in world.steady:
            heard[news.host_id] = news.grows or heard.get(news.host_id, False)
    heard.pop(host.host_id, None)
    return heard


def after_look(world: World, host: SimHost, agent: Agent, heard: Collection[int]) -> None:
    """After a look: trust those that were heard of again, or all for the first time."""
    if agent.is_steady:
        if heard:
            _trust_again(world, host, agent, heard)
    else:
        _join_if_possible(world, host, agent)


def _trust_again(world: World, host: SimHost, agent: Agent, heard: Collection[int]) -> None:
    sightings = dict(agent.memory.sightings)
    believes_all = True
    for host_id in heard:
        seen = sightings[host_id]
        if seen.grew_at == NEVER:
            continue
        agent.seen[host_id] = seen
        if _believes(agent, host_id):
            sightings[host_id] = _trusted(world, host_id, seen.content)
        else:
            believes_all = False
    agent.memory = _with(agent.memory, sightings)
    if not believes_all:
        leave(world, host)


def _join_if_possible(world: World, host: SimHost, agent: Agent) -> None:
    if world.skips_idle_time and _is_regular(world, host):
        others = [other for other in world.steady.values() if other is not host]
        if all(_believe_each_other(host, other) for other in others):
            _join(world, host, agent, others)


def _join(world: World, host: SimHost, agent: Agent, others: list[SimHost]) -> None:
    """Let a host be steady as well."""
    agent.is_steady = True
    world.steady[host.host_id] = host
    slots = world.storage.read(world.now, host.identity.version).slots
    sightings = dict(agent.memory.sightings)
    for other in others:
        theirs = other.agent
        assert theirs is not None  # noqa: S101 - it is steady
        if theirs.fading:
            hindsight.catch_up(world, other, theirs)
            _fade(world, theirs)
        agent.seen[other.host_id] = sightings[other.host_id]
        sightings[other.host_id] = _trusted(world, other.host_id, slots.get(other.host_id))
        before = theirs.memory.sightings
        theirs.seen[host.host_id] = seen = before[host.host_id]
        trusted = _trusted(world, host.host_id, seen.content)
        theirs.memory = _with(theirs.memory, {**before, host.host_id: trusted})
        theirs.answered = None
        _plan_anew(world, other, theirs)
    agent.memory = _with(agent.memory, sightings)


def _trusted(world: World, host_id: int, content: Union[HostRecord, SlotProblem, None]) -> Sighting:
    """
    Give a sighting that lasts as long as *content*, which is read in place of heartbeats.

    All steady hosts share it: it says nothing of when each of them saw what.
    """
    found = world.trusted.get(host_id)
    if found is None or found.content is not content:
        assert isinstance(content, HostRecord)  # noqa: S101 - it is believed
        found = Sighting(content, content.timestamp, NEVER, 0.0, content, None)
        world.trusted[host_id] = found
    return found


def _is_regular(world: World, host: SimHost) -> bool:
    """Whether a host's agent looks and writes as usual."""
    agent, member, storage = host.agent, host.member, world.storage
    return (
        agent is not None
        and host.runs
        and not agent.is_frozen
        and host.storage == "ok"
        and host.sees_leases
        and member.is_joined
        and member.renews
        and agent.own is not None
        and agent.looks[-1].wrote
        and not agent.is_torn
        and not storage.tears_next(host.host_id)
        and not storage.is_masked
        and storage.late_until < world.now
        and world.is_uniform
        and world.lockspace.holders.get(host.host_id) is member
    )


def _believe_each_other(one: SimHost, other: SimHost) -> bool:
    assert one.agent is not None  # noqa: S101 - it looks
    assert other.agent is not None  # noqa: S101 - it is steady
    return _believes(one.agent, other.host_id) and _believes(other.agent, one.host_id)


def _believes(agent: Agent, host_id: int) -> bool:
    seen = agent.memory.sightings.get(host_id)
    return seen is not None and seen.problem is None and host_id in agent.liveness.alive


# When steady hosts look.


def disturb(world: World) -> None:
    """Something has happened: everybody looks, now or as soon as it can be read."""
    leave_if_irregular(world)
    for host in world.steady.values():
        if host.agent is not None:
            stir(world, host, host.agent)
    tell(world, world.now + world.times.storage_latency_s)


def holds_until(world: World, agent: Agent) -> float:
    """Give the time from which a steady agent's answer may be another (monotonic clock)."""
    until = agent.idle_until
    alive, pending = agent.liveness.alive, agent.liveness.pending
    for host_id in (alive | pending).difference(world.steady):
        # Who is silent will be noticed.
        seen = agent.memory.sightings.get(host_id)
        if seen is not None:
            silent_from = seen.since if seen.grew_at is None else seen.grew_at
            until = min(until, silent_from + world.policy.dead_after_s)
    return until


def next_look(world: World, host: SimHost, agent: Agent, until: float) -> float:
    """Give when a steady agent looks next whose answer is the same *until* (monotonic clock)."""
    due = agent.due
    for news in world.news:
        if world.now < news.at < due and news.host_id != host.host_id:
            due = news.at
    if due == NEVER:
        return until
    loops = agent.loops
    return min(until, loops.at(agent.loops.first_at(due, host.clock)))


def stir(world: World, host: SimHost, agent: Agent) -> None:
    """Let an agent look at its next loop."""
    if not agent.is_steady:
        return
    agent.due = min(agent.due, world.now)
    # One that looks just now finds that when it plans its next look.
    if agent.next_tick > world.now:
        _plan_earlier(world, host, agent, world.now)


def tell(world: World, at: float, host_id: int = 0, *, grows: bool = False) -> None:
    """Let all steady agents look at what can be read from *at* on; its writer need not."""
    oldest = world.now - _LOOPS_FOR_NEWS * world.longest_loop_s
    if world.news and world.news[0].at < oldest:
        world.news = [news for news in world.news if news.at >= oldest]
    world.news.append(News(at, host_id, grows))
    for host in world.steady.values():
        agent = host.agent
        if agent is not None and agent.next_tick > at and host.host_id != host_id:
            _plan_earlier(world, host, agent, at)


def _plan_anew(world: World, host: SimHost, agent: Agent) -> None:
    """Plan an agent's next look that was to find another host silent, which now is not."""
    asked_for = agent.loops.at(agent.loops.first_at(world.now, host.clock))
    next_loop = max(world.now, host.clock.true_time(asked_for))
    if next_loop < agent.next_tick < NEVER:
        agent.asked_for = next_look(world, host, agent, holds_until(world, agent))
        world.look_at(host, agent, host.clock.true_time(agent.asked_for))


def _plan_earlier(world: World, host: SimHost, agent: Agent, time: float) -> None:
    told_of, told = agent.told
    if told_of <= time and told == agent.next_tick:
        # It looks at its first loop after that already.
        return
    asked_for = agent.loops.at(agent.loops.first_at(time, host.clock))
    at = max(world.now, host.clock.true_time(asked_for))
    if at < agent.next_tick:
        agent.asked_for = asked_for
        world.look_at(host, agent, at)
        agent.told = time, at


def turn(host: SimHost, agent: Agent, time: float) -> tuple[float, int]:
    """Give the order of the looks of one moment: as they would be planned if none were skipped."""
    if agent.is_steady:
        index = agent.loops.first_at(time, host.clock) - 1
        if index >= agent.loops.index:
            return host.clock.true_time(agent.loops.at(index)), agent.rank
    return agent.looks[-1].time if agent.looks else -NEVER, agent.rank


# What was skipped.


def _remembered(world: World, agent: Agent, other: SimHost) -> Sighting:
    """Give what an agent remembers of a steady host after its last look."""
    theirs, latency_s = other.agent, world.times.storage_latency_s
    assert theirs is not None  # noqa: S101 - it is steady
    seen = agent.seen[other.host_id]
    hindsight.catch_up(world, other, theirs)
    return hindsight.grown(seen, agent, theirs.looks, latency_s)


def read(world: World, host: SimHost) -> Whiteboard:
    """Read the whiteboard; a host that is not steady sees every heartbeat."""
    whiteboard = world.storage.read(world.now, host.identity.version)
    agent = host.agent
    if not world.steady or agent is None or agent.is_steady:
        return whiteboard
    slots = dict(whiteboard.slots)
    for host_id, other in world.steady.items():
        theirs, record = other.agent, slots.get(host_id)
        if theirs is None or not isinstance(record, HostRecord):
            continue
        hindsight.catch_up(world, other, theirs)
        place = hindsight.last_shown(theirs.looks, world.now, world.times.storage_latency_s)
        if place is not None and int(theirs.looks[place].now) > record.timestamp:
            slots[host_id] = record.at(int(theirs.looks[place].now))
    return Whiteboard(whiteboard.global_block, slots)


# When a host is no longer steady.


def leave_if_irregular(world: World) -> None:
    """Find the hosts that are no longer steady after something has happened."""
    for host in list(world.steady.values()):
        if not _is_regular(world, host):
            leave(world, host)


def leave_all(world: World, before: Optional[float] = None) -> None:
    """Let no host be steady."""
    for host in list(world.steady.values()):
        leave(world, host, before)


def leave(world: World, host: SimHost, before: Optional[float] = None) -> None:
    """Leave a host that was steady as its last look before now, or *before*, left it."""
    if world.steady.get(host.host_id) is not host:
        return
    agent = host.agent
    assert agent is not None  # noqa: S101 - it is steady
    before = world.now if before is None else before
    for each in world.steady.values():
        if each.agent is not None:
            hindsight.catch_up(world, each, each.agent, before)
    write_owed(world, host, agent)
    _fade(world, agent)
    del world.steady[host.host_id]
    agent.is_steady = False
    sightings = dict(agent.memory.sightings)
    for other in world.steady.values():
        theirs = other.agent
        assert theirs is not None  # noqa: S101 - it is steady
        latency_s = world.times.storage_latency_s
        sightings[other.host_id] = hindsight.grown(
            agent.seen[other.host_id], agent, theirs.looks, latency_s
        )
        real = hindsight.grown(theirs.seen[host.host_id], theirs, agent.looks, latency_s)
        theirs.memory = _with(theirs.memory, {**theirs.memory.sightings, host.host_id: real})
        theirs.answered = None
        _wait_for_silence(world, other, theirs, host.host_id, agent.looks)
    agent.memory = agent.memory.seeing(sightings, agent.looks[-1].now)
    if agent.next_tick >= 0:
        next_loop = host.clock.true_time(agent.loops.next)
        if agent.next_tick > next_loop:
            agent.asked_for = agent.loops.next
            world.look_at(host, agent, max(world.now, next_loop))


def _wait_for_silence(
    world: World, host: SimHost, agent: Agent, gone_id: int, looks: Sequence[Look]
) -> None:
    """Let an agent look when it gives up a host that was steady; know what it sees till then."""
    last = hindsight.first_with_timestamp_of(looks, len(looks) - 1)
    timestamp = int(last.now)
    seen = agent.memory.sightings[gone_id]
    grew_at = seen.grew_at
    if seen.timestamp != timestamp and seen.record is not None:
        index = agent.loops.first_at(last.time + world.times.storage_latency_s, host.clock)
        look = hindsight.skipped_look(host, agent, index)
        grew_at, record = look.now, seen.record.at(timestamp)
        sighting = Sighting(record, timestamp, grew_at, seen.since, record, None)
        agent.fading[gone_id] = Fading(look.time, sighting)
    if grew_at is None or agent.next_tick < 0:
        return
    given_up_at = grew_at + world.policy.dead_after_s
    at = max(world.now, host.clock.true_time(given_up_at))
    if at < agent.next_tick:
        agent.asked_for = given_up_at
        world.look_at(host, agent, at)


def _fade(world: World, agent: Agent) -> None:
    """Remember the hosts that are steady no more as they were at an agent's last look."""
    if not agent.fading:
        return
    sightings = dict(agent.memory.sightings)
    for host_id, fading in agent.fading.items():
        if fading.time < world.now:
            sightings[host_id] = fading.sighting
        else:
            agent.due = min(agent.due, fading.time)
    agent.fading.clear()
    agent.memory = _with(agent.memory, sightings)


def write_owed(world: World, host: SimHost, agent: Agent) -> None:
    """Write the records of an agent's looks that have not been written, as far as they matter."""
    if not agent.owed:
        return
    looks = agent.looks
    oldest = max(0, len(looks) - agent.owed)
    if world.damages_slots:
        first = max(oldest, len(looks) - hindsight.COPIES)
    else:
        shown = world.now - world.times.storage_latency_s
        first = len(looks) - 1
        while first > oldest and looks[first].time > shown:
            first -= 1
    agent.owed = 0
    assert agent.own is not None  # noqa: S101 - it has written
    assert agent.facts is not None  # noqa: S101 - as above
    assert agent.score is not None  # noqa: S101 - as above
    for look in looks[first:]:
        agent.own = agent.own.at(int(look.now))
        note = note_of(host, agent.memory, agent.own, agent.facts, agent.score)
        shown_at = world.storage.write(host.host_id, note, look.time)
        world.news.append(News(shown_at, host.host_id, grows=False))


def note_of(
    host: SimHost, memory: Memory, record: HostRecord, facts: loop.Facts, score: Score
) -> Note:
    """Give a host's record as the storage takes it."""
    version = host.identity.version

    def make() -> bytes:
        return loop.make_block(record, memory, facts, score.why, version)

    return Note(record, version, make)


def _with(memory: Memory, sightings: dict[int, Sighting]) -> Memory:
    return memory.seeing(sightings, memory.read_at)
