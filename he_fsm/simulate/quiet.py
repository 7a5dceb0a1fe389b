"""
Skipping idle time: nothing is stepped while nothing can change.

A cluster is idle when every agent has looked since the last event, after all that was written
could be seen, and has learnt nothing but that the others' records grow. What happens until the
next event is then known: heartbeats. Each agent is left as its last look before that event would
leave it, so the looks in between cost nothing and the events are the same.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Optional

import attrs

from he_fsm.liveness import NEVER
from he_fsm.memory import Memory, Sighting
from he_fsm.metadata.record import HostRecord
from he_fsm.simulate.agent import heartbeat

if TYPE_CHECKING:
    from he_fsm.simulate.host import Agent, SimHost
    from he_fsm.simulate.world import World

# A damaged storage may show a copy of up to eight writes ago: let those be written too.
_LOOPS_FOR_COPIES = 10


def skip(world: World, ticks: list[tuple[float, int, SimHost, Agent]], next_event: float) -> None:
    """Skip to *next_event*, or to when an agent's answer may change."""
    latency_s = world.times.storage_latency_s
    if not ticks or ticks[0][0] >= next_event or world.now <= world.disturbed_at + latency_s:
        return
    sleepers = _sleepers(world)
    if not sleepers or world.storage.is_masked:
        return
    target = _ends_at(world, sleepers, next_event)
    if target <= world.now:
        return
    for sleeper in sleepers:
        sleeper.sleep_until(target)
    looked_at = [sleeper.look(sleeper.last - 1)[0] for sleeper in sleepers if sleeper.loops]
    if looked_at and min(looked_at) >= _all_is_shown_at(world, sleepers):
        _go_on(world, ticks, sleepers, target)


def _sleepers(world: World) -> list[Sleeper]:
    """Give all agents, if all are idle; else none."""
    if world.restless is not None and _is_restless(world, world.restless):
        return []
    agents = [(host, host.agent) for host in world.hosts.values() if host.agent is not None]
    last, last_but_one = _spoke_at([agent for _, agent in agents])
    for host, agent in agents:
        # What it wrote itself is no news to it.
        news_at = last_but_one if agent.spoke_at == last else last
        shown_at = news_at + world.times.storage_latency_s
        if agent.calm_at <= shown_at or _is_restless(world, host):
            world.restless = host
            return []
    world.restless = None
    sleepers = [Sleeper(host, agent) for host, agent in agents]
    writers = frozenset(host.host_id for host, _ in agents)
    dead_after_s = world.policy.dead_after_s
    if not all(sleeper.knows(writers, dead_after_s) for sleeper in sleepers):
        return []
    return sleepers


def _ends_at(world: World, sleepers: list[Sleeper], next_event: float) -> float:
    """Give the time before which nothing can change (true time)."""
    target = next_event
    for sleeper in sleepers:
        if sleeper.wakes_at != NEVER:
            target = min(target, sleeper.host.clock.true_time(sleeper.wakes_at))
    check = world.judge.next_check(world.now)
    if check is not None:
        target = min(target, check)
    if world.damages_slots:
        times = world.times
        target -= _LOOPS_FOR_COPIES * (times.loop_s + times.jitter_s) + times.storage_latency_s
    return target


def _spoke_at(agents: list[Agent]) -> tuple[float, float]:
    """Give when somebody last wrote something new, and when somebody else did."""
    last = last_but_one = -NEVER
    for agent in agents:
        if agent.spoke_at > last:
            last, last_but_one = agent.spoke_at, last
        else:
            last_but_one = max(last_but_one, agent.spoke_at)
    return last, last_but_one


def _all_is_shown_at(world: World, sleepers: list[Sleeper]) -> float:
    """Give when the last real writes can be read."""
    return max(sleeper.agent.ticked_at for sleeper in sleepers) + world.times.storage_latency_s


def _is_restless(world: World, host: SimHost) -> bool:
    """Whether a host's agent has still to look at what happened, or does not look as usual."""
    agent = host.agent
    if agent is None:
        return False
    shown_at = world.disturbed_at + world.times.storage_latency_s
    return (
        agent.calm_at <= max(shown_at, world.storage.late_until)
        or agent.is_frozen
        or agent.is_torn
        or not host.runs
        or host.storage != "ok"
        or not host.sees_leases
        or not host.member.is_joined
    )


