"""Looks of simulated agents, as their rings keep them."""

from __future__ import annotations

import functools

from he_fsm import simulate, tick
from he_fsm.history.book import Writer
from he_fsm.history.look import Decided, Look, Seen, Session
from tests.simulate.plays import scenario_of

Looks = list[tuple[Session, Look]]
TAKEOVER = "{at: 60s, host: 1, power: off}, {at: 5m, host: 2, set: {gateway: 0}}"


@functools.cache
def recorded(timeline: str = TAKEOVER, until: str = "10m", **keys: str) -> dict[str, Looks]:
    """Return the looks of each of three hosts, by name."""
    looks: dict[str, Looks] = {}
    simulate(
        scenario_of(timeline, until=until, **keys),
        record=lambda host, session, look: looks.setdefault(host, []).append((session, look)),
    )
    return looks


def ring_of(looks: Looks) -> bytes:
    """Return looks as an agent's ring has them."""
    writer = Writer(looks[0][0])
    frames = []
    last = looks[0][0]
    for session, look in looks:
        if session != last:
            writer.begin_anew(session)
            last = session
        frames.append(writer.frame(look))
    return b"".join(frames)


def decided_today(session: Session, seen: Seen) -> Decided:
    """Decide anew."""
    return Decided.of(
        tick.decide(
            seen.before, seen.facts, seen.own, seen.whiteboard, session.identity, session.policy
        )
    )
