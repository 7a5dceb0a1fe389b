"""
What became of the looks that were skipped, computed when somebody wants to know.

An agent's looks are noted one by one, the skipped ones when it looks again: when they were, and
whether they made a record. Who saw whose record grow, and when, follows from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from he_fsm.memory import Sighting
from he_fsm.simulate.looks import Look

if TYPE_CHECKING:
    from he_fsm.simulate.host import Agent, SimHost
    from he_fsm.simulate.world import World

# A damaged storage may show a copy of up to eight writes ago.
COPIES = 8
# So many looks are known one by one: more than two loops have, chains of edges included.
_KEPT = 40


def note_look(agent: Agent, look: Look, *, writes_later: bool = False) -> None:
    """
    Note a look; those of long ago are forgotten.

    *writes_later*: it made a heartbeat, which is written when somebody wants to know.
    """
    looks = agent.looks
    looks.append(look)
    agent.owed = agent.owed + 1 if writes_later else 0
    if len(looks) > 2 * _KEPT:
        del looks[:-_KEPT]


def catch_up(world: World, host: SimHost, agent: Agent, before: Optional[float] = None) -> None:
    """Note the looks that were skipped."""
    loops = agent.loops
    last = loops.first_at(world.now if before is None else before, host.clock)
    if last == loops.index:
        return
    count = max(world.last_looks, COPIES if world.damages_slots else 0)
    for index in range(max(loops.index, last - count), last):
        note_look(agent, skipped_look(host, agent, index), writes_later=True)
    loops.go_to(last)
    agent.is_on_loop = True
    agent.heard_at = agent.looks[-1].now
    agent.ticked_at, agent.ticks_now = agent.looks[-1].time, 0


def skipped_look(host: SimHost, agent: Agent, index: int) -> Look:
    """Give the look that an agent makes at one of its loops."""
    asked_for = agent.loops.at(index)
    time = host.clock.true_time(asked_for)
    # A look is never before the time that it was asked for, whatever rounding says.
    return Look(time, max(asked_for, host.clock.monotonic(time)), wrote=True)


def last_shown(looks: Sequence[Look], time: float, latency_s: float) -> Optional[int]:
    """Give the place among an agent's looks of the last whose record can be read at *time*."""
    for place in range(len(looks) - 1, -1, -1):
        look = looks[place]
        if look.wrote and look.time + latency_s <= time:
            return place
    return None


def grown(seen: Sighting, agent: Agent, looks: Sequence[Look], latency_s: float) -> Sighting:
    """Give a sighting of a host, which looked at *looks*, as it is after an agent's last look."""
    place = last_shown(looks, agent.looks[-1].time, latency_s)
    if place is None or seen.record is None or seen.timestamp is None or seen.problem:
        return seen
    timestamp = int(looks[place].now)
    if timestamp <= seen.timestamp:
        return seen
    shown_at = first_with_timestamp_of(looks, place).time + latency_s
    grew_at = agent.looks[-1].now
    for look in reversed(agent.looks):
        if look.time < shown_at:
            break
        grew_at = look.now
    record = seen.record.at(timestamp)
    return Sighting(record, timestamp, grew_at, seen.since, record, None)


def first_with_timestamp_of(looks: Sequence[Look], place: int) -> Look:
    """Give the look that showed first that its host's timestamp grows to what it is at a place."""
    while place and int(looks[place - 1].now) == int(looks[place].now):
        place -= 1
    return looks[place]