class Sleeper:
    """An agent whose looks are skipped, and the heartbeats that it writes meanwhile."""

    __slots__ = ("agent", "first", "host", "last", "looks", "record", "wakes_at")

    def __init__(self, host: SimHost, agent: Agent) -> None:
        """Begin with nothing skipped."""
        self.host = host
        self.agent = agent
        assert agent.own is not None  # noqa: S101 - it is calm: it has written
        self.record: HostRecord = agent.own
        self.first = self.last = agent.loops.index
        # Of the looks that were asked about: true time, and the record that is written then.
        self.looks: dict[int, tuple[float, float, HostRecord]] = {}
        # When its answer may change (monotonic clock).
        self.wakes_at = agent.idle_until

    def knows(self, writers: frozenset[int], dead_after_s: float) -> bool:
        """Say whether it believes all *writers*; who else falls silent will be noticed."""
        alive, pending, _ = self.agent.liveness
        if not writers <= alive:
            return False
        if not writers.isdisjoint(self.agent.problems):
            return False
        sightings = self.agent.memory.sightings
        for host_id in (alive | pending) - writers:
            seen = sightings[host_id]
            silent_from = seen.since if seen.grew_at is None else seen.grew_at
            self.wakes_at = min(self.wakes_at, silent_from + dead_after_s)
        return True

    def sleep_until(self, target: float) -> None:
        """Skip the looks before *target*."""
        clock, loops = self.host.clock, self.agent.loops
        last = loops.first_at(clock.monotonic(target))
        while last > self.first and clock.true_time(loops.at(last - 1)) >= target:
            last -= 1
        while clock.true_time(loops.at(last)) < target:
            last += 1
        self.last = last

    @property
    def loops(self) -> int:
        """How many looks are skipped."""
        return self.last - self.first

    def look(self, index: int) -> tuple[float, float, HostRecord]:
        """
        Give a look: true time, monotonic clock, the record that is written.

        The last real one has the number before the first.
        """
        if index < self.first:
            agent = self.agent
            time = agent.ticked_at
            return time, self._clock_at(time), self.record
        found = self.looks.get(index)
        if found is None:
            asked_for = self.agent.loops.at(index)
            time = self.host.clock.true_time(asked_for)
            # A look is never before the time that it was asked for, whatever rounding says.
            now = max(asked_for, self._clock_at(time))
            record = attrs.evolve(self.record, timestamp=int(now))
            found = self.looks[index] = time, now, record
        return found

    def _clock_at(self, time: float) -> float:
        return self.host.clock.monotonic(time)

    def last_seen_at(self, time: float, latency_s: float) -> Optional[int]:
        """Give the number of the last look whose record can be read at *time*; None: none new."""
        index = self.last - 1
        while index >= self.first - 1:
            if self.look(index)[0] + latency_s <= time:
                return index
            index -= 1
        return None

    def first_after(self, time: float) -> float:
        """Give the monotonic clock at this agent's first look at *time* or later."""
        index = self.last - 1
        while index >= self.first and self.look(index - 1)[0] >= time:
            index -= 1
        return self.look(index)[1]


def _go_on(
    world: World,
    ticks: list[tuple[float, int, SimHost, Agent]],
    sleepers: list[Sleeper],
    target: float,
) -> None:
    """Leave everything as it is after the skipped looks."""
    latency_s = world.times.storage_latency_s
    writes = []
    for sleeper in sleepers:
        if sleeper.loops:
            sleeper.agent.memory = _remembers(sleeper, sleepers, latency_s)
        index = sleeper.last - 1
        while index >= sleeper.first:
            time = sleeper.look(index)[0]
            writes.append((time, sleeper, index))
            if time + latency_s <= target:
                break
            index -= 1
    writes.sort(key=lambda write: write[0])
    for time, sleeper, index in writes:
        _write(world, sleeper, time, index)
    ticks.clear()
    # Those that are due at one moment look in the order in which they were planned.
    for sleeper in sorted(sleepers, key=lambda each: each.look(each.last - 1)[0]):
        _plan(world, sleeper)
    heapq.heapify(ticks)


def _remembers(sleeper: Sleeper, sleepers: list[Sleeper], latency_s: float) -> Memory:
    """Give what an agent remembers after its last look."""
    agent = sleeper.agent
    time, now, _ = sleeper.look(sleeper.last - 1)
    before = sleeper.look(sleeper.last - 2)[0]
    sightings = dict(agent.memory.sightings)
    for other in sleepers:
        if other is sleeper:
            continue
        written_at, _, record = other.look(other.last - 1)
        if written_at + latency_s > time:
            index = other.last_seen_at(time, latency_s)
            if index is None:
                continue
            written_at, _, record = other.look(index)
        seen = sightings[record.host_id]
        timestamp = record.timestamp
        if seen.timestamp == timestamp:
            continue
        shown_at = written_at + latency_s
        # Mostly it is the last look that saw it first.
        grew_at = now if before < shown_at else sleeper.first_after(shown_at)
        sightings[record.host_id] = Sighting(record, timestamp, grew_at, seen.since, record, None)
    return attrs.evolve(agent.memory, sightings=sightings, read_at=now)


def _write(world: World, sleeper: Sleeper, time: float, index: int) -> None:
    """Write the record of a skipped look."""
    host, agent = sleeper.host, sleeper.agent
    record = sleeper.look(index)[2]
    assert agent.facts is not None  # noqa: S101 - it has written
    assert agent.score is not None  # noqa: S101 - as above
    world.storage.write(
        host.host_id, heartbeat(host, agent.memory, record, agent.facts, agent.score), time
    )


def _plan(world: World, sleeper: Sleeper) -> None:
    """Let an agent look next when it would have."""
    host, agent = sleeper.host, sleeper.agent
    if sleeper.loops:
        time, now, agent.own = sleeper.look(sleeper.last - 1)
        agent.loops.go_to(sleeper.last)
        agent.heard_at = now
        agent.ticked_at, agent.ticks_now = time, 0
    agent.asked_for = min(agent.loops.next, sleeper.wakes_at)
    world.look_at(host, agent, host.clock.true_time(agent.asked_for))
